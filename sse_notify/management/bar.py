"""A progress bar on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from django.core.management.base import OutputWrapper

_WIDTH = 30  # characters


class Bar:
    """Show how much of ``total`` is done, on one line of a terminal that is drawn again and again.

    Use it as a context manager, and call :meth:`advance` after each batch. Ctrl-C ends the command
    with 130 and says how far it came.

    Args:
        stream: the command's ``stderr``, so that what the command prints can be piped.
        total: how much there is to do, as far as is known.
        verbosity: the command's; 0 draws nothing.
    """

    def __init__(self, stream: OutputWrapper, total: int, verbosity: int) -> None:
        self._stream, self._total = stream, total
        self._draws = verbosity > 0 and stream.isatty()
        self.done = 0

    def __enter__(self) -> Self:
        self.advance(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._draws:
            self._stream.write("")  # ends the line
        if kind is KeyboardInterrupt:
            self._stream.write(f"Stopped after {self.done:,} of {self._total:,}.")
            self._stream.write("What is done stays; the next run goes on.")
            sys.exit(130)

    def advance(self, number: int) -> None:
        """Count ``number`` more as done."""
        self.done += number
        if self._draws:
            part = min(self.done / max(self._total, 1), 1.0)
            bar = f"\r[{'#' * round(part * _WIDTH):{_WIDTH}}] {part:4.0%}"
            self._stream.write(f"{bar}  {self.done:,} of {self._total:,}", ending="")
            self._stream.flush()
