"""Nothing in a project's ``data`` is taken for long work of this package."""

from __future__ import annotations

from time import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from sse_notify import Progress, notify
from sse_notify.models import Notification, Receipt
from sse_notify.progress import store

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
    "a number": {"progress": 40},
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
    assert item["data"] == data
    store.cancel(alice, [row.pk])
    assert columns(Notification.objects.get()) == before
    assert not Receipt.objects.exists()


def test_data_that_is_copied_from_work_is_no_work(alice: User, bob: User) -> None:
    with Progress(alice, "Import", 10, data={"order": 7}):
        work = Notification.objects.get()
        for data in (work.data, work.payload()["data"]):
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
    with Progress(alice, "Import", 2, key="import", data={"order": 7}):
        pass
    row = Notification.objects.get()
    assert (row.data, row.payload()["data"].keys()) == ({"order": 7}, {"order", "progress"})
    assert row.progress is not None
    assert row.progress["state"] == "done"


@pytest.mark.parametrize(
    ("progress", "is_shown"),
    [({"percent": 40}, True), ({"state": "done"}, True), ({}, False), (40, False), ([1], False)],
)
def test_the_page_shows_what_the_wire_says_and_offers_no_cancel(
    alice: User, client: Client, progress: Any, is_shown: bool
) -> None:
    notify(alice, "Own", data={"progress": progress})
    page = client.get(reverse("sse_notify:list")).content.decode()
    (bar,) = [part.split(">")[0] for part in page.split("<div ") if 'data-ssen="progress"' in part]
    assert ("hidden" not in bar) is is_shown
    forms = [part.split(">")[0] for part in page.split("<form ") if 'data-ssen="cancel"' in part]
    assert all("hidden" in form for form in forms)
