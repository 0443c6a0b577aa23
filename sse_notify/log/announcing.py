"""Number what was committed, and tell every hub, in a thread of its own.

    caller's thread                  publisher's thread, one per process
    INSERT, COMMIT ── announce ────► number all that is pending by then, in one transaction
    INSERT, COMMIT ── announce ─┐    send the batch to every hub
    INSERT, COMMIT ── announce ─┴──► PAUSE_SECONDS later: the next batch, of all that came meanwhile

So a caller waits for its own INSERT only. A process that dies before it numbers its rows loses
none: the publisher of another process numbers them, or a hub at its next poll.

Deliberate oddities:

1. The pause keeps a loop that calls ``notify()`` from sharing the processor, and SQLite's one lock,
   with a numbering after each call. The first of a burst is not delayed.
2. While another process numbers rows, this one does not wait for the lock. It looks again after the
   pause, as its rows may have come too late for the other's batch. So many processes that publish
   at once write few large batches, and not many small ones in turn.
3. At the interpreter's exit, ``threading._register_atexit`` numbers and sends what is pending.
   ``atexit`` runs when the thread pools are already shut down. The exit closes its own thread's
   connections first: in a small pool, they may be all that there are.
4. Inside a test, it runs in the caller's thread: no other thread sees the rows of a ``TestCase``,
   and one that works while a test ends would disturb the next. A database in memory is locked for
   all threads while one of them works, without a timeout.
5. The first failure of an incident is tried again at once, on a new connection: the one that the
   thread kept may have been closed by the database meanwhile.
"""

from __future__ import annotations

import atexit
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import cache, partial
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.dispatch import Signal

from sse_notify.bus import publisher
from sse_notify.concurrency import threadpool
from sse_notify.concurrency.threadpool import twin
from sse_notify.log.sequence import HeadLocked, database, insert_missing, number_pending
from sse_notify.models import Inbox, Notification
from sse_notify.telemetry import Incident

#: Seconds between two batches of the publisher's thread.
PAUSE_SECONDS = 0.05
#: Seconds that the process waits at its exit for rows that are not numbered yet.
FLUSH_SECONDS = 2.0

#: Connection to whether its last registered announcement has run.
_announcements: WeakKeyDictionary[BaseDatabaseWrapper, threading.Event] = WeakKeyDictionary()
_database = Incident("database_publish")
#: Set while somebody waits for the publisher's thread: no pauses.
_hurries = threading.Event()
#: Set when the exit no longer waits for it: no more tries.
_exited = threading.Event()


def announce(*, waits: bool = True) -> None:
    """Number all pending rows and changes and send them to every hub.

    Args:
        waits: whether to wait while another process numbers rows.

    Raises:
        django.db.Error: the database failed. The hubs try again at their next poll.
        HeadLocked: another process numbers rows, and ``waits`` is false.
    """
    for batch in number_pending(waits=waits):
        publisher.ring(batch)


def announce_on_commit(signal: Signal | None = None, **said: Any) -> None:
    """Announce pending rows after the commit of the current transaction; at once if there is none.

    Call it for each row or change. Of the calls in one transaction, the first that was not rolled
    back announces for all. A failure is logged and not raised: the rows are committed, and the hubs
    find them at their next poll. Then ``signal`` is sent with ``said``, for each call.
    """
    using = database()
    has_run = _announcements.get(connections[using])
    # A rollback drops the callbacks and leaves the event unset. The next transaction reuses it.
    if has_run is None or has_run.is_set():
        has_run = _announcements[connections[using]] = threading.Event()

    def announce_once() -> None:
        if not has_run.is_set():
            has_run.set()
            _announce_soon(using)

    transaction.on_commit(announce_once, using=using, robust=True)
    if signal is not None and signal.has_listeners(Notification):
        send = partial(signal.send_robust, Notification, **said)
        transaction.on_commit(send, using=using, robust=True)


def locked_inbox(pk: Any, using: str) -> Inbox:
    """Lock a user's inbox until the end of the transaction, and return it."""
    insert_missing(Inbox, [pk], using)
    inbox = Inbox.objects.using(using).select_for_update().get(pk=pk)
    if inbox.changes and inbox.state_seq is None:  # the numbering skips a locked inbox
        announce_on_commit()
    return inbox


def flush() -> None:
    """Wait until what this process has committed is numbered and sent, at most four seconds.

    Python's exit does this. Call it at the end of each job in a process that ends with
    ``os._exit()``, as RQ's workers do, or that is frozen after it, as on AWS Lambda.
    """
    if _has_no_thread(database()):
        return
    deadline = monotonic() + FLUSH_SECONDS
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
            connection.close()  # a small pool may have no other for the publisher's thread
    _hurries.set()
    try:
        with suppress(TimeoutError):
            while not _run_publisher().result(max(0.0, deadline - monotonic())):
                pass
    finally:
        _hurries.clear()
    publisher.flush()


aflush = twin(flush)


def _exit() -> None:
    """Do what :func:`flush` does, as the interpreter exits (oddity 3)."""
    _hurries.set()
    if threadpool.publisher.is_active():
        with suppress(Exception):  # drivers may raise anything
            threadpool.close_idle()
        last = _run_publisher()
        with suppress(TimeoutError):
            last.result(FLUSH_SECONDS)
        last.cancel()  # if it has not begun, it would only prolong the exit
        threadpool.publisher.settle()
    _exited.set()
    publisher.flush()


def _run_publisher() -> Future[bool]:
    """Let the publisher's thread number what is pending. See :func:`_announce_and_pause`."""
    return threadpool.publisher.submit_once(_announce_and_pause)


def _announce_soon(using: str) -> None:
    if _has_no_thread(using):
        announce()
        return
    try:
        _flush_at_exit()
        publisher.prepare()
        _run_publisher()
    except RuntimeError:  # the interpreter exits, and starts no more threads
        announce()


def _has_no_thread(using: str) -> bool:
    """Return whether the numbering runs in the caller's thread (oddity 4)."""
    connection: Any = connections[using]
    is_in_memory = connection.vendor == "sqlite" and connection.is_in_memory_db()
    return is_in_memory or threadpool.in_tests()


@cache
def _flush_at_exit() -> None:
    getattr(threading, "_register_atexit", atexit.register)(_exit)  # oddity 3


def _announce_and_pause() -> bool:
    """Announce what is pending; return ``False`` if another process numbers rows (oddity 2)."""
    ends_pause = _hurries
    is_free = True
    try:
        announce(waits=False)
        _database.worked()
    except HeadLocked:
        is_free, ends_pause = False, _exited
        if not _exited.is_set():
            _run_publisher()
    except Exception as error:  # the hubs try again
        _database.failed(error)
        if _database.failures == 1 and not _hurries.is_set():  # oddity 5
            _run_publisher()
    ends_pause.wait(PAUSE_SECONDS)
    return is_free
