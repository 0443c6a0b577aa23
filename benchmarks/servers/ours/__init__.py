"""``sse_notify`` as its documentation installs it: the default settings, the in-memory layer, one process."""
