"""The exceptions that sse_notify raises.

Exception
├── ValueError, TypeError           a wrong argument, at the call (Python's own)
│   └── MalformedCursor             a client sent no number as its cursor (`sse_notify.sse.format`)
├── ImproperlyConfigured            a wrong setting (Django's own)
└── SseNotifyError
    ├── UnknownTopic                no ``@topic`` pattern matches
    ├── Cancelled                   the user asks for the end of long work
    ├── ProgressFailed              long work failed, and its user may read why
    └── HandshakeRefused            a stream is not opened; carries the HTTP answer
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass


class SseNotifyError(Exception):
    """The base class of this package's own exceptions. Never raised itself."""


class UnknownTopic(SseNotifyError):
    """Raised when no ``@topic`` pattern matches the name of a topic."""


class Cancelled(SseNotifyError):
    """Raised when the user asks for the end of long work, by :meth:`sse_notify.Progress.check`.

    The ``with`` block ends quietly.

    ``progress`` is the work that was asked, ``None`` if a project raised the exception itself.
    """

    def __init__(
        self, message: str = "The user asks for the end.", *, progress: object = None
    ) -> None:
        super().__init__(message)
        self.progress = progress


class ProgressFailed(SseNotifyError):
    """Raised when long work fails for a reason that its user may read.

    A project raises it, inside the ``with`` block of :class:`sse_notify.Progress`.
    """


@dataclass(eq=False)
class HandshakeRefused(SseNotifyError):
    """Raised when a stream is not opened.

    ``status`` is the HTTP status and ``code`` a stable word for scripts. ``retry_after`` is the
    number of seconds after which a retry makes sense, ``None`` if it makes none until something
    changes. ``topic`` is the topic that is refused, "" if it is none.
    """

    status: int
    code: str
    message: str
    _: KW_ONLY
    retry_after: int | None = None
    topic: str = ""

    def __post_init__(self) -> None:
        super().__init__(self.message)
