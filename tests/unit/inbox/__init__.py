"""Tests of `sse_notify.inbox`."""
