"""The exceptions that sse_notify raises.

Exception
├── ValueError / TypeError          a bad argument, at the call (Python's own)
├── ImproperlyConfigured            a bad setting (Django's own)
└── SseNotifyError
    ├── UnknownTopic                nobody registered a pattern that matches the topic
    ├── Cancelled                   the user has asked for the end of long work
    ├── ProgressFailed              long work failed, for a reason that its user may read
    └── HandshakeRefused            a stream that is not opened; carries the HTTP answer
"""

from __future__ import annotations


class SseNotifyError(Exception):
    """The base of the exceptions that belong to this package."""


class UnknownTopic(SseNotifyError):
    """Raised when no ``@topic`` pattern matches a topic's name."""


class Cancelled(SseNotifyError):
    """Raised by :meth:`sse_notify.Progress.check` when the user has asked for the end; the ``with`` block ends quietly.

    ``progress`` is the work that was asked, ``None`` if a project raised it itself.
    """

    def __init__(
        self, message: str = "the user has asked for the end", *, progress: object = None
    ) -> None:
        super().__init__(message)
        self.progress = progress


class ProgressFailed(SseNotifyError):
    """To be raised inside a ``with`` block of :class:`sse_notify.Progress`: its text is what the user reads."""


class HandshakeRefused(SseNotifyError):
    """Raised when a stream is not opened.

    ``status`` is the HTTP status, ``code`` a stable word for scripts, ``retry_after`` the seconds after which a retry makes
    sense (``None``: a retry makes no sense until something changes), ``topic`` the one of several that is refused, if it is one.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: int | None = None,
        topic: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.topic = topic
