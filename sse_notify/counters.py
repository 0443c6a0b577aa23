"""What happened in this process since it started. The public name of `sse_notify.telemetry.counters`."""

from sse_notify.telemetry.counters import snapshot as snapshot
