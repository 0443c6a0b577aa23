"""One of several processes that publish at once: for each line on its input it writes, and prints when it began and ended, as JSON.

``insert`` writes bare rows for a user without a stream; ``notify`` calls ``notify()`` for one whose stream the parent reads. All wait for
their lines, so that they begin together. A process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import django

from benchmarks.servers import events


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, required=True, help="rows or calls for each line")
    parser.add_argument("--first", type=int, required=True, help="the number of its first event")
    options = parser.parse_args()
    django.setup()
    # Models can be imported only now.
    from django.contrib.auth.models import User  # noqa: PLC0415

    from sse_notify import flush, notify  # noqa: PLC0415
    from sse_notify.models import Notification  # noqa: PLC0415
    from sse_notify.notifications.store import to_user  # noqa: PLC0415

    you, other = User.objects.order_by("pk")[:2]
    body, url, level = "on the release plan", "/plans/1/", "success"

    def insert(number: int) -> None:
        columns = {"title": "Ada commented", "body": body, "url": url, "level": level}
        Notification.objects.create(**columns, data=events.stamp(number), **to_user(other.pk))

    def tell(number: int) -> None:
        notify(you, "Ada commented", body, url=url, level=level, data=events.stamp(number))

    works = {"insert": insert, "notify": tell}
    print("ready", flush=True)
    for line in sys.stdin:
        work = works[line.strip()]
        began = time.monotonic()
        for number in range(options.first, options.first + options.calls):
            work(number)
        ended = time.monotonic()
        flush()
        print(json.dumps([began, ended]), flush=True)


if __name__ == "__main__":
    main()
