"""Tests of `sse_notify.templatetags`."""
