"""Nothing in a project's ``data`` is taken for long work of this package."""

from __future__ import annotations

from time import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sse_notify import Progress, notify
from sse_notify.models import Notification, Receipt
from sse_notify.progress import store
from sse_notify.sse.format import encode_json, parse
from tests.unit.progress.conftest import press_cancel

pytestmark = pytest.mark.django_db

NUMBERS = {"done": 4, "total": 10, "percent": 40.0, "stage": "", "message": "", "eta": None}
RUN = {"id": "0" * 32, "heard_at": time(), "stalls_after": 30, "cancellable": True}

OWN: dict[str, Any] = {
    "work that runs": {"progress": {"state": "running", **NUMBERS, "run": RUN}},
    "work that has stalled": {
        "progress": {"state": "running", **NUMBERS, "run": {**RUN, "heard_at": 1.0}}
    },
    "work that has ended": {"progress": {"state": "done", **NUMBERS}},
    "as the wire has it": {
        "progress": {"state": "running", **NUMBERS, "cancellable": True, "stalls_in": 9.5}
    },
    "a run of another kind": {"progress": {"run": "first", "id": 7}},
    "times that are none": {"progress": {"run": {"heard_at": "now", "stalls_after": None}}},
    "a number beyond all": {"progress": {"state": "running", "percent": 10**400}},
    "a page that would ask for ever": {"progress": {"state": "running", "stalls_in": 0.001}},
    "a number": {"progress": 40},
    "nothing": {"progress": None},
    "a list": [{"progress": {"state": "running", "run": RUN}}],
}


def columns(row: Notification) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name not in ("_state", "seq")}


@pytest.mark.parametrize("data", OWN.values(), ids=OWN)
def test_a_projects_own_progress_is_told_as_it_is_and_is_no_work(
    alice: User, client: Client, data: Any
) -> None:
    row = notify(alice, "Own", data=data, key="own")
    before = columns(row)
    assert (row.progress, row.payload()["data"]) == (None, data)
    (item,) = client.get(reverse("sse_notify:items")).json()["items"]
    assert (item["data"], item["progress"]) == (data, None)
    page = client.get(reverse("sse_notify:list")).content.decode()
    for name, part in (("div", "progress"), ("form", "cancel")):
        (tag,) = [tag for tag in page.split(f"<{name} ") if f'data-ssen="{part}"' in tag] or [""]
        assert "hidden" in tag.split(">")[0] or not tag
    store.cancel(alice, [row.pk])
    assert columns(Notification.objects.get()) == before
    assert not Receipt.objects.exists()


def test_data_that_is_copied_from_work_is_no_work(alice: User, bob: User) -> None:
    with Progress(alice, "Import", 10, data={"order": 7}):
        work = Notification.objects.get()
        for data in (work.data, {"progress": work.progress_state}, work.payload()):
            copy = notify(bob, "A copy", data=data)
            assert (copy.progress, copy.payload()["data"]) == (None, data)
        assert work.data == {"order": 7}


def test_a_notification_under_the_key_of_work_is_work_no_more(alice: User) -> None:
    with Progress(alice, "Import", key="import") as progress:
        row = notify(alice, "Something else", key="import", data={"progress": "none"})
    row.refresh_from_db()
    assert (row.pk, row.progress) == (progress.id, None)
    assert row.payload()["data"] == {"progress": "none"}


def test_work_under_the_key_of_a_notification_has_data_of_its_own(alice: User) -> None:
    notify(alice, "Something else", key="import", data={"progress": {"run": RUN}, "x": 1})
    with Progress(alice, "Import", 2, key="import", data={"progress": "mine"}):
        pass
    row = Notification.objects.get()
    assert row.data == row.payload()["data"] == {"progress": "mine"}
    assert row.payload()["progress"] == row.progress
    assert row.progress is not None
    assert row.progress["state"] == "done"


# --- a row that Progress did not write: a restored one, one of another version, or by hand ---

