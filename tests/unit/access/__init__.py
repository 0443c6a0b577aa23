"""Tests of `sse_notify.access`."""
