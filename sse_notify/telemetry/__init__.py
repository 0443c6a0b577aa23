"""Counters, logged incidents, and OpenTelemetry spans if ``opentelemetry-api`` is installed."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from time import monotonic
from types import SimpleNamespace
from typing import Any

logger = logging.getLogger("sse_notify")

#: Maximum characters of an error in the log. Some errors contain all the data that caused them.
ERROR_CHARS = 500


class Incident:
    """Something that can fail, such as the channel layer or the database.

    Args:
        what: its name in the log, one word: ``layer_send``. The line's fields are also attributes
            of the log record, for formatters that write JSON.
        quiet: seconds without a failure after which a success ends the incident, for failures and
            successes that alternate.
    """

    def __init__(self, what: str, quiet: float = 0.0) -> None:
        self._what = what
        self._quiet = quiet
        #: Failures since the incident began.
        self.failures = 0
        self._since = self._latest = 0.0

    def failed(self, error: BaseException) -> None:
        """Record a failure; log the first one of an incident, with its cause."""
        self.failures += 1
        self._latest = monotonic()
        if self.failures == 1:
            self._since = self._latest
            self._log(state="failed", error=repr(error)[:ERROR_CHARS])

    def worked(self) -> None:
        """Record a success; log it if it ends an incident."""
        if self.failures and monotonic() - self._latest >= self._quiet:
            seconds = round(monotonic() - self._since, 1)
            self._log(state="healed", failures=self.failures, seconds=seconds)
            self.failures = 0

    def _log(self, **fields: Any) -> None:
        fields = {"incident": self._what, **fields}
        logger.warning(" ".join(f"{name}=%s" for name in fields), *fields.values(), extra=fields)


#: Stands for a span that is not recorded.
_NO_SPAN = SimpleNamespace(set_attribute=lambda _key, _value: None)


@cache
def _trace() -> Any:
    try:
        # Imported at the first span: a process that sends nothing does not pay for it.
        return import_module("opentelemetry.trace")
    except ImportError:
        return None


@cache
def _tracer() -> Any:
    return _trace().get_tracer("sse_notify")


def span(name: str, **attributes: str | int) -> AbstractContextManager[Any]:
    """Return a context manager that records a span around its block.

    An exception marks the span as failed. ``with ... as`` gives an object with OpenTelemetry's
    ``set_attribute(key, value)``.

    Args:
        name: the operation, such as ``"notify"``; the span's name is ``sse_notify.notify``.
        attributes: the attributes known so far; their names get the same prefix.
    """
    trace = _trace()
    # A proxy stands for a provider until the project sets one. Its spans go nowhere, and cost.
    if trace is None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return nullcontext(_NO_SPAN)
    named = {f"sse_notify.{key}": value for key, value in attributes.items()}
    return _tracer().start_as_current_span(f"sse_notify.{name}", attributes=named)  # type: ignore[no-any-return]


# --- counters -------------------------------------------------------------------------------------

#: For each counter: the metric without its prefix, the label or ``""``, and the description.
COUNTED = {
    "opened": ("streams_opened", "", "Streams that joined the hub."),
    "closed": ("streams_closed", "reason", "Streams that ended."),
    "delivered": ("events_delivered", "", "Events handed to streams as they happened."),
    "replayed": ("events_replayed", "", "Events that streams read from the log."),
    "repaired": ("gaps_repaired", "", "Gaps that a hub closed from the log."),
    "reset": ("resets", "reason", "Streams whose cursor could not be honoured."),
    "slow": ("slow_clients", "", "Times that a client fell behind its stream."),
    "lost": ("ephemeral_events_lost", "", "Ephemeral events that slow clients did not get."),
    "unsent": ("layer_messages_unsent", "", "Messages that the channel layer did not take."),
    "dropped": ("layer_messages_dropped", "", "Invalid messages of the channel layer."),
    "refused": ("handshakes_refused", "code", "Handshakes that were refused."),
}

_values: Counter[tuple[str, str]] = Counter()
# Handshakes count in several threads, and ``+=`` alone would lose updates.
_lock = threading.Lock()


def count(name: str, label: str = "", number: int = 1) -> None:
    """Add ``number`` to a counter. Callable from any thread."""
    with _lock:
        _values[name, label] += number


def counted(name: str, label: str = "") -> int:
    """Return the value of one counter."""
    return _values[name, label]


def snapshot() -> dict[str, int | dict[str, int]]:
    """Return the values of all counters: an int, or a dict with an int per label.

    ::

        {"opened": 12, "closed": {"client": 3, "lifetime": 1}, "delivered": 250, "replayed": 40,
         "repaired": 1, "reset": {}, "slow": 0, "lost": 0, "unsent": 0, "dropped": 0,
         "refused": {"full": 2}}
    """
    with _lock:
        values = dict(_values)
    found: dict[str, int | dict[str, int]] = {}
    for name, (_, has_label, _) in COUNTED.items():
        labelled = {label: number for (of, label), number in values.items() if of == name}
        found[name] = labelled if has_label else labelled.get("", 0)
    return found
