"""Noticing clients that are gone without a word: a phone without a network acknowledges nothing, and says nothing either.

TCP gives up on such a peer after a quarter of an hour. ``TCP_USER_TIMEOUT`` (RFC 5482) makes it minutes less, and ends the connection of a
client that takes nothing as well, even on a server that holds no writer back. ASGI shows an application no socket. Two servers' ``send``
leads to it all the same: uvicorn's and daphne's. With others, and behind a proxy, which has clients of its own, it stays as it is: the
stream ends when a write blocks, or at its maximum age.
"""

from __future__ import annotations

import contextlib
import os
import socket
from functools import partial
from typing import Any

# Linux has it, others do not.
_OPTION: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)


def give_up_after(seconds: float, send: Any) -> bool:
    """Have the connection behind an ASGI ``send`` end when what is sent is not acknowledged for ``seconds``; 0: as before.

    Returns:
        Whether the connection was found and changed.
    """
    if _OPTION is None:
        return False
    # These are no documented attributes; whatever they turn out to be, the stream works without.
    with contextlib.suppress(Exception):
        number = _file_behind(send)
        if number is not None and number >= 0:
            with socket.socket(fileno=os.dup(number)) as found:
                if found.family in (socket.AF_INET, socket.AF_INET6):
                    found.setsockopt(socket.IPPROTO_TCP, _OPTION, int(seconds * 1000))
                    return True
    return False


def _file_behind(send: Any) -> int | None:
    if isinstance(send, partial):  # daphne: Server.handle_reply for one request
        return int(send.args[0].channel.transport.getHandle().fileno())
    transport = getattr(
        getattr(send, "__self__", None), "transport", None
    )  # uvicorn: RequestResponseCycle.send
    return None if transport is None else int(transport.get_extra_info("socket").fileno())
