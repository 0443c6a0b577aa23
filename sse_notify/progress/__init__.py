"""Long work that shows its progress to its user, in any process."""
