"""Full text search in the documentation, by SQLite."""

from __future__ import annotations

import re
import sqlite3
import threading
from dataclasses import dataclass
from functools import cache

from demo_project.handbook.pages import pages

#: Words of a question that a section need not contain.
_FILLERS = """
    a about all am an and any are as at be been but by can could did do does for from get happen happens has have how i if in
    into is it its let make mean means me my need no not of on or our should so some tell than that the their them then there
    these they this to us use used using want was we what when where which who whole why will with work works would you your
"""
#: Lists of links and of tests: they contain most words and answer no question.
_LEFT_OUT = ("index", "explanation/promises", "soak")
_CANDIDATES = 12  # sections
_STEM = 6  # characters that identify a word, whatever its ending
_LOCK = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Found:
    """A section that fits."""

    heading: str
    """Its heading, with that of its page before it."""
    text: str
    """Markdown."""
    url: str
    """Its address on this site."""


def search(question: str, *, before: str = "", limit: int = 3) -> list[Found]:
    """Return the sections that fit a question best, the best first.

    Args:
        question: any text.
        before: the questions before. They are added if the question alone finds nothing.
        limit: how many sections at most.
    """
    return _query(terms(question), limit) or _query(terms(f"{question} {before}"), limit)


def terms(text: str) -> list[str]:
    """Return the words of a text in lower case, without fillers."""
    fillers = _FILLERS.split()
    return [word for word in re.findall(r"\w+", text.lower())[:60] if word not in fillers]


def _query(words: list[str], limit: int) -> list[Found]:
    if not words:
        return []
    # In quotes nothing is an operator; a word itself contains no quotes.
    expression = " OR ".join(f'"{word}"' for word in dict.fromkeys(words))
    with _LOCK:
        # A word in a heading counts most, and a how-to answers better than a table.
        rows = _index().execute(
            "SELECT title, heading, text, url FROM sections WHERE sections MATCH ? "
            "ORDER BY bm25(sections, 4.0, 8.0, 1.0) * weight LIMIT ?",
            (expression, _CANDIDATES),
        )
        found = [
            Found(heading=title if title == heading else f"{title}: {heading}", text=text, url=url)
            for title, heading, text, url in rows
        ]
    # FTS5 ranks a rare word high, but a question means all its words.
    return sorted(found, key=lambda section: -_covered(words, section))[:limit]


def _covered(words: list[str], section: Found) -> float:
    heading, text = section.heading.lower(), section.text.lower()
    stems = {word[:_STEM] for word in words}
    return sum(1.5 * (stem in heading) + (stem in text) for stem in stems)


@cache
def _index() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute(
        "CREATE VIRTUAL TABLE sections USING fts5(title, heading, text, url UNINDEXED, weight UNINDEXED, tokenize='porter unicode61')"
    )
    for page in pages().values():
        weight = 1.6 if page.name.startswith("how-to/") else 1.0
        for section in page.sections():
            if len(section.text) > 60 and not page.name.endswith(_LEFT_OUT):
                url = page.get_absolute_url() + (f"#{section.anchor}" if section.anchor else "")
                row = (page.title, section.heading, section.text, url, weight)
                connection.execute("INSERT INTO sections VALUES (?, ?, ?, ?, ?)", row)
    return connection
