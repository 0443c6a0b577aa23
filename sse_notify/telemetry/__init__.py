"""Incidents in the log, and OpenTelemetry spans where ``opentelemetry-api`` is installed."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
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


class _NoSpan:
    """A span that nobody records."""

    def set_attribute(self, key: str, value: str | int, /) -> None:
        """Do nothing."""


@cache
def _tracer() -> Any:
    try:
        # With the first span: a process that sends nothing does not pay for the import.
        trace = import_module("opentelemetry.trace")
    except ImportError:
        return None
    return trace.get_tracer("sse_notify")


def span(name: str, **attributes: str | int) -> AbstractContextManager[Any]:
    """Return a context manager that records a span around its block.

    An exception marks the span as failed. The block gets an object with OpenTelemetry's
    ``set_attribute(key, value)``.

    Args:
        name: what happens, ``"notify"``; the span is called ``sse_notify.notify``.
        attributes: what is known already, named in the same way.
    """
    tracer = _tracer()
    if tracer is None:
        return nullcontext(_NoSpan())
    named = {f"sse_notify.{key}": value for key, value in attributes.items()}
    found: AbstractContextManager[Any] = tracer.start_as_current_span(
        f"sse_notify.{name}", attributes=named
    )
    return found
