"""What operators type: the commands, and what they share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.management.base import OutputWrapper


@contextmanager
def progress(stream: OutputWrapper, total: int, verbosity: int) -> Iterator[Callable[[int], None]]:
    """Draw on a terminal how much of ``total`` is done; call what it yields after each batch.

    Ctrl-C ends the command with 130 and says how far it came.

    Args:
        stream: the command's ``stderr``, so that what the command prints can be piped.
        total: how much there is to do, as far as is known.
        verbosity: the command's; 0 draws nothing.
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
