"""Examples that run as they stand in the pages. Those of "Test your own code" are collected as the tests that they are."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
from sse_notify.models import Notification
from tests.docs.pages import DOCS, blocks, pages

for _block in blocks(DOCS / "how-to" / "testing.md"):
    exec(
        compile(_block.code, str(_block), "exec"), globals()
    )  # their classes are this module's from here on

ADAPTERS = {
    page: block for page in pages() for block in blocks(page) if block.mark == "the adapter"
}
RUNNABLE = [block for page in pages() for block in blocks(page) if block.mark == "run in a test"]


def test_the_page_about_testing_has_tests() -> None:
    assert {"CommentTest", "StreamTest"} <= globals().keys()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("block", RUNNABLE, ids=str)
def test_an_example_runs(block: Any) -> None:
    ann = get_user_model().objects.create_user("ann")
    exec(compile(block.code, str(block), "exec"), {})
    titles = Notification.objects.visible_to(ann).order_by("pk").values_list("title", flat=True)
    assert list(titles) == ["Hello", "Back at six"]


@pytest.mark.django_db(transaction=True)
def test_the_adapters_send_from_the_code_of_the_guides(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    for block in ADAPTERS.values():
        exec(compile(block.code, str(block), "exec"), names)
    ann, bob = (get_user_model().objects.create_user(name) for name in ("ann", "bob"))
    # Any models will do.
    post, comment = (Group.objects.create(name=name) for name in ("a post", "a comment"))
    post.author, comment.text = bob, "Nice"  # type: ignore[attr-defined]
    names["comment_on"](post, ann, comment)
    row = Notification.objects.visible_to(bob).get()
    assert row.data is not None
    assert (row.title, row.data["excerpt"]) == ("ann commented a comment on a post", "Nice")
    rung: list[Any] = []
    monkeypatch.setattr(publisher, "ring", rung.append)
    names["tell_the_room"](1, "Hello")
    assert rung == [Ephemeral("room-1", b'topic: room-1\ndata: {"text": "Hello"}\n\n')]
