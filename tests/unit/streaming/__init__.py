"""Tests of `sse_notify.streaming`."""
