"""Faults, caused on real processes: what is promised holds under each of them."""
