"""Tests of `sse_notify.sse`."""
