"""Event streams, the hubs that feed them, and their shutdown."""
