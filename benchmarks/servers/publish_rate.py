"""Times ``notify()`` without a server and prints the rates as JSON. A process of its own.

The process only writes, as a job would: the rows are committed, numbered and handed to the layer, no stream is open.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import django


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--bulk", type=int, required=True, help="users of one bulk call")
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--core", type=int, default=None)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    django.setup()
    json.dump(_time_all(options.calls, options.bulk, options.repeats), sys.stdout)


def _time_all(calls: int, bulk: int, repeats: int) -> dict[str, float]:
    # Models can be imported only now.
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import connection, transaction  # noqa: PLC0415

    from sse_notify import notify  # noqa: PLC0415

    users = list(User.objects.order_by("pk")[: max(calls, bulk)])
    everyone = User.objects.filter(pk__lte=users[bulk - 1].pk)

    def one_by_one() -> None:
        for user in users[:calls]:
            notify(user, "Ada commented", "on the release plan")

    def in_one_transaction() -> None:
        with transaction.atomic():
            one_by_one()

    def in_bulk() -> None:
        rows = notify(everyone, "Ada commented", "on the release plan")
        assert len(rows) == bulk

    notify(users[0], "What is made once is made here")
    single, together, many = (
        _median(repeats, work) for work in (one_by_one, in_one_transaction, in_bulk)
    )
    queries = 0

    def count(execute: Callable[..., Any], *call: Any) -> Any:
        nonlocal queries
        queries += 1
        return execute(*call)

    with connection.execute_wrapper(count):
        in_bulk()
    return {
        "single_per_second": calls / single,
        "in_one_transaction_per_second": calls / together,
        "bulk_users": bulk,
        "bulk_seconds": many,
        "bulk_per_second": bulk / many,
        "bulk_queries": queries,
    }


def _median(repeats: int, work: Callable[[], None]) -> float:
    """Return the median of the seconds that ``work`` takes."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
