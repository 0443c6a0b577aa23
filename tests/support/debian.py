"""Debian's packages, unpacked into ``.cache``: programs for tests, without any rights on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support import ROOT

#: The folder into which each program is unpacked, one below it for each.
CACHE = ROOT / ".cache"


def fetch(folder: Path, *packages: str, until: Callable[[], object]) -> None:
    """Unpack packages, with those that they need and the machine lacks, into ``folder``.

    Nothing happens, and nothing fails, where there is no apt or no network.

    Args:
        folder: gets the packages' ``usr``, ``etc`` and so on.
        packages: their names.
        until: returns whether the program is found. If it is not, the lists of packages are fetched
            first, where that is allowed.
    """
    if until() or shutil.which("apt-get") is None:
        return
    _unpack(folder, packages)
    if not until() and os.geteuid() == 0:
        _run("apt-get", "update", "-q")
        _unpack(folder, packages)


def environment(folder: Path) -> dict[str, str]:
    """Return what programs in ``folder`` need in their environment: the way to libraries and fonts."""
    libraries = [path for path in folder.glob("usr/lib/*-linux-*") if path.is_dir()]
    libraries += [path for path in folder.glob("lib/*-linux-*") if path.is_dir()]
    libraries += [path.parent for path in folder.glob("usr/lib/*-linux-*/pulseaudio/*.so")]
    found = {"LD_LIBRARY_PATH": ":".join(map(str, dict.fromkeys(libraries)))}
    if (folder / "etc" / "fonts").exists():  # the machine has none
        found["FONTCONFIG_SYSROOT"] = str(folder)
    return found


def _unpack(folder: Path, packages: tuple[str, ...]) -> None:
    fetched = folder / "packages"
    fetched.mkdir(parents=True, exist_ok=True)
    plan = _run("apt-get", "install", "--simulate", "-qq", "--no-install-recommends", *packages)
    names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    if names:
        _run("apt-get", "download", *names, cwd=fetched)
    for package in fetched.glob("*.deb"):
        _run("dpkg-deb", "-x", package, folder)
    shutil.rmtree(fetched)


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    """Return what a command prints; that it fails is seen by what is not there after it."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return done.stdout
