"""``send_event(channel, event_type, data)`` of django-eventstream, by :func:`sse_notify.publish`.

Change the import, and register the channels with ``@topic``; see the guide about moving over::

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
    async_publish: bool = True,  # noqa: FBT001, FBT002  (its signature there)
    json_encode: bool = True,  # noqa: FBT001, FBT002
) -> None:
    """Send an event to whoever listens to the topic ``channel`` now.

    It is sent at once, as there, and not stored. What nobody must miss is for
    :func:`sse_notify.notify`.

    Args:
        channel: the topic.
        event_type: the name of the event, "message" for a browser's ``onmessage``.
        data: what JSON can hold, with Django's dates, decimals and UUIDs.
        skip_user_ids: not supported; there it had an effect only behind a GRIP proxy.
        async_publish: ignored, as the call never waits.
        json_encode: ``False``: ``data`` is text and is sent as it is.

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
