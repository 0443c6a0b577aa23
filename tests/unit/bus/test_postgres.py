"""The layer of PostgreSQL: what it carries, when, and what it leaves open. Whole processes are in ``tests/servers/test_doorbell.py``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from sse_notify import counters, notify
from sse_notify.bus import postgres, publisher, queries, signing, subscriber
from sse_notify.bus.messages import SEQUENCE_BATCH, Batch, Ephemeral, Message, pack
from sse_notify.bus.postgres import PostgresLayer
from sse_notify.log.sequence import get_head, number_pending
from sse_notify.models import Notification
from tests.support import GUARD
from tests.support.forks import Forked
from tests.unit.bus.elsewhere import another_process, carrying, heard

BURST = """
import time
import django
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = {database!r}
from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
for number in range({number}):
    publisher.ring(Ephemeral("wall", f"{{number}} ü".encode()))
    time.sleep({pause})
publisher.flush()
"""

PUBLISH = """
from django.conf import settings
apps = ["django.contrib.auth", "django.contrib.contenttypes", "sse_notify"]
settings.configure(INSTALLED_APPS=apps, SECRET_KEY="x" * 50, DATABASES={databases!r})
import django
django.setup()
from sse_notify import publish
from sse_notify.bus import publisher
publish("wall", {{"x": 1}})
assert publisher.remote_layer() is None
"""

on_postgres = pytest.mark.postgres


@pytest.fixture
def chosen(transactional_db: None) -> Iterator[None]:
    with override_settings(SSE_NOTIFY={"DOORBELL": "postgresql"}):
        yield
    # The sender's connection would keep the database from being dropped.
    until = monotonic() + GUARD
    while connections_named("sse_notify"):
        assert monotonic() < until, "a connection stays open"


def connections_named(name: str) -> int:
    with connection.cursor() as cursor:
        sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
        cursor.execute(sql, [name])
        return int(cursor.fetchone()[0])


@asynccontextmanager
async def sending() -> AsyncIterator[PostgresLayer]:
    """A layer that only sends."""
    layer = PostgresLayer()
    yield layer
    layer._connection.pgconn.finish()


@asynccontextmanager
async def process() -> AsyncIterator[subscriber.Membership]:
    """A member of the group with a layer of its own, as another process has."""
    membership = subscriber.Membership(PostgresLayer())
    await membership.join()
    try:
        async with asyncio.timeout(60):
            yield membership
    finally:
        membership.leave_soon()
        await asyncio.gather(*subscriber._leaving)


# --- any text ---


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200),
    st.integers(1, 200),
)
def test_any_text_arrives_as_it_was_in_parts_that_postgresql_takes(text: str, times: int) -> None:
    """The longest are some hundred parts."""
    whole = text * times
    parts = postgres._parts({"signed": whole})
    assert max(len(part.encode()) for part in parts) < 8000
    assert len(set(parts)) == len(parts), "PostgreSQL delivers equal ones once"
    listener = postgres._Listener()
    for part in parts:
        listener._take(part)
    assert [*listener._messages] == [{"signed": whole}]


@pytest.mark.parametrize("whole", ["ü", "ü" * 5000, "ü" * 9000], ids=["1", "2", "3 parts"])
@pytest.mark.parametrize(
    "before",
    [
        ["00001b"],
        ["00001-b"],
        ["00002.a", "00001-b"],
        ["00001.a"],
        [],
        [""],
        ["x"],
        ["00002a"],
        ["99999" + "a" * 7000] * 3,
        ["00002a", "00001b"],
        ["٣٣٣٣٣x"],
        ["-0001"],
    ],
)
def test_what_others_notify_does_not_touch_the_next_message(before: list[str], whole: str) -> None:
    listener = postgres._Listener()
    for part in [*before, *postgres._parts({"signed": whole})]:
        listener._take(part)
    assert listener._messages[-1] == {"signed": whole}
    assert sum(map(len, listener._parts)) == 0


@pytest.mark.parametrize(
    "databases",
    [
        {},
        {"default": {}},
        {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    ],
    ids=["none", "an empty one", "SQLite"],
)
def test_a_site_without_postgresql_publishes(databases: Any, tmp_path: Path) -> None:
    (script := tmp_path / "publish.py").write_text(PUBLISH.format(databases=databases))
    process = Forked([script], log=tmp_path / "publish.log")
    process.start()
    assert process.wait() == 0, process.output()


# --- real connections ---


@on_postgres
@pytest.mark.asyncio
@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize(("number", "pause"), [(2000, 0), (300, 0.001)], ids=["at once", "slowly"])
async def test_a_burst_reaches_every_process_complete_and_in_order(
    tmp_path: Path, number: int, pause: float
) -> None:
    script = tmp_path / "burst.py"
    database = connection.settings_dict["NAME"]
    script.write_text(BURST.format(number=number, pause=pause, database=database))
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    async with process() as one, process() as two:
        sender = Forked([script], log=tmp_path / "burst.log", env=env)
        sender.start()
        assert await asyncio.to_thread(sender.wait) == 0, sender.output()
        for membership in (one, two):
            assert await heard(membership, number) == [
                Ephemeral("wall", f"{each} ü".encode()) for each in range(number)
            ]


@on_postgres
@pytest.mark.asyncio
@pytest.mark.usefixtures("chosen")
async def test_large_and_small_messages_of_two_senders_stay_apart() -> None:
    sent = [
        [
            Ephemeral(f"wall.{each}", b"%d" % number * size)
            for number in range(20)
            for size in (1, 30_000)
        ]
        for each in range(2)
    ]
    async with process() as membership, sending() as one, sending() as two:

        async def send(layer: PostgresLayer, messages: list[Ephemeral]) -> None:
            for message in messages:
                await layer.group_send(signing.groups()[0], carrying(message))

        await asyncio.gather(*map(send, (one, two), sent))
        found = await heard(membership, 80)
    for topic, messages in zip(("wall.0", "wall.1"), sent, strict=True):
        assert [
            each for each in found if isinstance(each, Ephemeral) and each.topic == topic
        ] == messages


@on_postgres
@pytest.mark.asyncio
@pytest.mark.usefixtures("chosen")
async def test_what_others_notify_is_dropped_and_the_next_one_arrives() -> None:
    """Whoever may connect to the database may notify."""
    before, message = counters.get("dropped"), Ephemeral("wall", b"x")
    async with process() as membership, sending() as layer:
        name = postgres._name(signing.groups()[0])
        await layer.group_send(signing.groups()[0], carrying(message))
        for payload in (
            "",
            "hello",
            "00000",
            "00009x",
            "00000" + carrying(message)["signed"][:-1] + "x",
        ):
            await layer._connection.execute("SELECT pg_notify(%s, %s)", [name, payload])
        await layer.group_send(signing.groups()[0], carrying(message))
        assert await heard(membership, 2) == [message] * 2
    assert counters.get("dropped") > before


@on_postgres
@pytest.mark.asyncio
@pytest.mark.usefixtures("chosen")
async def test_a_lost_connection_is_an_error_and_the_next_join_hears_again() -> None:
    message = Ephemeral("wall", b"x")
    async with process() as membership, sending() as layer:
        receiving = asyncio.ensure_future(heard(membership, 1))
        await asyncio.to_thread(cut)
        with pytest.raises(psycopg.OperationalError):
            await receiving
        await membership.join()
        with another_process():
            await publisher.send(layer, [pack(message)])
        assert await heard(membership, 1) == [message]


def cut() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sse_notify'"
        )
    connection.close()


@on_postgres
@pytest.mark.asyncio
@pytest.mark.usefixtures("chosen")
async def test_nothing_stays_connected_after_listening_asking_and_sending() -> None:
    heard_: asyncio.Queue[Message] = asyncio.Queue()
    ready = asyncio.Event()
    listening = asyncio.create_task(subscriber.listen(heard_.put_nowait, ready))
    await ready.wait()
    assert await asyncio.to_thread(count_and_close) == 1
    sent = postgres.layer().group_send(signing.groups()[0], carrying(Ephemeral("wall", b"x")))
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sent, publisher.senders_loop()))
    assert await asyncio.wait_for(heard_.get(), 20) == Ephemeral("wall", b"x")
    await asyncio.wrap_future(queries.ask(0.1))
    assert await asyncio.wrap_future(queries.ping(20))
    subscriber.stop(listening)
    await asyncio.wait({listening})
    await asyncio.gather(*subscriber._leaving)
    async with asyncio.timeout(20):
        while await asyncio.to_thread(count_and_close):
            pass
    assert not postgres.layer()._listeners


def count_and_close() -> int:
    try:
        return connections_named("sse_notify")
    finally:
        connection.close()


@on_postgres
@pytest.mark.asyncio
@pytest.mark.usefixtures("chosen")
async def test_many_who_ask_at_once_share_few_connections() -> None:
    asked = [queries.ask(3) for _ in range(100)]
    most = 0
    while not all(future.done() for future in asked):
        most = max(most, await asyncio.to_thread(count_and_close))
    assert [future.result() for future in asked] == [[]] * 100
    assert 0 < most < 10


@on_postgres
@pytest.mark.asyncio
@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.1, 0.5])
async def test_whoever_gives_up_while_a_question_waits_leaves_no_connection(seconds: float) -> None:
    """The sender is busy with something else meanwhile."""
    layer, busy = postgres.layer(), asyncio.Event()

    async def keep_busy() -> None:
        async with layer._sending:
            await busy.wait()

    loop = publisher.senders_loop()
    blocking = asyncio.run_coroutine_threadsafe(keep_busy(), loop)
    assert await asyncio.wrap_future(queries.ask(seconds)) == []
    loop.call_soon_threadsafe(busy.set)
    await asyncio.wrap_future(blocking)
    async with asyncio.timeout(GUARD):
        while await asyncio.to_thread(count_and_close):
            pass
    assert not layer._listeners


@on_postgres
@pytest.mark.asyncio
@pytest.mark.usefixtures("chosen")
async def test_a_number_is_told_with_its_commit_and_not_without(alice: Any) -> None:
    """Of ten notifications in a transaction that rolls back, nobody hears; of ten that commit, once."""

    def work() -> None:
        with another_process():
            for rolls_back in (True, False):
                with transaction.atomic():
                    for number in range(10):
                        notify(alice, f"{number}")
                    transaction.set_rollback(rolls_back)
        connection.close()

    async with process() as membership:
        await asyncio.to_thread(work)
        (message,) = await heard(membership, 1)
        assert isinstance(message, Batch)
        assert message == Batch(11, 10, ())
    assert await asyncio.to_thread(head_and_close) == 10


def head_and_close() -> int:
    try:
        return get_head()
    finally:
        connection.close()


@on_postgres
@pytest.mark.asyncio
@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize(
    "options",
    [
        {"autocommit": True},
        {"autocommit": False},
        {"server_side_binding": True, "isolation_level": 3, "assume_role": "postgres"},
        {"pool": {"min_size": 1}},
        {"prepare_threshold": 0},
        {"application_name": "shop", "options": "-c search_path=public -c timezone=Asia/Tokyo"},
        {"options": "-c default_transaction_read_only=on"},
        {"options": "-c statement_timeout=50 -c lock_timeout=50 -c idle_session_timeout=50"},
        {"connect_timeout": "3", "sslmode": "disable", "keepalives": 0},
    ],
    ids=str,
)
async def test_whatever_options_a_project_has_messages_are_heard(options: dict[str, Any]) -> None:
    message = Ephemeral("wall", b"x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(connection.settings_dict, "OPTIONS", options)
        async with process() as membership, sending() as layer:
            await asyncio.sleep(0.2)  # it is silence that is tried here
            for _ in range(10):
                await layer.group_send(signing.groups()[0], carrying(message))
            assert await heard(membership, 10) == [message] * 10


@on_postgres
@pytest.mark.asyncio
@pytest.mark.usefixtures("chosen")
async def test_a_process_behind_a_pooler_looks_as_often_as_one_without_a_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It hears of nothing, as long as the pooler is there: here, the server has another process id."""
    monkeypatch.setattr(postgres, "is_chosen", postgres.is_usable)  # it is off in tests
    options = {"options": "-c search_path=public,pg_catalog"}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    with override_settings(SSE_NOTIFY={}):
        assert (publisher.hears(), publisher.poll_interval()) == (True, 5)
        for change, hears, seconds in (
            ("CREATE FUNCTION public.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 1'", False, 1),
            ("DROP FUNCTION public.pg_backend_pid", True, 5),
        ):  # fmt: skip
            await asyncio.to_thread(run_and_close, change)
            ready = asyncio.Event()
            listening = asyncio.create_task(subscriber.listen(lambda message: None, ready))
            await ready.wait()
            assert (publisher.hears(), publisher.poll_interval()) == (hears, seconds)
            subscriber.stop(listening)
            await asyncio.wait({listening})
            await asyncio.gather(*subscriber._leaving)


