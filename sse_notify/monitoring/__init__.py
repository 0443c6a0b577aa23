"""Monitoring: connected users, the status of every process, and metrics."""
