"""The management commands: arguments in, text out. The work is done in the app's modules."""
