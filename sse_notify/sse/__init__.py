"""The format of Server-Sent Events. It needs only the standard library."""
