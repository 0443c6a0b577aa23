"""Prometheus metrics: the public names of :mod:`sse_notify.monitoring.metrics`."""

from sse_notify.monitoring.metrics import NotifyCollector, metrics

__all__ = ["NotifyCollector", "metrics"]
