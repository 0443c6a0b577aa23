"""A simulated market with random prices."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

#: The shares, with their initial prices.
SHARES = {
    "ALDER": 112.0, "BIRCH": 48.5, "CEDAR": 231.0, "ELM": 17.2, "FIR": 88.0, "HAZEL": 64.3,
    "LARCH": 155.5, "MAPLE": 402.0, "OAK": 73.9, "PINE": 29.4, "ROWAN": 9.85, "WILLOW": 190.0,
}  # fmt: skip
#: Price changes per second, of all shares together.
MOVES_PER_SECOND = 200
#: The standard deviation of one change, as a fraction of the price.
STEP = 0.002


class Market:
    """Prices that follow a random walk while somebody watches.

    Args:
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.prices = dict(SHARES)
        #: The number of changes so far.
        self.moves = 0
        self._moved = dict.fromkeys(SHARES, 0)
        self._clock = clock
        self._at = clock()

    def catch_up(self) -> None:
        """Make the changes that are due since the last call, at most those of one second."""
        now = self._clock()
        due = int((now - self._at) * MOVES_PER_SECOND)
        if due > MOVES_PER_SECOND:
            due, self._at = MOVES_PER_SECOND, now
        else:
            self._at += due / MOVES_PER_SECOND  # the rest of the time counts next time
        for _ in range(due):
            self.move()

    def move(self) -> None:
        """Change the price of one share."""
        share = random.choice(list(SHARES))
        self.moves += 1
        self._moved[share] = self.moves
        self.prices[share] = max(0.01, self.prices[share] * (1 + random.gauss(0, STEP)))

    def since(self, moves: int) -> dict[str, float]:
        """Return the prices that have changed since the change with the number ``moves``."""
        return {
            share: round(price, 2)
            for share, price in self.prices.items()
            if self._moved[share] > moves
        }
