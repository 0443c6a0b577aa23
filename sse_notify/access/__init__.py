"""Decide who may open a stream, and what it may receive."""
