"""Tests of `sse_notify.bus`."""
