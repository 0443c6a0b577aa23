"""Tests of `sse_notify.monitoring`."""
