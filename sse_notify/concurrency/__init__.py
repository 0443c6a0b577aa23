"""Sync code called from async code: thread pools, and async twins of functions."""
