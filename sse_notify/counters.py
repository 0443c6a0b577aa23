"""The counters of this process since it started; they only grow."""

from sse_notify.telemetry import COUNTED as COUNTED
from sse_notify.telemetry import count as add
from sse_notify.telemetry import counted as get
from sse_notify.telemetry import snapshot

__all__ = ["COUNTED", "add", "get", "snapshot"]
