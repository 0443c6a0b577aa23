"""What happened in this process since it started, in numbers. Read them with :func:`snapshot`; they only grow."""

from __future__ import annotations

import threading
from collections import Counter

#: Every counter, and what it counts. One with a label is counted for each reason or refusal.
COUNTED = {
    "opened": "Streams that joined the hub.",
    "closed": "Streams that ended, by reason: client, lifetime, drain, slow, logout, revoked.",
    "delivered": "Events handed to a stream as they happened, once for each stream.",
    "replayed": "Events that streams read from the log.",
    "repaired": "Gaps that a hub closed from the log: messages of the channel layer that were lost or late.",
    "reset": "Streams whose cursor could not be honoured, by reason: malformed, ahead, expired, too_many.",
    "slow": "Times that a client was slower than its stream, lost its buffer and went back to the log.",
    "lost": "Ephemeral events that a client did not get, as it was slower than its stream; it was told how many.",
    "refused": "Handshakes that were refused, by the code of the answer: unauthenticated, forbidden, full, draining, ...",
}
_LABELLED = ("closed", "reset", "refused")

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

        {"opened": 12, "closed": {"client": 3, "lifetime": 1}, "delivered": 250, "replayed": 40, "repaired": 1,
         "reset": {}, "slow": 0, "lost": 0, "refused": {"full": 2}}
    """
    with _lock:
        values = dict(_values)
    found: dict[str, int | dict[str, int]] = {name: values.get((name, ""), 0) for name in COUNTED}
    for labelled in _LABELLED:
        found[labelled] = {
            label: number for (name, label), number in values.items() if name == labelled
        }
    return found
