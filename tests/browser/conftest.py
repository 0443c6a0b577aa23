"""A server that the tests of a module share: each test has a user of its own at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.gallery import galleries, gallery
from tests.support.desk import Desk
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.webkit import Window

__all__ = ["galleries", "gallery"]


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path
) -> Iterator[tuple[Site, Server]]:
    """One site and its server for the tests of a module, which neither stop it nor broadcast."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copyfile(_sqlite_template, folder / "site.sqlite3")
    # Texts follow what a browser asks for.
    env = {"EXTRA_MIDDLEWARE": "django.middleware.locale.LocaleMiddleware"}
    site = Site(folder, database_url=f"sqlite:///{folder / 'site.sqlite3'}", env=env)
    yield site, site.serve()
    site.close()
    print(site.tail())


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """A window of WebKit that the tests of a module share."""
    opened = Window(tmp_path_factory.mktemp("webkit"))
    yield opened
    opened.close()


@pytest.fixture
def desk(shared: tuple[Site, Server]) -> Desk:
    """A user of the shared site whom no other test uses."""
    return Desk(*shared)
