"""Tell other processes, with the commit that numbers rows, how long the log is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from django.db import Error

from sse_notify.bus import messages, publisher, signing
from sse_notify.bus.messages import Batch
from sse_notify.bus.postgres import PostgresLayer
from sse_notify.conf import get_settings
from sse_notify.telemetry import Incident

T = TypeVar("T")
#: Called with the log's last number and the alias of its database.
Tell = Callable[[int, str], None]

_telling = Incident("layer_tell")


def telling(number: Callable[[Tell], T]) -> T:
    """Return ``number(tell)``, whose transaction calls ``tell(last, using)`` if it numbers rows.

    If PostgreSQL is the layer, this tells other processes with the commit how long the log is, and
    `publisher.ring` does not send them the batch. If ``NOTIFY`` fails, as while its queue is full,
    call ``number`` again without it: rows must get their numbers, and the others poll.
    """
    layer = publisher.remote_layer()
    if not isinstance(layer, PostgresLayer):
        return number(_tell_nobody)
    try:
        numbered = number(partial(_tell, layer))
    except Error as error:
        numbered = number(_tell_nobody)
        _telling.failed(error)
    else:
        _telling.worked()
    return numbered


def _tell(layer: PostgresLayer, last: int, using: str) -> None:
    signed = signing.sign(get_settings().GROUP, [messages.pack(Batch(last + 1, last, ()))])
    layer.send_at_commit(signing.groups()[0], signed, using)


def _tell_nobody(last: int, using: str) -> None: ...
