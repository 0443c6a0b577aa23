"""The tests. ``unit`` calls functions, ``asgi`` calls the application in process, ``servers`` and ``browser`` start real servers."""
