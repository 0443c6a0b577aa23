"""A simulated market: prices of shares that nobody can buy, moved by chance."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

#: The shares, with the prices that they start at.
SHARES = {
    "ALDER": 112.0, "BIRCH": 48.5, "CEDAR": 231.0, "ELM": 17.2, "FIR": 88.0, "HAZEL": 64.3,
    "LARCH": 155.5, "MAPLE": 402.0, "OAK": 73.9, "PINE": 29.4, "ROWAN": 9.85, "WILLOW": 190.0,
}  # fmt: skip
#: Moves of single prices a second, over all shares.
MOVES_PER_SECOND = 200
#: How far a price goes at one move: the standard deviation, as a part of the price.
STEP = 0.002


class Market:
    """Prices that walk at random while somebody looks.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.prices = dict(SHARES)
        #: How many moves there were.
        self.moves = 0
        self._moved = dict.fromkeys(SHARES, 0)
        self._clock = clock
        self._at = clock()

    def catch_up(self) -> None:
        """Make the moves that are due since the last look, those of one second at most: nobody saw what came before."""
        now = self._clock()
        due = int((now - self._at) * MOVES_PER_SECOND)
        if due > MOVES_PER_SECOND:
            due, self._at = MOVES_PER_SECOND, now
        else:
            self._at += due / MOVES_PER_SECOND  # what is left of the time counts the next time
        for _ in range(due):
            self.move()

    def move(self) -> None:
        """Move the price of one share."""
        share = random.choice(list(SHARES))
        self.moves += 1
        self._moved[share] = self.moves
        self.prices[share] = max(0.01, self.prices[share] * (1 + random.gauss(0, STEP)))

    def since(self, moves: int) -> dict[str, float]:
        """Return the prices that have moved since there were so many moves."""
        return {
            share: round(price, 2)
            for share, price in self.prices.items()
            if self._moved[share] > moves
        }
