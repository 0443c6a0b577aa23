"""What another process of the site puts into the channel layer, made by this one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sse_notify.bus import publisher, signing, subscriber
from sse_notify.bus.messages import Message, pack
from sse_notify.conf import get_settings
from sse_notify.sse.format import dumps


@contextmanager
def another_process() -> Iterator[None]:
    """In this block, this process has the origin of another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signing, "_BOOT", "another")
        yield


def signed(*parts: Any, to: str = "") -> dict[str, str]:
    """Return a signed message with these values; ``to``: the group of the hubs by default."""
    with another_process():
        return signing.sign(to or get_settings().GROUP, map(dumps, parts))


def carrying(*messages: Message) -> dict[str, str]:
    """Return a signed message with these messages."""
    with another_process():
        return signing.sign(get_settings().GROUP, map(pack, messages))


async def heard(membership: subscriber.Membership, number: int) -> list[Message]:
    """Return the next messages of other processes."""
    found: list[Message] = []
    while len(found) < number:
        publisher.deliver(await membership.receive(), found.append)
    return found
