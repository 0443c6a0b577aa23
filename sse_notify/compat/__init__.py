"""For projects that come from another package: adapters, and what moves their data."""
