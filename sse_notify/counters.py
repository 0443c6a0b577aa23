"""What happened in this process since it started, as numbers that only grow."""

from __future__ import annotations

import threading
from collections import Counter

#: By the counter: the metric without its prefix, the label if it has one, and what it counts.
COUNTED = {
    "opened": ("streams_opened", "", "Streams that joined the hub."),
    "closed": ("streams_closed", "reason", "Streams that ended."),
    "delivered": ("events_delivered", "", "Events handed to streams as they happened."),
    "replayed": ("events_replayed", "", "Events that streams read from the log."),
    "repaired": ("gaps_repaired", "", "Gaps that a hub closed from the log."),
    "reset": ("resets", "reason", "Streams whose cursor could not be honoured."),
    "slow": ("slow_clients", "", "Times that a client fell behind its stream."),
    "lost": ("ephemeral_events_lost", "", "Ephemeral events that slow clients did not get."),
    "refused": ("handshakes_refused", "code", "Handshakes that were refused."),
}

_values: Counter[tuple[str, str]] = Counter()
# Handshakes count in their own threads, and ``+=`` alone would lose some.
_lock = threading.Lock()


def add(name: str, label: str = "", number: int = 1) -> None:
    """Count ``number`` more. Callable from any thread."""
    with _lock:
        _values[name, label] += number


def get(name: str, label: str = "") -> int:
    """Return one count."""
    return _values[name, label]


def snapshot() -> dict[str, int | dict[str, int]]:
    """Return every count: an int each, or an int for each label.

    ::

        {"opened": 12, "closed": {"client": 3, "lifetime": 1}, "delivered": 250, "replayed": 40,
         "repaired": 1, "reset": {}, "slow": 0, "lost": 0, "refused": {"full": 2}}
    """
    with _lock:
        values = dict(_values)
    found: dict[str, int | dict[str, int]] = {}
    for name, (_, has_label, _) in COUNTED.items():
        labelled = {label: number for (of, label), number in values.items() if of == name}
        found[name] = labelled if has_label else labelled.get("", 0)
    return found
