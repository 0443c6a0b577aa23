"""What the repository promises beside its code: locks without addresses, targets that are listed, tests that never vanish silently."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib

import pytest

from tests.support import ROOT
from tests.support.requirements import missing

LOCK = ROOT / "package-lock.json"


def constraints() -> dict[str, str]:
    """Return the pinned version of each package, by its normalised name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normalised(name): version for name, version in pairs}


def normalised(name: str) -> str:
    """Return a package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_names_hashes_and_no_registry() -> None:
    packages = json.loads(LOCK.read_text())["packages"]
    assert len(packages) > 1
    for name, package in packages.items():
        assert "resolved" not in package, name
        if name and not package.get("inBundle"):  # inside the file of another, which has a hash
            assert package["integrity"].startswith("sha512-"), name


def test_the_lock_agrees_with_its_package() -> None:
    wanted = json.loads((ROOT / "package.json").read_text())
    locked = json.loads(LOCK.read_text())["packages"][""]
    for kind in ("dependencies", "devDependencies"):
        assert locked.get(kind) == wanted.get(kind)


def test_the_constraints_pin_every_package_that_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {normalised(re.split(r"[\[<>=;~! ]", line)[0]) for line in asked} - {"sse-notify"}
    assert names <= constraints().keys()


def test_bare_make_lists_every_target() -> None:
    listed = subprocess.run(
        ["make", "--silent"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    for target in phony.group(1).split():
        assert re.search(rf"^  {target} +\S", listed, re.MULTILINE), target


def test_what_is_missing_fails_in_ci_and_is_skipped_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs a unicorn: apt install unicorn"):
        missing("a unicorn", "apt install unicorn")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="needs a unicorn: apt install unicorn"):
        missing("a unicorn", "apt install unicorn")
