"""Validate, store and send notifications."""
