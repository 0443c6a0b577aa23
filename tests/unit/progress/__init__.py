"""Tests of `sse_notify.progress`."""
