"""How far long work is: the numbers that a worker reports, the time that is left, and what clients are told of it.

What a row keeps is what clients get, and besides, while the work runs, ``run``: whose run it is and when it was heard of
last. By that, whoever renders the row finds a worker that died: it says nothing any more, and its work is *stalled*.
"""

from __future__ import annotations

import math
from typing import Any

from django.utils.functional import Promise

RUNNING, DONE, FAILED, CANCELLED, STALLED = "running", "done", "failed", "cancelled", "stalled"

#: Characters of a ``stage`` and of a ``message``.
STAGE_LENGTH, MESSAGE_LENGTH = 255, 1000
#: The largest number: beyond it, JavaScript's are not exact.
LARGEST = 2**53
#: Seconds over which the rate is smoothed.
SMOOTHING = 15.0
#: Seconds between two looks at the rate: over less, it is mostly noise.
SAMPLE = 0.5
#: Seconds beyond which what is left is no estimate.
LONGEST_ETA = 30 * 86_400


class Gauge:
    """The numbers of one run. Not thread-safe.

    Args:
        total: how much there is to do; ``None``: nobody knows.
        now: the time in seconds, of a clock that only goes forward, as all times here.
    """

    def __init__(self, total: float | None, now: float) -> None:
        self.total = total
        self.done: float = 0
        self.stage = ""
        self.message = ""
        self._rate = 0.0
        self._weight = 0.0
        self._sampled_at = now
        self._sampled: float = 0
        self._is_fresh = True

    def start(self, now: float) -> None:
        """Count the time from ``now`` on."""
        self._sampled_at = now

    def take(self, now: float, **values: Any) -> None:
        """Take what the work says: ``done``, ``total``, ``stage``, ``message``."""
        for name, value in values.items():
            setattr(self, name, value)
        # What is said at once was done before: the work goes on where it was interrupted.
        if self._is_fresh and "done" in values:
            self._is_fresh = False
            if now - self._sampled_at < SAMPLE:
                self._sampled = self.done

    @property
    def percent(self) -> float | None:
        """How far it is, 0 to 100 with one decimal, never rounded up; ``None`` without a total."""
        if self.total is None:
            return None
        return 100.0 if self.done >= self.total else math.floor(1000 * self.done / self.total) / 10

    def eta(self, now: float) -> int | None:
        """Return the seconds that are left at the smoothed rate; ``None`` while nothing can be said."""
        self._sample(now)
        if self.total is None or self._rate <= 0:
            return None
        # The average began at zero: the weight is how much of it is filled by now.
        left = max(0.0, self.total - self.done) * self._weight / self._rate
        return math.ceil(round(left, 3)) if left <= LONGEST_ETA else None

    def read(self, now: float) -> dict[str, Any]:
        """Return what clients are told, as of ``now``, of work that runs."""
        return {**self._numbers(RUNNING), "percent": self.percent, "eta": self.eta(now)}

    def close(self, state: str) -> dict[str, Any]:
        """Return what clients are told of work that has ended in ``state``."""
        return {
            **self._numbers(state),
            "percent": 100.0 if state == DONE else self.percent,
            "eta": None,
        }

    def _numbers(self, state: str) -> dict[str, Any]:
        return {
            "state": state,
            "done": self.done,
            "total": self.total,
            "stage": self.stage,
            "message": self.message,
        }

    def _sample(self, now: float) -> None:
        seconds = now - self._sampled_at
        if seconds < SAMPLE:
            return
        change = self.done - self._sampled
        if change < 0:  # it begins anew
            self._rate = self._weight = 0.0
        else:
            kept = math.exp(-seconds / SMOOTHING)
            self._rate = kept * self._rate + (1 - kept) * change / seconds
            self._weight = kept * self._weight + (1 - kept)
        self._sampled_at, self._sampled = now, self.done


# --- what is kept, and what clients get of it --------------------------------------------------------------------------------------


def keep(
    told: dict[str, Any], *, run: str, at: float, stalls_after: float, cancellable: bool
) -> dict[str, Any]:
    """Return what the row keeps of work that runs.

    Args:
        told: what :meth:`Gauge.read` gave.
        run: names this run of the work.
        at: the time of day, in seconds since 1970.
        stalls_after: seconds of silence after which it counts as stalled.
        cancellable: whether the user may ask for its end.
    """
    return {
        **told,
        "run": {
            "id": run,
            "heard_at": at,
            "stalls_after": stalls_after,
            "cancellable": cancellable,
        },
    }


#: What takes the most room, by which it is known at the start that all fits into an event: JSON has six characters for a control one.
WIDEST = {
    **dict.fromkeys(("done", "total", "percent", "eta", "stalls_in"), 1e-300),
    "state": CANCELLED,
    "stage": "\x01" * STAGE_LENGTH,
    "message": "\x01" * MESSAGE_LENGTH,
    "cancellable": False,
}


def running(kept: dict[str, Any]) -> dict[str, Any]:
    """Return what clients get of work that was heard of just now, of what the row keeps."""
    run = kept["run"]
    told = {name: value for name, value in kept.items() if name != "run"}
    return {**told, "cancellable": run["cancellable"], "stalls_in": round(run["stalls_after"], 1)}


# --- arguments -------------------------------------------------------------------------------------------------------------------


def check_number(name: str, value: Any, *, least: float = 0) -> float:
    """Return ``value`` if it is a number from ``least`` to :data:`LARGEST`.

    Raises:
        TypeError, ValueError: it is not; the message begins with ``name``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: a number is needed, not {type(value).__name__}")
    if not least <= value <= LARGEST:  # so put, it refuses NaN
        raise ValueError(f"{name}: a number from {least:g} to {LARGEST} is needed, not {value!r}")
    return value


def check_text(name: str, value: Any, longest: int) -> str:
    """Return ``value`` as text that every database stores and every stream carries.

    Raises:
        TypeError, ValueError: it is no text, too long, or holds NUL or a lone surrogate; the message begins with ``name``.
    """
    if isinstance(value, Promise):  # a lazy translation
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"{name}: text is needed, not {type(value).__name__}")
    if len(value) > longest:
        raise ValueError(f"{name}: {len(value)} characters, at most {longest} are allowed")
    if value != clean(value):
        raise ValueError(f"{name}: NUL and lone surrogates are not allowed")
    return value


def clean(text: str, longest: int | None = None) -> str:
    """Return ``text`` without what cannot be stored or sent, cut to ``longest`` characters."""
    return text.replace("\0", "").encode(errors="ignore").decode()[:longest]
