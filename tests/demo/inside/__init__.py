"""Tests with the demo's settings: ``pytest --ds=demo_project.settings tests/demo/inside``. ``test_site`` runs them in a process of their own."""
