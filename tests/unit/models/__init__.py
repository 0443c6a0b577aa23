"""Tests of `sse_notify.models`."""
