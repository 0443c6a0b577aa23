"""Who may listen, decided in one place."""
