"""Synchronous code that asynchronous code runs: a pool of threads, and twins of functions."""
