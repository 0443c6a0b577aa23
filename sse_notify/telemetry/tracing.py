"""OpenTelemetry spans, where ``opentelemetry-api`` is installed; nothing at all elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from typing import Any


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
