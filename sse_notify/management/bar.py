"""A progress bar on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from django.core.management.base import OutputWrapper

_WIDTH = 30  # characters


class Bar:
    """Show how much of ``total`` is done, on one line of a terminal that is drawn again and again.

    Use it as a context manager, and call :meth:`advance` after each batch.

    Args:
        stream: the command's ``stderr``, so that what the command prints can be piped.
        total: how much there is to do, as far as is known.
        wanted: ``False`` draws nothing.
    """

    def __init__(self, stream: OutputWrapper, total: int, *, wanted: bool = True) -> None:
        self._stream, self._total, self._done = stream, total, 0
        self._draws = wanted and stream.isatty()

    def __enter__(self) -> Self:
        self._draw()
        return self

    def __exit__(self, *error: object) -> None:
        if self._draws:
            self._stream.write("")  # ends the line

    def advance(self, number: int) -> None:
        """Count ``number`` more as done."""
        self._done += number
        self._draw()

    def _draw(self) -> None:
        if self._draws:
            part = min(self._done / max(self._total, 1), 1.0)
            bar = f"\r[{'#' * round(part * _WIDTH):{_WIDTH}}] {part:4.0%}"
            self._stream.write(f"{bar}  {self._done:,} of {self._total:,}", ending="")
            self._stream.flush()
