"""A small Django project that real server processes run in tests. What it uses comes from the environment."""
