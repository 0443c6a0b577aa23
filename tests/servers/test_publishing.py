"""What is committed is numbered in a thread of its own, and whoever notifies does not wait for it, however the process ends."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.faults.ledger import query
from tests.support.site import Site

pytestmark = pytest.mark.slow

MakeSite = Callable[..., Site]

DATABASES = pytest.mark.parametrize("database", ["sqlite", "postgresql"])

BEGIN = """
import threading
from django.contrib.auth.models import User
from django.db import connection, transaction
from sse_notify import broadcast, mark_read, notify
from sse_notify.log import announcing

alice = User.objects.get(username="alice")
"""


def numbers(site: Site) -> list[tuple[int | None]]:
    sql = "SELECT seq FROM sse_notify_notification ORDER BY id"
    if not site.database_url.startswith("sqlite"):
        return query(site, sql)
    with closing(sqlite3.connect(site.database_url.removeprefix("sqlite:///"))) as connection:
        return list(connection.execute(sql))


def dense(number: int) -> list[tuple[int]]:
    return [(seq,) for seq in range(1, number + 1)]


@DATABASES
def test_a_caller_runs_one_statement(make_site: MakeSite, database: str) -> None:
    site = make_site(database)
    printed = site.script(
        BEGIN
        + """
from django.test.utils import CaptureQueriesContext
for send in (lambda: notify(alice, "One"), lambda: broadcast("All"), lambda: notify([alice], "One")):
    with CaptureQueriesContext(connection) as queries:
        send()
    sql = [query["sql"] for query in queries]
    print(len(sql), sql[0][:6])
"""
    )
    assert printed.split() == ["1", "INSERT"] * 3
    assert numbers(site) == dense(3)


def test_a_site_that_keeps_its_emails_in_memory_is_not_taken_for_a_test(site: Site) -> None:
    """That backend makes the outbox of tests, so callers did the numbering from the first e-mail on."""
    printed = site.script(
        BEGIN
        + """
from django.core.mail import EmailMessage, get_connection
from django.test.utils import CaptureQueriesContext
memory = get_connection("django.core.mail.backends.locmem.EmailBackend")
EmailMessage("Hello", to=["alice@example.com"], connection=memory).send()
with CaptureQueriesContext(connection) as queries:
    notify(alice, "One")
print(len(queries))
"""
    )
    assert printed.split() == ["1"]
    assert numbers(site) == dense(1)


def test_flush_leaves_its_connection_to_the_thread_that_numbers(make_site: MakeSite) -> None:
    """In a pool of one, the thread that called it had all there were, and it waited in vain."""
    options = json.dumps({"pool": {"min_size": 1, "max_size": 1}})
    site = make_site("postgresql", env={"DATABASE_OPTIONS": options})
    site.script(
        BEGIN
        + """
import os
from sse_notify import flush
notify(alice, "One")
flush()
os._exit(0)
"""
    )
    assert numbers(site) == dense(1)


# How a process ends: each notifies ten times.
ENDS = {
    "the script ends": "for n in range(10): notify(alice, str(n))",
    "it is told to exit": "for n in range(10): notify(alice, str(n))\nraise SystemExit",
    "a thread goes on after the main thread": """
begun = threading.Event()
def work():
    begun.wait()
    threading.main_thread().join()
    for n in range(10): notify(alice, str(n))
threading.Thread(target=work).start()
begun.set()
""",
    "in a forked child": """
import multiprocessing
def work():
    for n in range(5): notify(alice, f"child {n}")
for n in range(5): notify(alice, str(n))
connection.close()
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
assert child.exitcode == 0
""",
    "in one transaction": """
with transaction.atomic():
    for n in range(10): notify(alice, str(n))
""",
    "from async code": """
import asyncio
from sse_notify import anotify
async def work():
    for n in range(10): await anotify(alice, str(n))
asyncio.run(work())
""",
}


@DATABASES
@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_left_to_number_when_a_process_has_ended(
    make_site: MakeSite, database: str, end: str
) -> None:
    site = make_site(database)
    site.script(BEGIN + ENDS[end])
    assert sorted(numbers(site)) == dense(10)


@DATABASES
def test_flush_leaves_nothing_to_a_process_that_ends_without_pythons_exit(
    make_site: MakeSite, database: str
) -> None:
    """As a worker that forks for each job: in the child the thread does not run yet."""
    site = make_site(database)
    site.script(
        BEGIN
        + """
import os
from sse_notify import aflush, flush
from asgiref.sync import async_to_sync
flush()
for n, wait in enumerate((flush, async_to_sync(aflush))):
    connection.close()
    if (pid := os.fork()) == 0:
        for m in range(5):
            notify(alice, f"child {n}.{m}")
        wait()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""
    )
    assert sorted(numbers(site)) == dense(10)


