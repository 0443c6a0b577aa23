"""Keep the newest lines of the log in memory.

The settings name this handler, so it imports nothing that needs Django to be ready.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from demo_project.gallery.ring import Ring

SIZE = 500  # lines
MAX_LENGTH = 2_000  # characters of a line


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log."""

    at: int
    """Milliseconds since 1970."""
    level: int
    """The level's number."""
    name: str
    """The level's name."""
    logger: str
    """The name of the logger."""
    text: str
    """One line of text: a line break in the message becomes ``\\n``."""


#: The numbers keep rising after a restart.
lines: Ring[Line] = Ring(SIZE, last=int(time.time() * 1000))


class RingHandler(logging.Handler):
    """Appends log records to ``lines``. It never waits, so a slow reader does not delay the server.

    Of an exception it keeps only the class: a traceback may contain secrets that not even staff
    should see in a browser.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[0]:
                text = f"{text} ({record.exc_info[0].__name__})"
            line = Line(
                int(record.created * 1000),
                record.levelno,
                record.levelname,
                record.name,
                printable(text[:MAX_LENGTH]),
            )
            lines.append(line)
        except Exception:  # as in every handler: logging must not break anything
            self.handleError(record)


def printable(text: str) -> str:
    """Return ``text`` as one line, so that a path or a name in it cannot forge a line."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
