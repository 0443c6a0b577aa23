"""The files of ``deploy/`` and the commands of ``docs/deploy.md``, run as they stand: only ports, paths and passwords are a test's own."""
