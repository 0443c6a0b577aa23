"""A demo site for ``sse_notify``: a gallery with one small app per way of sending."""
