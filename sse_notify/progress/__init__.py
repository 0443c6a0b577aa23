"""Long work that tells its user how far it is, in any process."""
