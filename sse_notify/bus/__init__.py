"""Send messages between processes."""
