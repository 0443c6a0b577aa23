"""How often long work is told of: the pauses between live updates, writes and looks for the user's wish, and what waits meanwhile.

There is no thread and no timer. What a call says within the pause after another waits for the next call, which sends the newest state
alone; the end sends whatever is left. So a live update is never waited for, and never queues up.

Deliberate oddities:

1. Threads that find another one writing go on: their numbers go with the next write. Only the end waits, as it has to be the last.
2. A database that refuses a report does not end the work: that is logged once, and the next report tries again. At the end it is
   raised, as nothing comes after it.
3. A sign of life is sent even if nothing has changed, by any call.
"""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any

from django.db import Error

from sse_notify.incidents import Incident
from sse_notify.progress import estimate, store
from sse_notify.progress.estimate import (
    DONE,
    MESSAGE_LENGTH,
    STAGE_LENGTH,
    Gauge,
    check_number,
    check_text,
)
from sse_notify.progress.store import Heard

if TYPE_CHECKING:
    from sse_notify.content import Checked

#: Seconds between two live updates of one run.
LIVE_SECONDS = 0.1
#: Seconds between two writes, and between two looks for the user's wish.
WRITE_SECONDS = 0.5


class Reporter:
    """One run of long work. Callable from several threads.

    Args:
        user: who is told.
        content: of the notification.
        total: how much there is to do.
        cancellable: whether the user may ask for the end.
        stalls_after: seconds of silence after which the work counts as stalled.
        clock: the time in seconds.
    """

    def __init__(
        self,
        user: Any,
        content: Checked,
        total: float | None,
        *,
        cancellable: bool,
        stalls_after: float,
        clock: Callable[[], float],
    ) -> None:
        #: The notification's id, once the work has begun.
        self.pk: int | None = None
        self._user, self._content, self._clock = user, content, clock
        self._cancellable, self._stalls_after = cancellable, stalls_after
        #: Between two signs of life; two may be lost before the work counts as stalled.
        self._beat = max(WRITE_SECONDS, stalls_after / 3)
        self._run = uuid.uuid4().hex
        self._gauge = Gauge(total, clock())
        # The first is held for moments, the second for as long as the database takes.
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._is_news = self._is_news_live = False
        self._sent_at = self._wrote_at = self._listened_at = 0.0
        self._heard = Heard.WELL
        self._ended = False
        #: The end that was written inside a transaction, which may be rolled back: state, message and columns.
        self._unsure: tuple[str, str, dict[str, Any]] | None = None
        self._incident = Incident("progress")

    # --- what the work says ---

    @property
    def total(self) -> float | None:
        """How much there is to do."""
        return self._gauge.total

    def set(
        self,
        *,
        done: float | None = None,
        more: float | None = None,
        stage: str | None = None,
        message: str | None = None,
        **total: float | None,
    ) -> None:
        """Take what the work says: how much is ``done``, or how much ``more``, and texts. ``None``: as before. ``total`` may be ``None``.

        Raises:
            TypeError, ValueError: a value is wrong; the message names it, and nothing is taken.
        """
        values: dict[str, Any] = {**total}
        if done is not None:
            values["done"] = check_number("done", done)
        if stage is not None:
            values["stage"] = check_text("stage", stage, STAGE_LENGTH)
        if message is not None:
            values["message"] = check_text("message", message, MESSAGE_LENGTH)
        with self._lock:
            if more is not None:
                values["done"] = check_number("done", self._gauge.done + check_number("n", more))
            self._gauge.take(self._clock(), **values)
            self._is_news = self._is_news_live = True

    # --- telling ---

    def begin(self) -> None:
        """Write the notification.

        Raises:
            django.db.Error: the database refuses.
        """
        with self._lock:
            now = self._clock()
            self._gauge.start(now)
            self._sent_at = self._wrote_at = self._listened_at = now
            columns = {**self._content.columns, "progress_state": self._kept(now)}
        self.pk = store.begin(self._user, dataclasses.replace(self._content, columns=columns)).pk

    def send(self) -> None:
        """Tell the user's open pages, if that is due. It never waits."""
        with self._lock:
            now = self._clock()
            pause = LIVE_SECONDS if self._is_news_live else self._beat
            if self._is_over or self.pk is None or now - self._sent_at < pause:
                return
            self._sent_at, self._is_news_live = now, False
            # Under the lock, so that the events of several threads are in the order of their numbers; ringing waits for nobody.
            store.tell(self._user.pk, self.pk, self._content.columns["key"], self._kept(now))

    def is_due(self, *, listen: bool) -> bool:
        """Return whether :meth:`write` has something to do; ``listen``: whether it is also to look for the user's wish."""
        with self._lock:
            return bool(self._due(self._clock(), listen=listen))

    def write(self, *, listen: bool = False) -> None:
        """Write how far it is, or look for the user's wish, if that is due and no other thread is at it."""
        if not self.is_due(listen=listen) or not self._writing.acquire(blocking=False):
            return
        try:
            with self._lock:
                now = self._clock()
                due = self._due(now, listen=listen)
                state = self._kept(now)
                if due:
                    self._listened_at = now
                if due == "write":
                    self._wrote_at, self._is_news = now, False
            if due:
                self._hear(
                    store.report(self._pk, self._run, state)
                    if due == "write"
                    else store.listen(self._pk)
                )
        except Error as error:  # oddity 2
            self._incident.failed(error)
            store.let_go_if_cut()
            with self._lock:
                self._is_news = True
        finally:
            self._writing.release()

    def end(self, state: str, message: str = "", **columns: Any) -> None:
        """Write the end, once; what was noted last is in it.

        Args:
            state: "done", "failed" or "cancelled".
            message: the last one; "": that of before.
            columns: of the notification.

        Raises:
            django.db.Error: the database refuses; the work has not ended.
        """
        with self._writing:
            with self._lock:
                if self._is_over:
                    return
                self._gauge.message = message or self._gauge.message
                ended = self._gauge.close(state)
                self._ended = True
            try:
                store.end(self._pk, self._run, ended, **columns)
            except BaseException:
                self._ended = False
                raise
            self._unsure = (state, message, columns) if store.is_inside_transaction() else None

    def close(self, state: str, message: str = "") -> None:
        """Write the end if there is none. One that may have been rolled back is written again, which changes nothing if it was not.

        Args as for :meth:`end`: how the block has ended. What was done and rolled back has failed, if the block has.
        """
        columns: dict[str, Any] = {}
        with self._writing, self._lock:
            if self._unsure is not None:
                self._ended = False
                if self._unsure[0] != DONE or state == DONE:
                    state, message, columns = self._unsure
                self._unsure = None
        self.end(state, message, **columns)

    @property
    def is_asked_to_end(self) -> bool:
        """Whether the user, or a later run, has asked for the end, as far as is known."""
        return self._heard in (Heard.CANCEL, Heard.TAKEN)

    # --- inside, under the lock ---

    @property
    def _is_over(self) -> bool:
        return self._ended or self._heard in (Heard.TAKEN, Heard.GONE)

    @property
    def _pk(self) -> int:
        assert self.pk is not None
        return self.pk

    def _due(self, now: float, *, listen: bool) -> str:
        if self._is_over or self.pk is None:
            return ""
        if now - self._wrote_at >= (WRITE_SECONDS if self._is_news else self._beat):
            return "write"
        asks = listen and self._cancellable and self._heard is Heard.WELL
        return "listen" if asks and now - self._listened_at >= WRITE_SECONDS else ""

    def _kept(self, now: float) -> dict[str, Any]:
        told = self._gauge.read(now)
        return estimate.keep(
            told,
            run=self._run,
            at=time(),
            stalls_after=self._stalls_after,
            cancellable=self._cancellable,
        )

    def _hear(self, heard: Heard) -> None:
        self._incident.worked()
        self._heard = heard
