"""A headless Chromium: ``CHROMIUM``, the system's, or the build inside the npm package ``@sparticuz/chromium``.

``python -m tests.support.browser`` makes sure that there is one, and prints where. The npm package is only fetched when the machine
has no browser, so it has a ``package.json`` of its own, in ``tests/chromium``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.support import ROOT, node
from tests.support.requirements import missing

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_PACKAGE = ROOT / "tests" / "chromium"
_UNPACKED = ROOT / ".cache" / "chromium"

#: What the browser does without. Of two such switches the last counts, so what Playwright turns off is here as well. Beside it: a process that
#: waits for the next page, and popups of the address bar, pages of the browser's own that cost each window several times what a test's costs.
_FEATURES = (
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "SpareRendererForSitePerProcess",
    "ThirdPartyStoragePartitioning",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxPopup",
)

#: No sandbox, since Chromium has none for root and containers often forbid it: only this project's own pages are opened. Nothing
#: that speaks to the network by itself.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=" + ",".join(_FEATURES),
)

_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><dir>/usr/share/fonts</dir><cachedir>{cache}</cachedir></fontconfig>
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chromium:
    """What Playwright's ``launch()`` needs to know."""

    executable: Path
    """The browser's binary."""
    env: dict[str, str | float | bool] | None = field(default=None, repr=False)
    """The environment to run it in, if not this process's: it names the shared libraries and fonts that came with it."""
    arguments: tuple[str, ...] = ARGUMENTS
    """Command-line switches."""
    is_whole: bool = True
    """Whether it is the browser that people have, not the headless shell: that one knows no desktop notifications, and no cache for Back."""


def find() -> Chromium | None:
    """Return the browser of this machine, or the one that was fetched; ``None`` if there is neither."""
    for name in filter(None, (os.environ.get("CHROMIUM"), *_NAMES)):
        if path := shutil.which(name):
            return Chromium(executable=Path(path), is_whole="headless" not in Path(path).name)
    return _unpacked() if (_PACKAGE / "node_modules").exists() else None


def need(*, whole: bool = False) -> Chromium:
    """Return a browser, or, with ``whole``, one that is more than a headless shell; skip the test if there is none."""
    found = find() or missing(
        "a Chromium", "install chromium, or run python -m tests.support.browser"
    )
    if whole and not found.is_whole:
        missing(
            "a Chromium that is more than the headless shell that was fetched", "install chromium"
        )
    return found


@cache
def _unpacked() -> Chromium:
    _UNPACKED.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [node.node(), _PACKAGE / "unpack.mjs"],
        env={**node.environment(), "TMPDIR": str(_UNPACKED)},
        check=True,
        capture_output=True,
        text=True,
    )
    answer = json.loads(done.stdout)
    # The package's own configuration looks for the fonts in places that are not these.
    configuration = _UNPACKED / "fonts.conf"
    configuration.write_text(_FONTS.format(fonts=answer["fonts"], cache=_UNPACKED / "fonts-cache"))
    # `--no-zygote` and one process are what that build is made for.
    return Chromium(
        executable=Path(answer["executable"]),
        env={
            **os.environ,
            "LD_LIBRARY_PATH": answer["libraries"],
            "FONTCONFIG_FILE": str(configuration),
        },
        arguments=(*ARGUMENTS, "--no-zygote"),
        is_whole=False,
    )


def main() -> int:
    """Fetch a browser if the machine has none; print where it is."""
    found = find()
    if found is None:
        command = [*node.command("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(command, cwd=_PACKAGE, env=node.environment(), check=True)
        found = _unpacked()
    print(f"Browser: {found.executable}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
