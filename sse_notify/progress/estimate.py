"""The numbers of long work: how far it is, when it will be done, and when to report.

Nothing here knows the database or reads a clock. All times are seconds of a clock that only goes
forward.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from sse_notify.exceptions import Cancelled, ProgressFailed
from sse_notify.inbox.marks import check_number
from sse_notify.notifications.validation import check_text

RUNNING, DONE, FAILED, CANCELLED, STALLED = "running", "done", "failed", "cancelled", "stalled"

#: Seconds between two live updates.
LIVE_SECONDS = 0.1
#: Seconds between two writes, and between two questions whether the work is to end.
WRITE_SECONDS = 0.5
#: How long the texts may be, in characters.
LENGTHS = {"stage": 255, "message": 1000}
#: The largest number. JavaScript cannot tell larger ones apart.
LARGEST = 2**53
#: The rate is that of the last 15 seconds.
WINDOW = 15.0  # seconds
#: Over less than half a second, the rate is mostly noise.
SAMPLE = 0.5  # seconds
#: No estimate is longer than 30 days.
LONGEST_ETA = 30 * 86_400  # seconds

#: The progress that takes the most room in an event: JSON has six characters for a control one.
WIDEST = {
    **dict.fromkeys(("done", "total", "percent", "eta", "stalls_in"), 1e-300),
    "state": CANCELLED,
    **{name: "\x01" * length for name, length in LENGTHS.items()},
    "cancellable": False,
}


@dataclass(slots=True)
class Throttle:
    """When to do something again: soon if there is news, later, as a sign of life, if not."""

    pause: float
    """Seconds between two times if there is news."""
    beat: float
    """Seconds between two times if there is none."""
    at: float = 0.0
    """The last time."""
    has_news: bool = False

    def is_due(self, now: float) -> bool:
        """Return whether it is time. If so, the caller must do it: the pause begins ``now``."""
        if now - self.at < (self.pause if self.has_news else self.beat):
            return False
        self.at, self.has_news = now, False
        return True


class Estimate:
    """How far one run of long work is, how long it still takes, and when to report. Not thread-safe.

    Args:
        total: how much there is to do; ``None`` if nobody knows.
        stalls_after: seconds of silence after which the work counts as stalled.

    Raises:
        TypeError, ValueError: ``total`` is wrong.
    """

    def __init__(self, total: float | None, stalls_after: float = 30.0) -> None:
        # Two signs of life may be lost before the work counts as stalled.
        beat = max(WRITE_SECONDS, stalls_after / 3)
        self.live, self.writes = Throttle(LIVE_SECONDS, beat), Throttle(WRITE_SECONDS, beat)
        #: When to ask whether the work is to end.
        self.looks = Throttle(WRITE_SECONDS, WRITE_SECONDS)
        self.set_total(total)
        self.done: float = 0
        self.stage = self.message = ""
        #: When how much was done, oldest first, at least ``SAMPLE`` apart.
        self._samples: deque[tuple[float, float]] = deque()

    def set_total(self, total: float | None) -> None:
        """Change how much there is to do. Errors as for :func:`check_number`."""
        self.total = None if total is None else check_number("total", total, 0, LARGEST)
        self.live.has_news = self.writes.has_news = True

    def start(self, now: float) -> None:
        """Measure the time from ``now`` on."""
        self._samples.append((now, 0))
        self.live.at = self.writes.at = self.looks.at = now
        self.live.has_news = self.writes.has_news = False

    def update(self, now: float, **values: Any) -> None:
        """Change ``done``, ``stage`` and ``message``; each that is ``None`` stays.

        Raises:
            TypeError, ValueError: a value is wrong; the message names it, and nothing changes.
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
            # What is done at the very start was done before, by a run that was interrupted.
            self._samples[-1] = (at, self.done)
        elif self.done < before:  # the work begins anew
            self._samples = deque([(now, self.done)])
        elif "done" in checked and now - at >= SAMPLE:
            self._samples.append((now, self.done))

    def eta(self, now: float) -> int | None:
        """Return the seconds that are left at the current rate; ``None`` if that is unknown."""
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()
        since, before = self._samples[0]
        if self.total is None or now - since < SAMPLE or self.done <= before:
            return None
        left = max(0.0, self.total - self.done) * (now - since) / (self.done - before)
        return math.ceil(round(left, 3)) if left <= LONGEST_ETA else None

    def as_dict(self, state: str, now: float) -> dict[str, Any]:
        """Return what clients get of work that is in ``state``."""
        percent = None if self.total is None else 100.0
        if self.total is not None and self.done < self.total:
            percent = math.floor(1000 * self.done / self.total) / 10  # 99.96 is not done
        return {
            "state": state,
            "done": self.done,
            "total": self.total,
            "percent": 100.0 if state == DONE else percent,
            "stage": self.stage,
            "message": self.message,
            "eta": self.eta(now) if state == RUNNING else None,
        }


def ending(error: BaseException | None) -> tuple[str, str]:
    """Return how the work ends with this exception, if any, and what its user reads."""
    if error is None:
        return DONE, ""
    if isinstance(error, (Cancelled, asyncio.CancelledError)):
        return CANCELLED, ""
    reason = str(error) if isinstance(error, ProgressFailed) else ""
    # Without what cannot be stored or sent.
    reason = reason.replace("\0", "").encode(errors="ignore").decode()
    return FAILED, reason[: LENGTHS["message"]] or _("Something went wrong.")
