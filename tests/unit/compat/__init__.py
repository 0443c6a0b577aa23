"""Tests of `sse_notify.compat`."""
