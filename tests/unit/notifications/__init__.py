"""Tests of `sse_notify.notifications`."""
