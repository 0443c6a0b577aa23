"""The log: committed notifications and inbox changes, in one order."""

from sse_notify.log.sequence import get_head as head

__all__ = ["head"]