def test_flush_gives_up_in_time(make_site: MakeSite) -> None:
    """While another process numbers. Afterwards, the next one is not kept from it."""
    site = make_site("postgresql")
    printed = site.script(
        BEGIN
        + """
import time
from sse_notify import flush
from sse_notify.models import LogHead
with transaction.atomic():
    LogHead.objects.select_for_update().get()
    thread = threading.Thread(target=lambda: notify(alice, "One"))
    thread.start()
    thread.join()
    began = time.monotonic()
    flush()
    print(announcing.FLUSH_SECONDS <= time.monotonic() - began < announcing.FLUSH_SECONDS + 10)
flush()
"""
    )
    assert printed.split() == ["True"]
    assert numbers(site) == dense(1)


@DATABASES
def test_a_burst_is_numbered_in_batches(make_site: MakeSite, database: str) -> None:
    site = make_site(database)
    printed = site.script(
        BEGIN
        + """
batches = []
number = announcing.number_pending
def counted(**options):
    for batch in number(**options):
        batches.append(batch)
        yield batch
announcing.number_pending = counted
for n in range(300): notify(alice, str(n))
announcing.flush()
print(len(batches), sum(batch.last - batch.first + 1 for batch in batches))
"""
    )
    batches, numbered = map(int, printed.split())
    assert numbered == 300
    assert batches < 150, "what comes while a batch commits waits for the next"


def test_an_idle_publisher_has_no_connection_even_if_the_projects_persist(
    make_site: MakeSite,
) -> None:
    site = make_site("postgresql")
    printed = site.script(
        BEGIN
        + """
from django.db import connections
from sse_notify.concurrency import threadpool
connections.settings["default"]["CONN_MAX_AGE"] = 600
def connected():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]
notify(alice, "One")
announcing._announce_soon("default")
threadpool.publisher.submit_once(announcing._announce_and_pause).result(10)
most = connected()
while threadpool.publisher.is_active():
    threading.Event().wait(0.05)
while connected() > 1:
    threading.Event().wait(0.05)
print(most, connected())
""",
    )
    assert printed.split() == ["2", "1"]


