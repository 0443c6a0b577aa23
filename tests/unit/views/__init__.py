"""Tests of `sse_notify.views`."""
