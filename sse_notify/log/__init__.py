"""The order of what was committed."""

from sse_notify.log.sequence import get_head as head

__all__ = ["head"]
