"""Tests of `sse_notify.log`."""
