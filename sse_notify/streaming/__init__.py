"""The engine: streams, and what keeps them going until they end."""
