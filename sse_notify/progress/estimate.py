"""Compute the progress of long work: percent, remaining time, and when to report.

This module uses no database and reads no clock. All times are seconds of a monotonic clock.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections import deque
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from sse_notify.exceptions import Cancelled, ProgressFailed
from sse_notify.inbox.marks import check_number
from sse_notify.models.content import LARGEST, LENGTHS, NUMBERS, State
from sse_notify.notifications.validation import check_text
from sse_notify.sse.format import clean

#: Minimum seconds between two live updates.
LIVE_SECONDS = 0.1
#: Minimum seconds between two writes, and between two checks for a cancellation.
WRITE_SECONDS = 0.5
#: The rate is computed over the last 15 seconds.
WINDOW = 15.0  # seconds
#: Over less than half a second, the rate is mostly noise.
SAMPLE = 0.5  # seconds

_CANCELLED = (Cancelled, asyncio.CancelledError)
#: A state whose event is as large as any. JSON writes a control character with six characters.
WIDEST = {
    "state": State.RUNNING,
    **dict.fromkeys(NUMBERS, sys.float_info.min),
    **{name: "\x01" * length for name, length in LENGTHS.items()},
    "run": {"id": "", "heard_at": LARGEST, "stalls_after": LARGEST, "cancellable": False},
}


@dataclass(slots=True)
class Throttle:
    """Throttle an action: repeat it soon if there is news, later if there is none."""

    pause: float
    """Seconds between two repetitions if there is news."""
    beat: float
    """Seconds between two repetitions if there is none, as a heartbeat."""
    at: float = 0.0
    """The time of the last repetition."""
    has_news: bool = False

    def is_due(self, now: float) -> bool:
        """Return whether the action is due. The caller must then do it: the pause starts now."""
        if now - self.at < (self.pause if self.has_news else self.beat):
            return False
        self.at, self.has_news = now, False
        return True


class Estimate:
    """The progress, remaining time and report times of one run. Not thread-safe.

    Args:
        total: the amount of work; ``None`` if unknown.
        stalls_after: seconds without a report after which the work counts as stalled.

    Raises:
        TypeError, ValueError: ``total`` is invalid.
    """

    def __init__(self, total: float | None, stalls_after: float = 30.0) -> None:
        # Two heartbeats may be lost before the work counts as stalled.
        beat = max(WRITE_SECONDS, stalls_after / 3)
        self.live, self.writes = Throttle(LIVE_SECONDS, beat), Throttle(WRITE_SECONDS, beat)
        #: When to check for a cancellation.
        self.checks = Throttle(WRITE_SECONDS, WRITE_SECONDS)
        self.set_total(total)
        self.done: float = 0
        self.stage = self.message = ""
        #: (time, done), oldest first, at least ``SAMPLE`` apart.
        self._samples: deque[tuple[float, float]] = deque()

    def set_total(self, total: float | None) -> None:
        """Change the amount of work. Errors as for :func:`check_number`."""
        self.total = None if total is None else check_number("total", total, 0, LARGEST)
        self.live.has_news = self.writes.has_news = True

    def start(self, now: float) -> None:
        """Start to measure the time at ``now``."""
        self._samples.append((now, 0))
        self.live.at = self.writes.at = self.checks.at = now
        self.live.has_news = self.writes.has_news = False

    def update(self, now: float, **values: Any) -> None:
        """Change ``done``, ``stage`` and ``message``. A value of ``None`` changes nothing.

        Raises:
            TypeError, ValueError: a value is invalid. The message names it. Nothing changes.
        """
        checked = {
            name: check_number(name, value, 0, LARGEST)
            if name == "done"
            else check_text(name, value, LENGTHS[name])
            for name, value in values.items()
            if value is not None
        }
        for name, value in checked.items():
            setattr(self, name, value)
        self.live.has_news = self.writes.has_news = True
        at, before = self._samples[-1]
        if not before and now - at < SAMPLE:
            # An interrupted run did the work that is reported at the very start.
            self._samples[-1] = (at, self.done)
        elif self.done < before:  # the work starts again
            self._samples = deque([(now, self.done)])
        elif "done" in checked and now - at >= SAMPLE:
            self._samples.append((now, self.done))

    def eta(self, now: float) -> int | None:
        """Return the remaining seconds at the current rate; ``None`` if unknown."""
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()
        since, before = self._samples[0]
        if self.total is None or now - since < SAMPLE or self.done <= before:
            return None
        left = max(0.0, self.total - self.done) * (now - since) / (self.done - before)
        return math.ceil(round(left, 3)) if left <= NUMBERS["eta"] else None

    def as_dict(self, state: str, now: float) -> dict[str, Any]:
        """Return the progress for clients, with the given ``state``."""
        percent = None if self.total is None else 100.0
        if self.total is not None and self.done < self.total:
            percent = math.floor(1000 * self.done / self.total) / 10  # 99.96 is not done
        return {
            "state": state,
            "done": self.done,
            "total": self.total,
            "percent": 100.0 if state == State.DONE else percent,
            "stage": self.stage,
            "message": self.message,
            "eta": self.eta(now) if state == State.RUNNING else None,
        }


def causes(error: BaseException | None) -> list[BaseException]:
    """Return the exception; of a group, as of an ``asyncio.TaskGroup``, all that are in it."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for each in error.exceptions for cause in causes(each)]
    return [] if error is None else [error]


def ending(error: BaseException | None) -> tuple[str, str]:
    """Return the final state for this exception, if any, and the message for the user."""
    if error is None:
        return State.DONE, ""
    serious = [each for each in causes(error) if not isinstance(each, _CANCELLED)]
    if not serious:
        return State.CANCELLED, ""
    said = [each for each in serious if isinstance(each, ProgressFailed)]
    reason = clean(str(said[0])) if said == serious else ""
    return State.FAILED, reason[: LENGTHS["message"]] or _("Something went wrong.")
