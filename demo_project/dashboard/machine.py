"""Measure this machine with psutil."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

Sample = dict[str, float]


def begin() -> Callable[[], Sample]:
    """Return a function that measures. Each call compares with the one before."""
    psutil.cpu_percent()
    before, moment = psutil.net_io_counters(), time.monotonic()

    def measure() -> Sample:
        nonlocal before, moment
        now, counted = time.monotonic(), psutil.net_io_counters()
        seconds = max(now - moment, 0.001)
        memory = psutil.virtual_memory()
        sample = {
            "at": round(time.time() * 1000),
            "cpu": psutil.cpu_percent(),
            "memory": memory.percent,
            "load": round(psutil.getloadavg()[0], 2),
            "received": round((counted.bytes_recv - before.bytes_recv) / seconds),
            "sent": round((counted.bytes_sent - before.bytes_sent) / seconds),
        }
        before, moment = counted, now
        return sample

    return measure
