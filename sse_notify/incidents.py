"""One log line when something breaks and one when it works again, however often it failed in between."""

from __future__ import annotations

import logging
from time import monotonic

logger = logging.getLogger("sse_notify")


class Incident:
    """One thing that can be out of order, such as the channel layer or the database.

    Args:
        what: its name in the log, one word: ``layer_send``. The line's fields are also attributes of the record, for a formatter
            that writes JSON.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0
        self._since = 0.0

    def failed(self, error: BaseException) -> None:
        """Say that it failed; the first failure in a row is logged, with its cause."""
        self._failures += 1
        if self._failures == 1:
            self._since = monotonic()
            fields = {"incident": self._what, "state": "failed", "error": repr(error)}
            logger.warning("incident=%s state=failed error=%r", self._what, error, extra=fields)

    def worked(self) -> None:
        """Say that it works; logged if it had failed before."""
        if self._failures:
            seconds = monotonic() - self._since
            fields = {
                "incident": self._what,
                "state": "healed",
                "failures": self._failures,
                "seconds": round(seconds, 1),
            }
            logger.warning(
                "incident=%s state=healed failures=%d seconds=%.1f",
                self._what,
                self._failures,
                seconds,
                extra=fields,
            )
            self._failures = 0
