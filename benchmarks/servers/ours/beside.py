"""The settings with another package's notifications beside ours; ``BENCH_JOURNAL`` is SQLite's journal."""

import os

from benchmarks.servers.ours.settings import *  # noqa: F403
from benchmarks.servers.ours.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "notifications"]
if (journal := os.environ.get("BENCH_JOURNAL")) and "OPTIONS" in DATABASES["default"]:
    pragmas = f"PRAGMA journal_mode={journal}; PRAGMA synchronous=FULL;"
    DATABASES["default"]["OPTIONS"]["init_command"] = pragmas
