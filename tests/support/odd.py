"""JSON values that a project may hand over and nobody expects: huge numbers, half characters, deep nesting, our own names."""

from __future__ import annotations

from random import Random
from typing import Any

NUMBERS = [
    *(0, -1, 7, 40.5, 0.001, 1e-7, 5e-324, -0.0, 2**53 + 1, 2**64, 1e16, -1.5e300, 1e308),
    *(1.7976931348623157e308, 10**400, -(10**4000), float("nan"), float("inf"), True, False),
]
TEXTS = [
    "",
    "x",
    "running",
    "\0",
    "\\u0000",
    "\ud800",
    "\u2028",
    "</script>",
    "{{ x }}",
    "😀",
    "1e9",
]
#: Names that our payloads, templates and scripts use.
NAMES = [
    *("progress", "run", "state", "percent", "stalls_in", "cancellable", "eta", "stage", "id"),
    *("seq", "silent", "muted", "items", "pk", "__proto__", "constructor", "length"),
]


def odd(dice: Random, depth: int = 4) -> Any:
    """Return a value, which may be one that cannot be sent: with NaN, half a character, too deep or too large."""
    kind = dice.randrange(40)
    if kind == 0:  # deeper than is allowed, or just not
        value: Any = odd(dice, 0)
        for _ in range(dice.choice([90, 99, 110, 5000])):
            value = [value] if dice.random() < 0.5 else {"progress": value}
        return value
    if kind == 1:  # about as large as is allowed
        return [dice.choice([1e308, -1.5e300, 1e16, 10**400, 0.001])] * dice.choice([150, 3_000])
    if kind < 12 or not depth:
        return dice.choice([None, dice.choice(NUMBERS), dice.choice(NUMBERS), dice.choice(TEXTS)])
    if kind < 20:
        return [odd(dice, depth - 1) for _ in range(dice.randrange(4))]
    keys = [dice.choice([*NAMES, *TEXTS, 7, None, True]) for _ in range(dice.randrange(5))]
    return {key: odd(dice, depth - 1) for key in keys}
