"""The exceptions that sse_notify raises.

Exception
├── ValueError, TypeError           a wrong argument, at the call (Python's own)
│   └── MalformedCursor             a client's cursor is not a number (`sse_notify.sse.format`)
├── ImproperlyConfigured            a wrong setting (Django's own)
└── SseNotifyError
    ├── UnknownTopic                no ``@topic`` pattern matches
    ├── Cancelled                   long work was cancelled
    ├── ProgressFailed              long work failed for a reason that its user may read
    └── HandshakeRefused            the server refused a stream; with the HTTP status and a code
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass


class SseNotifyError(Exception):
    """The base class of this package's exceptions. It is never raised itself."""


class UnknownTopic(SseNotifyError):
    """Raised when no ``@topic`` pattern matches the name of a topic."""


class Cancelled(SseNotifyError):
    """Raised when long work was cancelled, by :meth:`sse_notify.Progress.check`.

    It ends the ``with`` block and does not propagate past it.

    ``progress`` is the cancelled work, or ``None`` if a project raised the exception itself.
    """

    def __init__(
        self, message: str = "The user asks for the end.", *, progress: object = None
    ) -> None:
        super().__init__(message)
        self.progress = progress


class ProgressFailed(SseNotifyError):
    """Raised when long work fails for a reason that its user may read.

    The project raises it inside the ``with`` block of :class:`sse_notify.Progress`.
    """


@dataclass(eq=False)
class HandshakeRefused(SseNotifyError):
    """Raised when the server refuses to open a stream.

    ``status`` is the HTTP status, and ``code`` is a stable string for scripts. ``retry_after`` is
    the number of seconds to wait before a retry, or ``None`` if a retry fails until something
    changes. ``topic`` is the refused topic, or "" if the reason is not a topic.
    """

    status: int
    code: str
    message: str
    _: KW_ONLY
    retry_after: int | None = None
    topic: str = ""

    def __post_init__(self) -> None:
        super().__init__(self.message)