@pytest.mark.asyncio
async def test_a_process_without_streams_rings_at_once(make_site: MakeSite) -> None:
    """Under WSGI and in a script: the poll of a minute is not what brings it."""
    site = make_site(
        "postgresql", redis=True, env={"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 60})}
    )
    streams, pages = await asyncio.gather(
        asyncio.to_thread(site.serve, "uvicorn"), asyncio.to_thread(site.serve, "wsgi")
    )
    async with site.listen(streams, "alice") as events:
        await events.next("hello")
        for number in range(3):
            site.send(pages, "notify", to="alice", title=f"{number}")
            assert (await events.next("notification")).json()["title"] == f"{number}"
        site.script(BEGIN + "notify(alice, 'From a script')")
        assert (await events.next("notification")).json()["title"] == "From a script"


@pytest.mark.asyncio
async def test_a_publisher_whose_database_fails_says_so_once_and_loses_nothing(
    make_site: MakeSite,
) -> None:
    site = make_site("postgresql", env={"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 1})})
    server = site.serve()
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        printed = site.script(
            BEGIN
            + """
from django.db import OperationalError
def fail(**_):
    raise OperationalError("gone")
announcing.number_pending = fail
for n in range(5):
    notify(alice, str(n))
    announcing.threadpool.publisher.submit_once(announcing._announce_and_pause).result(10)
"""
        )
        titles = [event.json()["title"] for event in await events.take(5)]
    assert titles == [str(n) for n in range(5)]
    assert printed.count("incident=database_publish state=failed") == 1


@pytest.mark.asyncio
async def test_a_publisher_does_not_wait_for_one_that_numbers(make_site: MakeSite) -> None:
    """The other holds the head until this one has tried; then what this one wrote is numbered without another call."""
    site = make_site("postgresql")
    printed = site.script(
        BEGIN
        + """
from sse_notify.concurrency import threadpool
from sse_notify.log.sequence import HeadLocked
from sse_notify.models import LogHead
tried = threading.Event()
announce = announcing.announce
def watched(**options):
    try:
        announce(**options)
    except HeadLocked:
        tried.set()
        raise
announcing.announce = watched
with transaction.atomic():
    LogHead.objects.select_for_update().get()
    thread = threading.Thread(target=lambda: [notify(alice, str(n)) for n in range(3)])
    thread.start()
    thread.join()
    print(tried.wait(30))
threadpool.publisher.settle(60)  # what waits in the thread, and nothing new
"""
    )
    assert printed.split() == ["True"]
    assert numbers(site) == dense(3)


def test_a_fork_waits_for_the_publisher(make_site: MakeSite) -> None:
    """A child would inherit a lock of SQLite that nobody releases there."""
    site = make_site("sqlite")
    site.script(
        BEGIN
        + """
import os
from sse_notify.concurrency import threadpool
for n in range(5):
    notify(alice, f"parent {n}")
    connection.close()
    if (pid := os.fork()) == 0:
        try:
            assert not threadpool.publisher.is_active()
            notify(alice, f"child {n}")
            announcing.flush()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""
    )
    assert sorted(numbers(site)) == dense(10)


@pytest.mark.asyncio
@pytest.mark.parametrize("options", ["", ", chunked=True"])
async def test_a_call_for_many_reaches_who_listens_without_a_poll(
    make_site: MakeSite, options: str
) -> None:
    """Of five thousand rows, two processes with a stream each read their own."""
    site = make_site(
        "postgresql", redis=True, env={"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 600})}
    )
    one, two = await asyncio.gather(
        asyncio.to_thread(site.serve, "uvicorn"), asyncio.to_thread(site.serve, "daphne")
    )
    async with site.listen(one, "alice") as at_one, site.listen(two, "bob") as at_two:
        for events in (at_one, at_two):
            await events.next("hello")
        await asyncio.to_thread(
            site.script,
            BEGIN
            + f"""
User.objects.bulk_create([User(username=f"user {{n}}") for n in range(5000)])
notify(User.objects.order_by("-pk"), "To many"{options})
notify(alice, "Next")
broadcast("To all")
""",
        )
        titles = [
            [event.json()["title"] for event in await events.take(number, "notification")]
            for events, number in ((at_one, 3), (at_two, 2))
        ]
    assert titles == [["To many", "Next", "To all"], ["To many", "To all"]]
    assert sorted(numbers(site)) == dense(5005)


def test_a_script_whose_pool_has_one_connection_ends_and_leaves_nothing_to_number(
    make_site: MakeSite,
) -> None:
    """Its own thread holds that connection to its end."""
    pool = {"pool": {"min_size": 1, "max_size": 1}}
    site = make_site("postgresql", env={"DATABASE_OPTIONS": json.dumps(pool)})
    site.script(BEGIN + "for n in range(3): notify(alice, str(n))", timeout=20)
    assert numbers(site) == dense(3)


def test_a_script_ends_while_another_process_holds_the_head(make_site: MakeSite) -> None:
    site = make_site("postgresql")
    holder = site.start_script(
        BEGIN
        + """
from sse_notify.models import LogHead
with transaction.atomic():
    LogHead.objects.select_for_update().get()
    print("held", flush=True)
    threading.Event().wait()
"""
    )
    holder.until(lambda: "held" in holder.output())
    site.script(BEGIN + "notify(alice, 'One')", timeout=20)
    assert numbers(site) == [(None,)]
    holder.kill()
    site.script(BEGIN + "notify(alice, 'Two')")
    assert numbers(site) == dense(2)


def test_a_connection_that_the_database_has_closed_is_replaced(make_site: MakeSite) -> None:
    """No other call and no stream is needed, as after a failover."""
    site = make_site("postgresql")
    printed = site.script(
        BEGIN
        + """
from sse_notify.models import Notification
def wait_until_numbered():
    while Notification.objects.filter(seq=None).exists():
        threading.Event().wait(0.01)
notify(alice, "One")
wait_until_numbered()
with connection.cursor() as cursor:
    cursor.execute(
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    print(cursor.fetchone()[0])
notify(alice, "Two")
wait_until_numbered()
""",
        timeout=20,
    )
    assert printed.split()[0] == "1"
    assert numbers(site) == dense(2)


@pytest.mark.asyncio
async def test_a_script_that_ends_at_once_is_heard_by_a_layer_with_a_host_name(
    make_site: MakeSite,
) -> None:
    """From Python 3.12 on, a process that ends starts no threads: not the sender's, and none that asks for an address."""
    site = make_site(
        "postgresql", redis=True, env={"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 600})}
    )
    site.env["REDIS_URL"] = site.env["REDIS_URL"].replace("127.0.0.1", "localhost")
    server = await asyncio.to_thread(site.serve, "uvicorn")
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        for number in range(3):
            site.script(f"{BEGIN}notify(alice, '{number}')")
            assert (await events.next("notification")).json()["title"] == f"{number}"
