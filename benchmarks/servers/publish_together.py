"""One of several processes that publish: for each line on its input it writes, and prints when it began and ended, as JSON.

A line has the work, how often, and the seconds between two. ``insert`` writes bare rows for a user without a stream; ``notify`` calls
``notify()`` for one whose stream the parent reads, and ``publish`` is for the topic of all. Several wait for their lines, so that they
begin together. A process of its own.
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
    parser.add_argument("--first", type=int, required=True, help="the number of its first event")
    options = parser.parse_args()
    django.setup()
    # Models can be imported only now.
    from django.contrib.auth.models import User  # noqa: PLC0415

    from sse_notify import flush, notify, publish  # noqa: PLC0415
    from sse_notify.models import Notification  # noqa: PLC0415
    from sse_notify.notifications.store import to_user  # noqa: PLC0415

    you, other = User.objects.order_by("pk")[:2]
    body, url, level = "on the release plan", "/plans/1/", "success"

    def insert(number: int) -> None:
        columns = {"title": "Ada commented", "body": body, "url": url, "level": level}
        Notification.objects.create(**columns, data=events.stamp(number), **to_user(other.pk))

    def tell(number: int) -> None:
        notify(you, "Ada commented", body, url=url, level=level, data=events.stamp(number))

    def say(number: int) -> None:
        publish("bench", events.data(number), event=events.NAME)

    works = {"insert": insert, "notify": tell, "publish": say}
    print("ready", flush=True)
    for line in sys.stdin:
        name, count, spacing = line.split()
        work = works[name]
        began = time.monotonic()
        for number in range(int(count)):
            time.sleep(max(0.0, began + number * float(spacing) - time.monotonic()))
            work(options.first + number)
        ended = time.monotonic()
        flush()
        print(json.dumps([began, ended]), flush=True)


if __name__ == "__main__":
    main()
