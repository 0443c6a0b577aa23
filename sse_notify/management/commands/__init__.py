"""The management commands. They parse arguments and print text; other modules do the work."""
