"""A user's inbox: marks and muted categories."""
