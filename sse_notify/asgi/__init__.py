"""The wrapper around a project's ASGI application."""

from sse_notify.asgi.app import EventStreams

__all__ = ["EventStreams"]
