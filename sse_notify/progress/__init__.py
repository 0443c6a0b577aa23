"""Show the progress of long work to a user, from any process."""
