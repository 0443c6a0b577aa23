"""``django-eventstream`` as its documentation installs it: one process, without Redis or a GRIP proxy."""
