"""Messages between processes, as plain data."""
