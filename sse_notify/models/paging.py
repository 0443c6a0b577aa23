"""Pages of an inbox, newest first: by ``seq``; on top what has none yet, by when it was sent.

A page says where it ends, and the next begins there, whatever has moved since. While somebody
reads on:

    what is numbered meanwhile      keeps its place by when it was sent, as on the first page
    what arrives, or is sent again  is above the first page, and moves nothing below
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Case, F, Q, When
from django.utils import timezone

from sse_notify.sse.format import MAX_CURSOR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: Nothing was sent so late: a moment of the year 6536, in microseconds since 1970.
_NEVER = 2**57
_TEXT = re.compile(r"(\d{1,19})(?:\.(\d{1,18})\.(\d{1,19}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of an inbox begins, seen from its top."""

    seq: int
    """All below this number follows."""
    sent: int | None = None
    """If given, in microseconds since 1970: first comes what is not below, and was sent earlier."""
    pk: int = 0
    """And what was sent in that very moment, and has a lower key."""

    @classmethod
    def top(cls, head: int = MAX_CURSOR - 1) -> Place:
        """Return the top of an inbox; ``head``, of the log, is to be read before the page."""
        return cls(head + 1, _NEVER)

    @classmethod
    def parse(cls, text: str) -> Place:
        """Return the place that :attr:`token` stands for.

        Raises:
            ValueError: the text is no such token.
        """
        found = _TEXT.fullmatch(text)
        if not found:
            raise ValueError("not a place in an inbox")
        seq, sent, pk = (None if part is None else int(part) for part in found.groups())
        if seq is None or seq > MAX_CURSOR or (sent or 0) > _NEVER or (pk or 0) > MAX_CURSOR:
            raise ValueError("no place of any inbox")
        return cls(seq, sent, pk or 0)

    @property
    def token(self) -> int | str:
        """The place as clients get it: as a rule the number of the last item that they have."""
        return self.seq if self.sent is None else f"{self.seq}.{self.sent}.{self.pk}"

    def after(self, row: Any) -> Place:
        """Return the place below a row of a page that began here."""
        if row.seq is not None and row.seq < self.seq:
            return Place(row.seq)
        sent = row.created_at
        if timezone.is_naive(sent):
            sent = timezone.make_aware(sent, timezone.get_default_timezone())
        return Place(self.seq, (sent - _EPOCH) // _MICROSECOND, row.pk)

    def numbered(self) -> Q:
        """Return which rows follow by their number."""
        return Q(seq__lt=self.seq)

    def waiting(self) -> Sequence[Q]:
        """Return which rows follow first, by when they were sent: parts that an index has each."""
        if self.sent is None:
            return ()
        sent = _EPOCH + self.sent * _MICROSECOND
        if timezone.is_naive(timezone.now()):  # USE_TZ = False
            sent = timezone.make_naive(sent, timezone.get_default_timezone())
        earlier = Q(created_at__lt=sent) | Q(created_at=sent, pk__lt=self.pk)
        return Q(seq=None) & earlier, Q(seq__gte=self.seq) & earlier

    def order(self) -> Sequence[Any]:
        """Return what puts the rows that follow in order."""
        waiting = Q(seq=None) | Q(seq__gte=self.seq)
        return (
            Case(When(waiting, then=F("created_at"))).desc(nulls_last=True),
            Case(When(waiting, then=F("id"))).desc(nulls_last=True),
            F("seq").desc(nulls_last=True),
        )
