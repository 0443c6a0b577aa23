"""Examples that run as they stand in the pages. Those of "Test your own code" are collected as the tests that they are."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from sse_notify.models import Notification
from tests.docs.pages import DOCS, blocks, pages

for _block in blocks(DOCS / "how-to" / "testing.md"):
    exec(compile(_block.code, str(_block), "exec"), globals())  # their classes are this module's from here on

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
