"""Times what a caller of ``notify()`` waits for, beside a bare INSERT and another package's ``notify.send()``. A process of its own.

The three take turns, so that a slow moment hits all of them. Between the turns the publisher's thread has finished: no call pays for
the numbering of another's. Then ``notify(..., chunked=True)`` tells a crowd, while somebody else is notified again and again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import django
from django.core.management import call_command

#: Turns of each; the figures are medians of their means.
TURNS = 7
#: The most seconds in which the publisher's thread ends.
NOTHING_MORE = 60.0
#: Seconds between two notifications of somebody else.
PACE = 0.05


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, required=True, help="calls in one turn")
    parser.add_argument("--crowd", type=int, default=0, help="users of the call in chunks")
    options = parser.parse_args()
    django.setup()
    call_command("migrate", verbosity=0)
    found = _calls(options.calls)
    if options.crowd:
        found |= _crowd(options.crowd)
    json.dump(found, sys.stdout)


def _calls(number: int) -> dict[str, float]:
    # Models can be imported only now.
    from django.contrib.auth.models import User  # noqa: PLC0415
    from notifications.signals import notify as peer  # type: ignore[import-untyped]  # noqa: PLC0415

    from sse_notify import notify  # noqa: PLC0415
    from sse_notify.models import Notification  # noqa: PLC0415
    from sse_notify.notifications.store import to_user  # noqa: PLC0415

    ada, you = User.objects.order_by("pk")[:2]
    body, url, level = "on the release plan", "/plans/1/", "success"

    def insert(index: int) -> None:
        columns = {"title": f"Comment {index}", "body": body, "url": url, "level": level}
        Notification.objects.create(**columns, **to_user(you.pk))

    def ours(index: int) -> None:
        notify(you, f"Comment {index}", body, url=url, level=level)

    def theirs(index: int) -> None:
        peer.send(ada, recipient=you, verb=f"Comment {index}", description=body, level=level)

    works: dict[str, Callable[[int], None]] = {
        "insert_us": insert,
        "notify_us": ours,
        "peer_us": theirs,
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(TURNS + 1):
        for name, work in works.items():
            started = time.perf_counter()
            for index in range(number):
                work(index)
            took = time.perf_counter() - started
            _settle()
            if turn:  # the first one makes what is made once
                seconds[name].append(took)
    return {name: statistics.median(each) / number * 1e6 for name, each in seconds.items()}


def _crowd(number: int) -> dict[str, float]:
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415

    from sse_notify import notify  # noqa: PLC0415
    from sse_notify.models import Notification  # noqa: PLC0415

    other = User.objects.order_by("pk")[0]
    User.objects.bulk_create(
        [User(username=f"crowd {index}", password="!") for index in range(number)], batch_size=5000
    )
    crowd = User.objects.filter(username__startswith="crowd ")
    over = threading.Event()
    waits: list[float] = []

    def somebody_else() -> None:
        """Notify one user, and see how long it takes until the row has its number: then it is sent."""
        while not over.wait(PACE):
            started = time.perf_counter()
            row = notify(other, "To one")
            while Notification.objects.filter(pk=row.pk, seq=None).exists():
                time.sleep(0.002)
            waits.append(time.perf_counter() - started)
        connection.close()

    before, most = _resident(), 0.0

    def progress(_done: int, _all: int) -> None:
        nonlocal most
        most = max(most, _resident())

    thread = threading.Thread(target=somebody_else)
    thread.start()
    started = time.perf_counter()
    notify(crowd, "To all of you", "on the release plan", chunked=True, on_progress=progress)
    took = time.perf_counter() - started
    _settle()
    sent = time.perf_counter() - started
    over.set()
    thread.join()
    return {
        "crowd": number,
        "crowd_seconds": took,
        "crowd_sent_seconds": sent,
        "crowd_mb": most - before,
        "other_ms": max(waits) * 1e3,
    }


def _settle() -> None:
    """Give all that was committed its number, those of the bare INSERTs too."""
    from sse_notify.concurrency import threadpool  # noqa: PLC0415
    from sse_notify.log.announcing import announce  # noqa: PLC0415

    announce()
    threadpool.publisher.settle(NOTHING_MORE)


def _resident() -> float:
    """Return the memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
