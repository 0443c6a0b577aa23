"""Fixtures that hand out real services; ``pytest --fixtures`` shows how to use each."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import hypothesis
import pytest
from django.core.management.commands import flush
from django.test import SimpleTestCase
from django.utils import translation
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from sse_notify.telemetry import Incident
from tests.support import GUARD
from tests.support import browser as browsers
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.servers import Kind, Server
from tests.support.site import SEED, Site

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MakeSite = Callable[..., Site]

# The machine may be busy, so no example has to be quick; in CI the examples are the same in every run. HYPOTHESIS_PROFILE=long tries many, and "few" are for a slow driver.
_profiles = {
    "short": {"max_examples": 100},
    "ci": {"max_examples": 100, "derandomize": True, "print_blob": True},
    "few": {"max_examples": 33, "derandomize": True},
    "long": {"max_examples": 2000},
}
for _name, _options in _profiles.items():
    hypothesis.settings.register_profile(_name, deadline=None, **_options)  # type: ignore[arg-type]
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "short")
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests marked for a database to the runs with it as the tests' own, and to the run on SQLite what asks no database.

    ``make test`` does all of them.
    """
    engine = os.environ.get("DATABASE_URL", "").partition(":")[0]
    mine = {"postgresql": {"postgres", "server"}, "mysql": {"mariadb", "server"}}.get(engine, set())
    chosen = [
        item
        for item in items
        if ((marked := _databases(item)) & mine) or (not marked and (not mine or _may_differ(item)))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _databases(item: pytest.Item) -> set[str]:
    """Return the marker of the databases that a test needs. That of one database narrows its module's ``server``."""
    marked = {mark.name for mark in item.iter_markers()} & {"mariadb", "postgres", "server"}
    return marked - {"server"} or marked


def _may_differ(item: pytest.Item) -> bool:
    """Whether a test may end otherwise with another database or in Python's development mode: it asks the one, or runs coroutines."""
    has_database = {"db", "transactional_db"}.intersection(
        getattr(item, "fixturenames", ())
    ) or item.get_closest_marker("django_db")
    is_testcase = issubclass(getattr(item, "cls", None) or object, SimpleTestCase)
    return bool(has_database or is_testcase or item.get_closest_marker("asyncio"))


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    """Each test begins in English: what a request of the one before has activated stays active in its thread."""
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def _no_incidents_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins without an incident: one that the test before it left would be logged as healed in this one."""
    failing: set[Incident] = set()
    failed = Incident.failed

    def record(self: Incident, error: BaseException) -> None:
        failing.add(self)
        failed(self, error)

    monkeypatch.setattr(Incident, "failed", record)
    yield
    for incident in failing:
        incident.failures = 0


@pytest.fixture(autouse=True, scope="session")
def _flush_what_tests_wrote() -> Iterator[None]:
    """A test that commits has the tables emptied after it, but for what migrations put there, which took longer to make again than most tests."""

    def sql_flush(
        style: Any, connection: Any, reset_sequences: bool = True, allow_cascade: bool = False
    ) -> list[str]:
        tables = connection.introspection.django_table_names(
            only_existing=True, include_views=False
        )
        written = [
            table for table in tables if table not in ("auth_permission", "django_content_type")
        ]
        found: list[str] = connection.ops.sql_flush(
            style, written, reset_sequences=reset_sequences, allow_cascade=allow_cascade
        )
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", sql_flush)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_: None)
        yield


@pytest.fixture
def alice(django_user_model: Any) -> User:
    """A user in the database of the tests' own process; a site has users of the same names in its own."""
    user: User = django_user_model.objects.create_user("alice")
    return user


@pytest.fixture
def bob(django_user_model: Any) -> User:
    """Another user, as ``alice``."""
    user: User = django_user_model.objects.create_user("bob")
    return user


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis, one for all tests: ``redis_server.url``, ``.stop()``, ``.start()``, ``.restart()``.

    Use ``redis_url`` unless the test stops the server: that one is running and empty in every test.
    """
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of a real Redis that runs and is empty."""
    redis_server.start()
    redis_server.flush()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL, one for all tests: ``.create_database()``, ``.url(name)``, ``.stop("immediate")``, ``.start()``, ``.restart()``."""
    server = PostgresServer()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sqlite")
    path = folder / "template.sqlite3"
    Site(folder, database_url=f"sqlite:///{path}").script(SEED)
    return path


@pytest.fixture(scope="session")
def _postgres_template(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> str:
    name = postgres_server.create_database("site_template")
    Site(tmp_path_factory.mktemp("postgres"), database_url=postgres_server.url(name)).script(SEED)
    return name


@pytest.fixture
def make_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeSite]:
    """Make sites for one test, each with a fresh database: ``make_site("postgresql", redis=True)``, ``make_site()`` for SQLite.

    Then ``site.serve("daphne")``, ``site.listen(server, "alice")``, ``site.send(server, "notify", to="alice", title="Hi")``,
    ``site.script("...")``: see :class:`tests.support.site.Site`. ``env`` sets what ``tests/project/settings.py`` lists. Servers and
    scripts are ended with the test.
    """
    sites: list[Site] = []
    databases: list[str] = []

    def make(
        database: Literal["sqlite", "postgresql"] = "sqlite",
        *,
        redis: bool = False,
        env: dict[str, str] | None = None,
    ) -> Site:
        if database == "postgresql":
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            template: str = request.getfixturevalue("_postgres_template")
            postgres.start()
            databases.append(postgres.create_database(template=template))
            url = postgres.url(databases[-1])
        else:
            path = tmp_path / f"site-{len(sites)}.sqlite3"
            shutil.copyfile(request.getfixturevalue("_sqlite_template"), path)
            url = f"sqlite:///{path}"
        redis_url = request.getfixturevalue("redis_url") if redis else None
        folder = Path(tempfile.mkdtemp(prefix="site-", dir=tmp_path))
        sites.append(Site(folder, database_url=url, redis_url=redis_url, env=env))
        return sites[-1]

    yield make
    for site in sites:
        site.close()
        # pytest shows it with a test that failed.
        print(site.tail())
    for name in databases:
        postgres = request.getfixturevalue("postgres_server")
        postgres.start()
        postgres.drop_database(name)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A site on SQLite with the in-memory layer; :class:`tests.support.site.Site` shows what it can do."""
    return make_site()


@pytest.fixture
def asgi_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start any ASGI (or WSGI) application as a process: ``asgi_server("package.module:app", kind="daphne", env={...}, port=...)``.

    Most tests want ``site.serve()``, which knows the project and its database.
    """
    servers: list[Server] = []

    def start(
        app: str | None = None,
        *,
        kind: Kind = "uvicorn",
        env: dict[str, str] | None = None,
        port: int | None = None,
    ) -> Server:
        server = Server(
            log=tmp_path / f"server-{len(servers)}.log", kind=kind, app=app, port=port, env=env
        )
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop(timeout=5)
        print(server.process.tail())


@pytest.fixture(scope="module")
def engine() -> str:
    """The browser that the tests of a module use: "chromium", or what ``BROWSER`` says."""
    return os.environ.get("BROWSER", "chromium")


@pytest.fixture(autouse=True)
def _drivable(request: pytest.FixtureRequest) -> None:
    """Skip what cannot be driven in the browser of the test."""
    marker = request.node.get_closest_marker("chromium")
    if marker and request.getfixturevalue("engine") != "chromium":
        pytest.skip(marker.args[0])


@pytest.fixture(scope="module")
def browser(engine: str) -> Iterator[Browser]:
    """A headless browser, one for a module's tests. Its windows are ``page``, or ``browser.new_context(...)``.

    Playwright's synchronous calls keep an event loop in this thread while the browser is open, so a module with browser tests has no
    async tests and does not use the ORM in process: it sends through a site (``site.send``, ``site.script``).
    """
    installed = browsers.need(engine)
    expect.set_options(timeout=GUARD * 1000)
    with sync_playwright() as playwright:
        launched = installed.launch(playwright)
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile: its own cookies and storage, shared by the pages that it opens. Every wait is bounded by the guard."""
    opened = browser.new_context()
    opened.set_default_timeout(GUARD * 1000)
    yield opened
    opened.close()


#: What Firefox tells as an error of a script, but is one of the network.
_OF_THE_NETWORK = re.compile(
    "Firefox can.t establish|The connection to .* was interrupted|Loading module from|Failed to load"
    "|The Same Origin Policy disallows|The page.s settings blocked"
)


@pytest.fixture
def page_errors() -> list[str]:
    """The errors of scripts in ``page`` so far. A test that provokes one clears the list."""
    return []


@pytest.fixture
def page(context: BrowserContext, page_errors: list[str]) -> Iterator[Page]:
    """A window in a fresh profile. An error in a script of the page fails the test."""
    opened = context.new_page()

    def note(error: Error) -> None:
        if not _OF_THE_NETWORK.match(str(error)):
            page_errors.append(str(error))

    opened.on("pageerror", note)
    yield opened
    assert not page_errors