def run_and_close(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
    connection.close()


#: How a server refuses to notify, in SQL: a function instead of PostgreSQL's own.
REFUSALS = {
    "no such function": "",
    "no permission": """
        CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN RAISE insufficient_privilege; END $$
    """,
    "at the commit, as with a full queue": """
        CREATE TABLE told (payload text);
        CREATE FUNCTION full_queue() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE program_limit_exceeded; END $$;
        CREATE CONSTRAINT TRIGGER full_queue AFTER INSERT ON told DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION full_queue();
        CREATE FUNCTION public.pg_notify(text, payload text) RETURNS void
        LANGUAGE sql AS $$ INSERT INTO told VALUES (payload) $$
    """,
}


@contextmanager
def refusing(sql: str) -> Iterator[None]:
    """In this block, the database does not notify."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER FUNCTION pg_catalog.pg_notify RENAME TO pg_notify_away")
        try:
            cursor.execute(sql or "SELECT 1")
            yield
        finally:
            cursor.execute("DROP FUNCTION IF EXISTS public.pg_notify; DROP TABLE IF EXISTS told")
            cursor.execute("DROP FUNCTION IF EXISTS full_queue")
            cursor.execute("ALTER FUNCTION pg_catalog.pg_notify_away RENAME TO pg_notify")


@on_postgres
@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_cannot_be_told_is_numbered_all_the_same_and_the_log_says_so_once(
    alice: Any, refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    with refusing(REFUSALS[refusal]):
        for number in (1, 2):
            notify(alice, f"{number}")
            assert get_head() == number
    notify(alice, "3")
    assert get_head() == 3
    said = [vars(each) for each in caplog.records if hasattr(each, "incident")]
    assert [(each["incident"], each["state"]) for each in said] == [
        ("layer_tell", "failed"),
        ("layer_tell", "healed"),
    ]


@on_postgres
@pytest.mark.usefixtures("chosen")
def test_many_rows_that_cannot_be_told_are_numbered_in_larger_batches(alice: Any) -> None:
    rows = [Notification(recipient=alice, event="x") for _ in range(SEQUENCE_BATCH + 10)]
    with refusing(""):
        Notification._base_manager.bulk_create(rows)
        for _ in number_pending():
            pass
    assert get_head() == len(rows)
