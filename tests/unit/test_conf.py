"""Settings: what is refused, and what replaces the defaults."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from sse_notify.conf import Settings, get_settings, validate

BAD: list[tuple[Any, str]] = [
    ("text", "SSE_NOTIFY must be a dict, not str"),
    ({"HEARTBEET": 1}, "HEARTBEET"),
    ({"HEARTBEAT": 0}, "HEARTBEAT"),
    ({"HEARTBEAT": "15"}, "HEARTBEAT"),
    ({"HEARTBEAT": True}, "HEARTBEAT"),
    ({"HEARTBEAT": float("nan")}, "HEARTBEAT"),
    ({"MAX_LIFETIME": None}, "MAX_LIFETIME"),
    ({"DRAIN_SECONDS": -1}, "DRAIN_SECONDS"),
    ({"DRAIN_SECONDS": float("nan")}, "DRAIN_SECONDS"),
    ({"RETRY_MS": 2000}, "RETRY_MS"),
    ({"RETRY_MS": (5000, 2000)}, "RETRY_MS"),
    ({"RETRY_MS": (1, 2, 3)}, "RETRY_MS"),
    ({"MAX_STREAMS": 1.5}, "MAX_STREAMS"),
    ({"MAX_STREAMS": -1}, "MAX_STREAMS"),
    ({"HANDSHAKE_THREADS": 1000}, "HANDSHAKE_THREADS"),
    ({"RETENTION_DAYS": float("nan")}, "RETENTION_DAYS"),
    ({"RETENTION_DAYS": 36_501}, "RETENTION_DAYS"),
    ({"LAYER": ""}, "LAYER"),
    ({"GROUP": None}, "GROUP"),
    ({"GROUP": "my site"}, "GROUP"),
    ({"GROUP": "x" * 100}, "GROUP"),
    ({"CATEGORIES": ["news"]}, "CATEGORIES"),
    ({"CATEGORIES": {"news": True}}, "CATEGORIES"),
    ({"CATEGORIES": {"": {}}}, "CATEGORIES"),
    ({"CATEGORIES": {"x" * 101: {}}}, "CATEGORIES"),
    ({"CATEGORIES": {"news": {"title": "News"}}}, "CATEGORIES.*news"),
    ({"CATEGORIES": {"news": {"label": 1}}}, "CATEGORIES.*news"),
    ({"CATEGORIES": {"news": {"required": "yes"}}}, "CATEGORIES.*news"),
]


@pytest.mark.parametrize(("given", "names"), BAD, ids=repr)
def test_a_bad_setting_is_named_by_the_check_and_at_the_first_use(given: Any, names: str) -> None:
    with override_settings(SSE_NOTIFY=given, ASGI_APPLICATION="x.application"):
        (error,) = run_checks(tags=["sse_notify"])
        assert error.id == "sse_notify.E001"
        assert re.search(names, error.msg)
        with pytest.raises(ImproperlyConfigured, match=names):
            get_settings()


def test_good_settings_replace_defaults_one_by_one() -> None:
    with override_settings(
        SSE_NOTIFY={
            "HEARTBEAT": 5,
            "RETRY_MS": [10, 20],
            "POLL_INTERVAL": None,
            "DRAIN_SECONDS": 0,
            "RETENTION_DAYS": None,
        }
    ):
        assert get_settings() == Settings(
            HEARTBEAT=5, RETRY_MS=(10, 20), DRAIN_SECONDS=0, RETENTION_DAYS=None
        )
    assert get_settings() == Settings()


def test_a_wrong_key_does_not_hide_the_others() -> None:
    with override_settings(SSE_NOTIFY={"HEARTBEAT": -1, "POLL_INTERVAL": 2}):
        found, problems = validate()
    assert (found.HEARTBEAT, found.POLL_INTERVAL, len(problems)) == (15.0, 2, 1)
