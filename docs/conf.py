"""How Sphinx builds these pages. They are plain Markdown, so that they read well without it too."""

from __future__ import annotations

import re
from pathlib import Path

_SOURCE = Path(__file__).parent.parent / "sse_notify" / "__init__.py"

project = "sse_notify"
author = "sse_notify contributors"
copyright = author
_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
release = _VERSION.findall(_SOURCE.read_text(encoding="utf-8"))[0]

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
# The generated tables of the benchmarks start one level deeper.
suppress_warnings = ["myst.header"]

html_theme = "furo"
html_title = f"sse_notify {release}"
# Everything is served from the built pages themselves.
html_show_sphinx = False
html_copy_source = False