TOLD = {"state", "done", "total", "percent", "stage", "message", "eta"}
MOST = {"done": 2**53, "total": 2**53, "percent": 100, "eta": 30 * 86_400}
odd: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**53 + 1, 0.001, 1e308, float("nan"), "\ud800", "\0"])
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)
runs: Any = odd | st.fixed_dictionaries(
    {},
    optional={
        "id": st.just("1") | odd,
        "heard_at": st.sampled_from([time(), time() + 1e6, 0]) | odd,
        "stalls_after": st.sampled_from([0.001, 1, 30, 2**53]) | odd,
        "cancellable": st.booleans() | odd,
    },
)
states: Any = odd | st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(["running", "done", "failed", "cancelled", "stalled", "x"]) | odd,
        "run": runs,
        **dict.fromkeys(MOST, st.integers(0, 100) | odd),
        **dict.fromkeys(("stage", "message"), st.just("m" * 2000) | odd),
        "more": odd,
    },
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=settings().max_examples // 2,  # each renders an item
)
@given(stored=states)
@example(stored={"state": "running", "percent": 10**400, "run": {**RUN, "stalls_after": 0.001}})
@example(stored={"run": RUN})
@example(stored={"state": ["running"], "run": RUN})
@example(stored={"state": "running", "run": {"cancellable": True}})
@example(stored={"state": "done", "stage": "\ud800"})
def test_whatever_is_stored_is_told_within_bounds_or_not_at_all(alice: User, stored: Any) -> None:
    row = Notification(pk=1, seq=1, title="Import", progress_state=stored, count=2)
    told = row.payload()["progress"]
    frame = encode_json(row.payload(), event=row.event, id=row.seq)
    assert (len(frame) < 20_000, parse(frame)[0].data["progress"]) == (True, told)
    page = render_to_string("sse_notify/_item.html", {"item": row, "marks_form": "x"})
    assert ("<progress" in page, page.encode() != b"") == (True, True)
    if told is None:
        assert 'data-ssen="cancel"' not in page
        return
    running = told["state"] in ("running", "stalled")
    assert running or told["state"] in ("done", "failed", "cancelled")
    assert set(told) == (TOLD | {"cancellable", "stalls_in"} if running else TOLD)
    for name, most in MOST.items():
        assert told[name] is None or 0 <= told[name] <= most
    assert len(told["stage"]) <= 255
    assert len(told["message"]) <= 1000
    if running:
        assert type(told["cancellable"]) is bool
        assert told["stalls_in"] is None or 0.1 <= told["stalls_in"] <= 2**53


@pytest.mark.parametrize(
    ("stored", "told", "is_asked"),
    [
        ({"run": RUN}, None, False),
        ({"state": "paused", "run": RUN}, None, False),
        ({"state": "running", "run": {**RUN, "id": None}}, None, False),
        ({"state": "done", "run": RUN}, "done", False),
        ({"state": "running", "run": RUN}, "running", True),
        ({"state": "running", "run": {**RUN, "heard_at": "now"}}, "cancelled", False),
        ({"state": "running", "run": {"id": "1", "cancellable": True}}, "cancelled", False),
    ],
)
def test_cancel_takes_what_can_be_cancelled_and_leaves_the_rest(
    alice: User, client: Client, stored: Any, told: str | None, is_asked: bool
) -> None:
    run = {**stored["run"]}
    if run.get("heard_at") == RUN["heard_at"]:
        run["heard_at"] = time()
    row = notify(alice, "Import", key="import")
    Notification.objects.update(progress_state={**stored, "run": run})
    assert press_cancel(client, row.pk).status_code == 200
    row.refresh_from_db()
    assert (row.progress or {}).get("state") == told
    assert Receipt.objects.filter(cancel_asked_at__isnull=False).exists() is is_asked


@pytest.mark.django_db(transaction=True)
def test_a_count_that_cannot_grow_stays_and_the_work_is_sent(alice: User) -> None:
    """A fixture's row: each repeat failed on PostgreSQL."""
    row = notify(alice, "Before", key="work")
    for count in (2**31 - 1, 2**31 - 2):
        Notification.objects.update(count=count)
        with Progress(alice, "Work", key="work"):
            pass
        row.refresh_from_db()
        assert (row.count, row.title) == (2**31 - 1, "Work")
