"""Log one line when something breaks and one when it works again."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

logger = logging.getLogger("sse_notify")


class Incident:
    """One thing that can fail, such as the channel layer or the database.

    Args:
        what: its name in the log, one word: ``layer_send``. The line's fields are also attributes
            of the record, for a formatter that writes JSON.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0
        self._since = 0.0

    def failed(self, error: BaseException) -> None:
        """Note a failure; the first one in a row is logged, with its cause."""
        self._failures += 1
        if self._failures == 1:
            self._since = monotonic()
            self._log(state="failed", error=repr(error))

    def worked(self) -> None:
        """Note a success; it is logged after a failure."""
        if self._failures:
            seconds = round(monotonic() - self._since, 1)
            self._log(state="healed", failures=self._failures, seconds=seconds)
            self._failures = 0

    def _log(self, **fields: Any) -> None:
        fields = {"incident": self._what, **fields}
        template = " ".join(f"{name}=%s" for name in fields)
        logger.warning(template, *fields.values(), extra=fields)
