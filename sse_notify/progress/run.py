"""One run of long work: when it reports, and how it ends.

There is no thread and no timer. What a call reports too soon after another goes out with the next
call, at the latest with the end.

Deliberate oddities:

1. A database that refuses a report does not end the work: that is logged once, and the next report
   tries again. An end that is refused raises, as nothing comes after it.
2. Any call reports now and then, even if nothing has changed: it is a sign of life.
3. Writes of several threads may overtake one another if the database needs longer than the pause
   between two. The next write corrects that. The end cannot be overtaken: after it, a report finds
   no row.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from functools import partial
from time import time
from typing import Any

from django.db import Error

from sse_notify.progress import store
from sse_notify.progress.estimate import DONE, RUNNING, Estimate, Throttle, check_number, check_text
from sse_notify.telemetry import Incident

#: Seconds between two live updates of one run.
LIVE_SECONDS = 0.1
#: Seconds between two writes, and between two looks at whether the work is to end.
WRITE_SECONDS = 0.5

Job = Callable[[], None] | None


class Run:
    """One run of long work. Callable from several threads.

    Args:
        user: whose work it is.
        content: of the notification.
        total: how much there is to do; ``None`` if nobody knows.
        cancellable: whether the user may ask for the end.
        stalls_after: seconds of silence after which the work is shown as stalled.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        user: Any,
        content: dict[str, Any],
        total: float | None,
        *,
        cancellable: bool,
        stalls_after: float,
        clock: Callable[[], float],
    ) -> None:
        self.estimate = Estimate(total)
        #: The notification's id, once the work has begun.
        self.pk: int | None = None
        self._id = uuid.uuid4().hex
        self._user, self._content, self._clock = user, content, clock
        self._cancellable, self._stalls_after = bool(cancellable), stalls_after
        # Two signs of life may be lost before the work counts as stalled.
        beat = max(WRITE_SECONDS, stalls_after / 3)
        self._live, self._writes = Throttle(LIVE_SECONDS, beat), Throttle(WRITE_SECONDS, beat)
        self._looks = Throttle(WRITE_SECONDS, WRITE_SECONDS)
        self._answer = store.Answer()
        #: How the work has ended: its progress, and other columns of the row.
        self._ended: tuple[dict[str, Any], dict[str, Any]] | None = None
        self._is_final = False
        self._lock = threading.Lock()  # held for moments, never while the database works
        self._incident = Incident("progress")

    @property
    def is_asked_to_end(self) -> bool:
        """Whether the user, or a later run, asks for the end, as far as is known."""
        return self._answer.is_asked_to_end

    def begin(self) -> None:
        """Write the notification.

        Raises:
            RuntimeError: the run has begun before.
            django.db.Error: the database refuses.
        """
        if self.pk is not None:
            raise RuntimeError("A Progress is one run of the work: make another one for the next.")
        now = self._clock()
        self.estimate.start(now)
        self._live.at = self._writes.at = self._looks.at = now
        self.pk = store.begin(self._user.pk, self._content, self._state(now))

    def set_total(self, total: float | None) -> None:
        """Change how much there is to do, also before the run begins.

        This goes out with the next call.

        Raises:
            TypeError, ValueError: ``total`` is wrong.
        """
        self.estimate.set_total(total)
        self._live.has_news = self._writes.has_news = True

    def update(self, n: float | None = None, **values: Any) -> Job:
        """Take what the work reports, and send a live update if it is time. This waits for nothing.

        Args:
            n: how much more is done; ``None`` if ``values`` say how much.
            values: ``done``, ``stage``, ``message``; each that is ``None`` stays as it was.

        Returns:
            What is to be called now, as it is time to ask the database; ``None`` if it is not.

        Raises:
            TypeError, ValueError: an argument is wrong; the message names it, and nothing is
                reported.
            RuntimeError: the run has not begun.
        """
        self._check_begun()
        with self._lock:
            now = self._clock()
            if n is not None:
                values["done"] = self.estimate.done + check_number("n", n)
            self.estimate.update(now, **values)
            self._live.has_news = self._writes.has_news = True
            return self._job(now, looks=False)

    def look(self) -> Job:
        """Do what :meth:`update` does, with nothing to report but a sign of life.

        The database is also asked whether the work is to end.
        """
        with self._lock:
            return self._job(self._clock(), looks=True)

    def end(self, state: str, message: str = "", **columns: Any) -> None:
        """Write the end, once, with the last numbers.

        Args:
            state: "done", "failed" or "cancelled".
            message: the last one; "": that of before.
            columns: other columns of the notification.

        Raises:
            TypeError, ValueError: ``message`` is wrong; the work has not ended.
            RuntimeError: the run has not begun.
            django.db.Error: the database refuses; the work has not ended.
        """
        self._check_begun()
        message = check_text("message", message)
        with self._lock:
            if not self._is_running:
                return
            progress = self.estimate.as_dict(state, self._clock())
            progress["message"] = message or progress["message"]
            self._ended = (progress, columns)
        try:
            self._is_final = store.end(self.pk, self._id, progress, **columns)
        except BaseException:
            self._ended = None
            raise

    def close(self, state: str, message: str = "") -> None:
        """Write the end if there is none, or if it may have been rolled back.

        An end that is written again changes nothing. Work that was done and rolled back has failed
        if the block has. Args, which say how the block has ended, as for :meth:`end`.
        """
        if self._ended is not None and not self._is_final:
            progress, columns = self._ended
            if state == DONE or progress["state"] != DONE:
                store.end(self.pk, self._id, progress, **columns)
                return
            self._ended = None
        self.end(state, message)

    def _check_begun(self) -> None:
        if self.pk is None:
            raise RuntimeError("The work has not begun: use 'with progress:'.")

    @property
    def _is_running(self) -> bool:
        return self.pk is not None and self._answer.has_row and self._ended is None

    def _state(self, now: float) -> dict[str, Any]:
        """Return what the row says of the work while it runs."""
        run = {
            "id": self._id,
            "heard_at": time(),
            "stalls_after": self._stalls_after,
            "cancellable": self._cancellable,
        }
        return {**self.estimate.as_dict(RUNNING, now), "run": run}

    def _job(self, now: float, *, looks: bool) -> Job:
        if not self._is_running:
            return None
        # Under the lock, so that the events of several threads are in the order of their numbers.
        if self._live.is_due(now):
            payload = {
                "id": self.pk,
                "key": self._content["key"],
                **self.estimate.as_dict(RUNNING, now),
                "cancellable": self._cancellable,
                "stalls_in": round(self._stalls_after, 1),
            }
            store.publish(self._user.pk, payload)
        if self._writes.is_due(now):
            self._looks.at = now  # a write looks as well
            return partial(self._report, self._state(now))
        return self._report if looks and self._looks.is_due(now) else None

    def _report(self, state: dict[str, Any] | None = None) -> None:
        try:
            answer = store.report(self.pk, self._id, state)
        except Error as error:  # oddity 1
            self._incident.failed(error)
            self._writes.has_news = True
            return
        self._incident.worked()
        with self._lock:
            if self._ended is None:  # after the end, the row tells of no run
                self._answer = answer
