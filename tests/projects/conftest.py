"""Fixtures of the projects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.reader import build
from tests.projects.project import Project


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout's wheel."""
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def project(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheel: Path
) -> Iterator[Project]:
    """An empty project, with an empty environment: nothing names the settings or modules of another."""
    for name in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    one = Project(tmp_path, wheel, request.node.name.removeprefix("test_"))
    yield one
    one.server.stop(timeout=5)
    one.keep()
