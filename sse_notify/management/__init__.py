"""The management commands, and their progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.management.base import OutputWrapper


@contextmanager
def progress(stream: OutputWrapper, total: int, verbosity: int) -> Iterator[Callable[[int], None]]:
    """Draw a progress bar on a terminal. Yield a function to call with the size of each batch.

    Ctrl-C prints how much is done and exits with 130.

    Args:
        stream: the command's ``stderr``, so that its output can be piped.
        total: the expected number of rows.
        verbosity: the command's verbosity; 0 draws nothing.
    """
    draws = verbosity > 0 and stream.isatty()
    done = 0

    def advance(number: int) -> None:
        nonlocal done
        done += number
        if draws:
            part = min(done / max(total, 1), 1.0)
            bar = f"\r[{'#' * round(part * 30):30}] {part:4.0%}  {done:,} of {total:,}"
            stream.write(bar, ending="")
            stream.flush()

    try:
        try:
            advance(0)
            yield advance
        finally:
            if draws:
                stream.write("")  # ends the line
    except KeyboardInterrupt:
        stream.write(f"Stopped after {done:,} of {total:,}.")
        stream.write("What is done stays; the next run goes on.")
        sys.exit(130)
