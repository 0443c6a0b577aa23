"""The site that the files of ``deploy/`` run, one for all tests of this folder."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
import trustme

from tests.deploy.mysite import Certificate, Mysite
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer


@pytest.fixture(scope="session")
def _made(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    _postgres_template: str,
) -> Iterator[Mysite]:
    postgres_server.start()
    name = postgres_server.create_database(template=_postgres_template)
    folder = tmp_path_factory.mktemp("mysite")
    mysite = Mysite(folder, database_url=postgres_server.url(name), redis_url=redis_server.url)
    yield mysite
    mysite.close()
    postgres_server.start()
    postgres_server.drop_database(name)


@pytest.fixture
def mysite(_made: Mysite, redis_url: str, postgres_server: PostgresServer) -> Iterator[Mysite]:
    """The site of ``docs/deploy.md``; what a test starts on it ends with the test."""
    postgres_server.start()
    yield _made
    _made.close()
    print(_made.tail())


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for this machine, by somebody whom only a test trusts."""
    folder = tmp_path_factory.mktemp("certificate")
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1", "localhost")
    made.cert_chain_pems[0].write_to_path(folder / "mysite.crt")
    made.private_key_pem.write_to_path(folder / "mysite.key")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return Certificate(files=(folder / "mysite.crt", folder / "mysite.key"), trust=trust)
