"""A progress bar, for who looks at a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from django.core.management.base import OutputWrapper

_WIDTH = 30
#: Seconds between two drawings.
_PAUSE = 0.1


class Bar:
    """How much of ``total`` is done, on one line that is drawn anew; nothing at all if ``stream`` is no terminal.

    Use it as a context manager, and :meth:`advance` in it.

    Args:
        stream: the command's ``stderr``, so that what it prints can be piped.
        total: how much there is to do, as far as one knows.
        wanted: ``False`` draws nothing.
    """

    def __init__(self, stream: OutputWrapper, total: int, *, wanted: bool = True) -> None:
        self._stream = stream
        self._total = max(total, 1)
        self._done = 0
        self._drawn_at = float("-inf")
        self._draws = wanted and stream.isatty()

    def __enter__(self) -> Self:
        self._draw()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._draw()
        if self._draws:
            self._stream.write("", ending="\n")

    def advance(self, number: int) -> None:
        """Count ``number`` more as done."""
        self._done += number
        if time.monotonic() - self._drawn_at >= _PAUSE:
            self._draw()

    def _draw(self) -> None:
        if not self._draws:
            return
        self._drawn_at = time.monotonic()
        part = min(self._done / self._total, 1.0)
        bar = ("#" * round(part * _WIDTH)).ljust(_WIDTH)
        self._stream.write(f"\r[{bar}] {part:4.0%}  {self._done:,} of {self._total:,}", ending="")
        self._stream.flush()
