"""Projects of other people's, built as a stranger would: from PyPI, in a clean environment, by what the pages say. ``make projects`` runs them.

Each test makes what a stack's own documentation makes, does what our page for it says, and looks at the bell in a browser.
``stacks.py`` has no name that pytest looks for, as it is no part of ``make test``: it needs the network, and some minutes.
Pictures of what was seen, and the versions of all packages, are in ``.cache/projects``.
"""
