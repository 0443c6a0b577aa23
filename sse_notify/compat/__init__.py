"""Adapters for other packages: pytest, and those that a project used before."""
