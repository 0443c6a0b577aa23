"""The services that other tests stand on do what their names say."""

from __future__ import annotations

import os
from collections.abc import Callable
from signal import SIGKILL

import psycopg
import pytest
import redis

from tests.conftest import MakeSite
from tests.support.postgres import PostgresServer
from tests.support.processes import ProcessFailed, listens
from tests.support.redis import RedisServer
from tests.support.servers import KINDS, Kind, Server
from tests.support.site import Site


def test_redis_restarts_empty_on_the_same_port(redis_server: RedisServer, redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    client.set("name", "value")
    redis_server.stop()
    assert not listens(redis_server.port)
    with pytest.raises(redis.ConnectionError):
        client.get("name")
    redis_server.start()
    assert client.get("name") is None
    client.close()


def test_postgres_keeps_what_was_committed_over_an_immediate_stop(
    postgres_server: PostgresServer,
) -> None:
    name = postgres_server.create_database()
    url = postgres_server.url(name)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (1)")
        connection.commit()
        connection.execute("INSERT INTO kept VALUES (2)")
        postgres_server.stop("immediate")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgres_server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]
    postgres_server.drop_database(name)


def test_postgres_is_recent_enough_and_does_not_run_as_root(
    postgres_server: PostgresServer,
) -> None:
    with psycopg.connect(postgres_server.url()) as connection:
        assert connection.info.server_version >= 150000
    assert os.stat(f"/proc/{postgres_server.pid}").st_uid != 0


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_each_site_starts_with_the_same_users_and_nothing_else(
    make_site: MakeSite, database: str
) -> None:
    code = "from django.contrib.auth.models import User; print(*User.objects.values_list('username', flat=True).order_by('pk'))"
    first, second = make_site(database), make_site(database)
    first.script("from django.contrib.auth.models import User; User.objects.create_user('dave')")
    assert first.script(code).split() == ["alice", "bob", "carol", "dave"]
    assert second.script(code).split() == ["alice", "bob", "carol"]


def test_a_script_that_fails_shows_its_traceback(site: Site) -> None:
    with pytest.raises(ProcessFailed, match="ZeroDivisionError"):
        site.script("1 / 0")


@pytest.mark.parametrize("kind", KINDS)
def test_every_server_serves_the_project_and_ends(site: Site, kind: Kind) -> None:
    server = site.serve(kind)
    assert site.stats(server)["threads"] >= 1
    assert "sessionid" in site.cookies(server, "alice")
    server.stop(timeout=10)
    assert not listens(server.port)
    server.start()
    assert site.stats(server)["pid"]


def test_a_killed_server_comes_back_on_its_port(site: Site) -> None:
    server = site.serve()
    first = site.stats(server)["pid"]
    server.kill()
    assert server.process.wait() == -SIGKILL
    server.start()
    assert site.stats(server)["pid"] != first


def test_a_server_that_cannot_start_says_why(asgi_server: Callable[..., Server]) -> None:
    with pytest.raises(ProcessFailed, match="no_such_module"):
        asgi_server("tests.no_such_module:app")
