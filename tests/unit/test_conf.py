"""Settings: what is refused, and what replaces the defaults."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from sse_notify.conf import Settings, get_settings, validate
from sse_notify.sse.format import MAX_EVENT_BYTES
from tests.support import ROOT

BAD: list[tuple[Any, str]] = [
    ("text", "SSE_NOTIFY must be a dict, not str"),
    ({"HEARTBEET": 1}, "HEARTBEET"),
    ({"HEARTBEAT": 0}, "HEARTBEAT"),
    ({"HEARTBEAT": "15"}, "HEARTBEAT"),
    ({"HEARTBEAT": True}, "HEARTBEAT"),
    ({"HEARTBEAT": float("nan")}, "HEARTBEAT"),
    ({"LIVE": 1}, "LIVE.*True or False"),
    ({"LIVE": None}, "LIVE"),
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
    ({"EVENT_MAX_BYTES": 1_048_577}, "EVENT_MAX_BYTES"),
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
    *(
        ({name: value}, f"{name}.* at most 86400")
        for name in (
            "HEARTBEAT",
            "POLL_INTERVAL",
            "RECHECK_INTERVAL",
            "MAX_LIFETIME",
            "SEND_TIMEOUT",
        )
        for value in (float("inf"), 2_147_484.0)
    ),
    ({"DRAIN_SECONDS": float("inf")}, "DRAIN_SECONDS.* at most 86400"),
    ({"RETRY_MS": (2000, 2**31)}, "RETRY_MS.* up to 86400000"),
]


@pytest.mark.parametrize(("given", "names"), BAD, ids=repr)
def test_a_bad_setting_is_named_by_the_check_and_at_the_first_use(given: Any, names: str) -> None:
    with override_settings(SSE_NOTIFY=given, ASGI_APPLICATION="x.application"):
        (error,) = run_checks(tags=["sse_notify"], databases=[])
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


def test_an_event_may_be_as_large_as_the_script_reads() -> None:
    limits = (ROOT / "sse_notify" / "js" / "limits.js").read_text()
    (characters,) = re.findall(r"BLOCK_MAX = ([\d_]+);", limits)
    assert int(characters) == MAX_EVENT_BYTES
    for more in (0, 1):
        with override_settings(SSE_NOTIFY={"EVENT_MAX_BYTES": MAX_EVENT_BYTES + more}):
            problems = validate()[1]
        refused = f"at most {MAX_EVENT_BYTES}, not {MAX_EVENT_BYTES + 1}."
        assert [problem.endswith(refused) for problem in problems] == [True] * more
