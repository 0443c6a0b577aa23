"""Tests of `sse_notify.management`."""
