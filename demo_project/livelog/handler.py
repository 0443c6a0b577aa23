"""Keeps the newest lines of the log in memory. Named in the settings, so it imports nothing that needs Django to be ready."""

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
    """Who wrote it."""
    text: str
    """One line, whatever was logged: a line break in it is shown as ``\\n``."""


#: The numbers go on rising when the server starts anew.
lines: Ring[Line] = Ring(SIZE, last=int(time.time() * 1000))


class RingHandler(logging.Handler):
    """Puts what is logged into ``lines``. It waits for nobody, so that a slow reader never holds up the server.

    Of an exception it takes the class alone: a traceback may hold what not even the staff should see in a browser.
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
        except Exception:  # as every handler does: logging breaks nothing
            self.handleError(record)


def printable(text: str) -> str:
    """Return ``text`` as one line: a path or a name in it cannot pretend to be a line of its own."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
