"""Adapters for projects that used another package before."""
