"""The fixture ``sent_notifications``. pytest finds it by itself, through an entry point."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def sent_notifications(request: pytest.FixtureRequest) -> Any:
    """Return the notifications that the test has sent so far: see `sse_notify.testing.Captured`.

    ::

        def test_the_author_is_notified(client, post, sent_notifications):
            client.post(f"/posts/{post.pk}/comments/", {"text": "Nice"})
            assert sent_notifications.to(post.author).titles == ["New comment"]
    """
    request.getfixturevalue("db")
    from sse_notify.testing import Captured  # noqa: PLC0415  (needs loaded models)

    return Captured()
