"""The compatibility matrix: each Python that is on the machine, with each Django that runs on it.

``make matrix`` runs all of it, ``ARGS="-k py313"`` a part, ``ARGS="--list"`` shows what there is. With ``ARGS="--tags each"`` every Python and
every Django runs once, counting the pair of `make test`: that is what each change has to pass. Each pair has an environment of its own in
``.nox``, kept for the next time. Pythons that are in PATH or in pyenv's folder are found; the others are skipped, and said to be.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False

PAIRS = [
    ("3.11", "5.2"),
    ("3.12", "5.2"),
    ("3.12", "6.0"),
    ("3.12", "6.1"),
    ("3.13", "5.2"),
    ("3.13", "6.0"),
    ("3.13", "6.1"),
]
# Beside the first pair, with which `make test` runs where Python 3.11 does, these have every other Python and Django once.
EACH = [("3.12", "6.0"), ("3.13", "6.1")]
ROOT = Path(__file__).parent
# The real servers, with both layers of channels-redis; the fault suite and the browsers care for neither Python nor Django.
TESTS = [
    "tests/unit",
    "tests/asgi",
    "tests/servers/test_delivery.py",
    "tests/servers/test_revocation.py",
    "tests/deploy/test_servers.py",
]

# pyenv's own programs are shims, which may stand for none: its folders say what there is.
for _folder in sorted(Path.home().glob(".pyenv/versions/3.*/bin")):
    os.environ["PATH"] += os.pathsep + str(_folder)

PARAMETERS = [
    nox.param(
        *pair,
        id="py{}-django{}".format(*pair).replace(".", ""),
        tags=["each"] if pair in EACH else [],
    )
    for pair in PAIRS
]


@nox.session
@nox.parametrize("python,django", PARAMETERS)
def tests(session: nox.Session, django: str) -> None:
    """Run the tests that depend on Python or Django, and look for migrations that this Django would make."""
    install(session, django)
    drift = ["makemigrations", "--check", "--dry-run", "--settings", "demo_project.settings"]
    session.run("python", "-m", "django", *drift, env={"PYTHONPATH": str(ROOT)})
    session.run(
        "python",
        "-m",
        "pytest",
        "--numprocesses",
        "2",
        "--dist",
        "loadfile",
        *TESTS,
        *session.posargs,
    )


def install(session: nox.Session, django: str) -> None:
    """Install the checkout, and the versions that everything else is tested with, beside this Django."""
    constraints = Path(session.create_tmp()) / "constraints.txt"
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    constraints.write_text(
        "\n".join(line for line in lines if not line.lower().startswith("django=="))
    )
    session.install(
        "--prefer-binary",
        "--constraint",
        str(constraints),
        "--editable",
        ".[test]",
        f"django~={django}.0",
    )
