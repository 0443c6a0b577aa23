"""The format of Server-Sent Events. It needs the standard library alone."""
