"""Pages of an inbox, newest first.

Rows are ordered by ``seq``. Rows without ``seq`` come first, ordered by the time they were sent.
Each page returns the place where it ends, and the next page starts there. While a user pages:

    rows that get a number          keep their place by time, as on the first page
    rows that arrive or are resent  come before the first page and move nothing below
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
#: Later than any notification: the year 6536, in microseconds since 1970.
_NEVER = 2**57
_TEXT = re.compile(r"(\d{1,19})(?:\.(\d{1,18})\.(\d{1,19}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """The place where a page of an inbox starts."""

    seq: int
    """Rows with a smaller ``seq`` follow."""
    sent: int | None = None
    """In microseconds since 1970. If given, the other rows that were sent earlier come first."""
    pk: int = 0
    """Of the rows sent at exactly that time, those with a smaller primary key come first, too."""

    @classmethod
    def top(cls, head: int = MAX_CURSOR - 1) -> Place:
        """Return the top of an inbox. Read ``head``, the head of the log, before the page."""
        return cls(head + 1, _NEVER)

    @classmethod
    def parse(cls, text: str) -> Place:
        """Return the place for a :attr:`token`.

        Raises:
            ValueError: ``text`` is not a valid token.
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
        """The place as clients get it: usually the ``seq`` of the last item on the page."""
        return self.seq if self.sent is None else f"{self.seq}.{self.sent}.{self.pk}"

    def after(self, row: Any) -> Place:
        """Return the place after ``row``, which is on a page that starts here."""
        if row.seq is not None and row.seq < self.seq:
            return Place(row.seq)
        sent = row.created_at
        if timezone.is_naive(sent):
            sent = timezone.make_aware(sent, timezone.get_default_timezone())
        return Place(self.seq, (sent - _EPOCH) // _MICROSECOND, row.pk)

    def numbered(self) -> Q:
        """Return the condition for the rows that follow by ``seq``."""
        return Q(seq__lt=self.seq)

    def waiting(self) -> Sequence[Q]:
        """Return the conditions for the rows that come first, by time. Each can use an index."""
        if self.sent is None:
            return ()
        sent = _EPOCH + self.sent * _MICROSECOND
        if timezone.is_naive(timezone.now()):  # USE_TZ = False
            sent = timezone.make_naive(sent, timezone.get_default_timezone())
        earlier = Q(created_at__lt=sent) | Q(created_at=sent, pk__lt=self.pk)
        return Q(seq=None) & earlier, Q(seq__gte=self.seq) & earlier

    def order(self) -> Sequence[Any]:
        """Return the ``order_by()`` arguments for the rows that follow."""
        waiting = Q(seq=None) | Q(seq__gte=self.seq)
        return (
            Case(When(waiting, then=F("created_at"))).desc(nulls_last=True),
            Case(When(waiting, then=F("id"))).desc(nulls_last=True),
            F("seq").desc(nulls_last=True),
        )
