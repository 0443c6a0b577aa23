"""A site that shows ``sse_notify`` at work: a gallery with one small app per way of sending."""
