"""``manage.py sse_tail``: follow a stream in the terminal."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from sse_notify.exceptions import HandshakeRefused, UnknownTopic
from sse_notify.management import people
from sse_notify.parsing import Received, parse
from sse_notify.tail import Tail

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

#: What the stream says of itself, which is not counted.
_OWN = frozenset({"hello", "reset", "bye", "ping", "lost"})


class Command(BaseCommand):
    """Opens the stream in this process, so that no server has to run."""

    help = (
        "Follow the stream of a user or of topics, for debugging: what is sent arrives here as in a browser. With --user, the user's "
        "own permissions hold; with --topic alone everything is shown. "
        "Exit codes: 0 --count is reached, or the reader of a pipe left; 1 an unknown user or topic, a stream that the user may not "
        "have, or one that was ended; 130 Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to follow and how to show it."""
        parser.add_argument("--user", metavar="NAME", help="whose stream")
        parser.add_argument(
            "--topic",
            metavar="TOPIC",
            action="append",
            default=[],
            help="a topic of the project's own; without --user also everyone, staff, group:ID, user:ID; may be repeated",
        )
        parser.add_argument(
            "--cursor",
            type=int,
            metavar="NUMBER",
            help="replay what came after this number of the log; 0: all of it",
        )
        parser.add_argument("--count", type=int, metavar="NUMBER", help="end after so many events")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="one JSON object for each event")
        form.add_argument(
            "--raw", action="store_true", help="the bytes of the stream, heartbeats included"
        )

    def handle(
        self, *args: Any, user: str | None, topic: list[str], cursor: int | None, **options: Any
    ) -> None:
        """Follow it until something ends it."""
        tail = Tail(
            user=people.users([user])[0] if user is not None else None,
            topics=tuple(topic),
            cursor=cursor,
        )
        try:
            tail.check()
        except (UnknownTopic, ValueError) as error:
            raise CommandError(str(error)) from error
        out = _Out(self.stdout.write, options)
        try:
            status = _in_a_thread(tail, out)
        except HandshakeRefused as error:
            raise CommandError(error.message) from error
        except BrokenPipeError:
            # What Python flushes at its end would fail once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        if status:
            sys.exit(status)
        if not out.is_done:
            raise CommandError(f"The stream was ended: {tail.reason}")


class _Out:
    """Prints events, and counts them."""

    def __init__(self, write: Callable[..., Any], options: dict[str, Any]) -> None:
        self._write = write
        self._left: int | None = options["count"]
        self._is_json: bool = options["json"]
        self._is_raw: bool = options["raw"]

    @property
    def is_done(self) -> bool:
        """Whether as many were printed as were asked for."""
        return self._left is not None and self._left <= 0

    def take(self, chunk: bytes) -> None:
        """Print a chunk, as far as it was asked for."""
        for block in chunk.decode().split("\n\n"):
            if self.is_done:
                return
            events = parse(block.encode())
            if self._is_raw and block.strip("\n"):
                self._write(block + "\n\n", ending="")
            for event in events:
                if not self._is_raw and event.event != "ping":
                    self._write(_as_json(event) if self._is_json else _as_line(event))
                if self._left is not None and event.event not in _OWN:
                    self._left -= 1
        sys.stdout.flush()


def _in_a_thread(tail: Tail, out: _Out) -> int:
    """Follow ``tail`` on an event loop in a thread of its own; return 130 for Ctrl-C, which is the main thread's to hear."""
    failed: list[BaseException] = []
    loop = asyncio.new_event_loop()
    work = loop.create_task(_follow(tail, out))

    def run() -> None:
        try:
            loop.run_until_complete(work)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            failed.append(error)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    thread = threading.Thread(target=run, name="sse_tail")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(work.cancel)
        thread.join()
        return 130
    if failed:
        raise failed[0]
    return 0


async def _follow(tail: Tail, out: _Out) -> None:
    chunks = tail.chunks()
    try:
        async for chunk in chunks:
            out.take(chunk)
            if out.is_done:
                return
    finally:
        await chunks.aclose()


def _as_json(event: Received) -> str:
    topic = {} if event.topic is None else {"topic": event.topic}
    return json.dumps({"event": event.event, **topic, "id": event.id, "data": event.data})


def _as_line(event: Received) -> str:
    place = f"#{event.id}" if event.id is not None else ""
    name = event.event if event.topic is None else f"{event.topic} {event.event}"
    data = event.data
    if isinstance(data, dict) and isinstance(data.get("title"), str) and "level" in data:
        text = f"[{data['level']}] {data['title']}" + (
            f" — {data['body']}" if data.get("body") else ""
        )
    else:
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"{time.strftime('%H:%M:%S')}  {_printable(name):<14} {place:<8} {_printable(text)}"


def _printable(text: str) -> str:
    """Return ``text`` on one line, and without what a terminal would obey."""
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )
