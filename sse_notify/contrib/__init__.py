"""Apps that a project may add beside ``sse_notify``. Each has tables of its own."""
