"""``send_event()`` of django-eventstream, implemented with :func:`sse_notify.publish`.

Change the import, and register the channels with ``@topic``; see the migration guide::

    # was: from django_eventstream import send_event
    from sse_notify.compat.eventstream import send_event
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from sse_notify.notifications.send import publish


def send_event(
    channel: str,
    event_type: str,
    data: Any,
    skip_user_ids: Iterable[Any] | None = None,
    async_publish: bool = True,
    json_encode: bool = True,
) -> None:
    """Send an event to the current subscribers of the topic ``channel``.

    Like the original, it sends at once and stores nothing. To send something that users must not
    miss, call :func:`sse_notify.notify`.

    Args:
        channel: the topic.
        event_type: the name of the event; "message" for a browser's ``onmessage``.
        data: a value that ``DjangoJSONEncoder`` accepts: also dates, decimals and UUIDs.
        skip_user_ids: not supported. In django-eventstream it needs a GRIP proxy.
        async_publish: ignored, because the call never waits.
        json_encode: ``False``: ``data`` is a string, and is sent as it is.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it.
    """
    if skip_user_ids:
        raise TypeError("skip_user_ids is not supported. Use broadcast() with exclude.")
    if json_encode:
        try:
            data = json.dumps(data, cls=DjangoJSONEncoder, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"data must be JSON serializable. {error}.") from error
    elif not isinstance(data, str):
        kind = type(data).__name__
        raise TypeError(f"data must be a string, not {kind}, with json_encode=False.")
    publish(channel, data, event=event_type)
