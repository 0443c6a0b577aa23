"""A short event is accepted without being encoded, and exactly those are that would be accepted when encoded."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from sse_notify.notifications import validation

TEXTS = st.text(st.sampled_from('a\n"\\\x01é漢🎈\u2028<'), min_size=1, max_size=150).filter(
    str.strip
)
DATA = st.one_of(
    st.none(), TEXTS, st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20)
)


def accepts(content: dict[str, Any]) -> bool:
    try:
        validation.check(content["title"], content["body"], content["more"])
    except ValueError as error:
        return "EVENT_MAX_BYTES" not in str(error)
    return True


@pytest.mark.django_db
@given(title=TEXTS, body=TEXTS, name=TEXTS, data=DATA, limit=st.integers(2048, 9000))
def test_what_is_called_short_would_be_accepted_when_encoded(
    title: str, body: str, name: str, data: Any, limit: int
) -> None:
    actor = User(pk=2**62, username=name[:150])
    content = {
        "title": title,
        "body": body,
        "more": {"data": data, "actor": actor, "target": actor},
    }
    with override_settings(SSE_NOTIFY={"EVENT_MAX_BYTES": limit}):
        found = accepts(content)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(validation, "_is_short", lambda columns: False)
            assert found == accepts(content)


@pytest.mark.django_db
def test_a_usual_event_is_not_encoded(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("encoded")

    monkeypatch.setattr(validation, "check_frame", never)
    validation.check("Order 1", "has shipped", {"url": "/", "actor": alice, "data": {"id": 1}})
    with pytest.raises(AssertionError):
        validation.check("Order 1", "x" * 60_000, {})
