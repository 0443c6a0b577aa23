"""Every page of the app in the admin, with each set of permissions: what it shows of users, and to whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import NoReverseMatch, reverse

from sse_notify import EVERYONE, broadcast, notify
from sse_notify.models import Notification
from sse_notify.monitoring import presence
from sse_notify.presence import Presence

pytestmark = pytest.mark.django_db

OURS = ["view_notification", "add_notification", "delete_notification", "broadcast_notification"]
SETS = [held for size in range(5) for held in combinations(OURS, size)]
#: Whoever may view notifications sees who got each: in the list, and on its page.
OF_RECIPIENTS = {"changelist", "change"}


def person(name: str) -> tuple[User, set[str]]:
    """Return a user, and what they are called anywhere."""
    names = {
        "first_name": f"{name}-first",
        "last_name": f"{name}-last",
        "email": f"{name}@mail.test",
    }
    return User.objects.create_user(f"{name}-user", **names), {f"{name}-user", *names.values()}


def connect(monkeypatch: pytest.MonkeyPatch, *users: User) -> None:
    """Have ``users`` connected."""
    found = Presence(hubs=[], users=Counter(str(user.pk) for user in users), head=0)
    monkeypatch.setattr(presence, "look", lambda *args, **kwargs: found)
    monkeypatch.setattr(presence, "connected_users", lambda timeout: {*found.users})


def addresses(*rows: Notification) -> Iterator[tuple[str, str]]:
    """Yield the name and the address of every page of the app, those of a row for each of ``rows``."""
    model_admin = admin.site._registry[Notification]
    for pattern in model_admin.get_urls():
        if (name := pattern.name) is None:  # Django's redirect from old addresses
            continue
        page = name.removeprefix("sse_notify_notification_")
        try:
            yield page, reverse(f"admin:{name}")
        except NoReverseMatch:
            for row in rows:
                yield page, reverse(f"admin:{name}", args=[row.pk])
    yield "index", reverse("admin:app_list", args=["sse_notify"])


@pytest.mark.parametrize("held", SETS, ids=lambda held: "+".join(held) or "none")
def test_no_page_names_a_user_to_staff_who_may_not_view_users(
    monkeypatch: pytest.MonkeyPatch, held: tuple[str, ...]
) -> None:
    recipient, of_recipient = person("recipient")
    bystander, of_bystander = person("bystander")
    connect(monkeypatch, recipient, bystander)
    bystander.groups.add(group := Group.objects.create(name="Team"))
    to_everyone = broadcast("All", audience=EVERYONE, exclude=[bystander])
    to_group = broadcast("Group", audience=group)
    rows = [notify(recipient, "One"), to_everyone, to_group]
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=held))
    client = Client()
    client.force_login(staff)
    may_view, seen = "view_notification" in held, set()
    everybody = {"audience": "everyone", "title": "x", "level": "info"}
    of_a_group = {"audience": "group", "groups": [group.pk], "title": "x", "level": "info"}
    for page, address in addresses(*rows):
        for answer in (
            client.get(address, {"q": "bystander"} if page in ("live", "changelist") else {}),
            client.get(address),
            *(
                client.post(address, body)
                for body in (everybody, of_a_group)
                if page != "disconnect"
            ),
        ):
            assert answer.status_code in (200, 302, 403, 404, 405), (page, answer.status_code)
            text = answer.content.decode() + str(answer.cookies)
            assert not {name for name in of_bystander if name in text}, page
            shown = {name for name in of_recipient if name in text}
            assert not shown or (may_view and page in OF_RECIPIENTS), page
            seen |= {page} if answer.status_code == 200 else set()
    # The walk came to the pages.
    assert ("changelist" in seen) is ("live" in seen) is may_view
    assert ("broadcast" in seen) is ("reach" in seen) is ("broadcast_notification" in held)
    assert ("add" in seen) is ("add_notification" in held)


def test_the_names_are_there_for_who_may_view_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the walk above would find nothing whatever the pages show."""
    bystander, names = person("bystander")
    out, of_out = person("out")
    connect(monkeypatch, bystander)
    staff = User.objects.create_superuser("staff")
    client = Client()
    client.force_login(staff)
    row, other = notify(bystander, "One"), broadcast("All", audience=EVERYONE, exclude=[out])
    shown: Any = {
        page
        for page, address in addresses(row)
        if any(name in client.get(address).content.decode() for name in names)
    }
    assert shown == OF_RECIPIENTS | {"live"}
    change = client.get(reverse("admin:sse_notify_notification_change", args=[other.pk]))
    assert any(name in change.content.decode() for name in of_out), "who was excluded"


@pytest.mark.parametrize("lookup", ["excluded", "excluded__id", "excluded__in", "excluded__gte"])
def test_no_filter_of_the_list_tells_who_is_excluded_to_staff_who_may_not_view_users(
    lookup: str,
) -> None:
    """Their keys would come out by trying one after the other."""
    bystander, _names = person("bystander")
    row = broadcast("All", audience=EVERYONE, exclude=[bystander])
    notify(bystander, "One")
    staff = User.objects.create_user("staff", is_staff=True)
    address = reverse("admin:sse_notify_notification_changelist")
    found = []
    for held in (["view_notification"], ["view_notification", "view_user"]):
        staff.user_permissions.set(Permission.objects.filter(codename__in=held))
        client = Client()
        client.force_login(staff)
        found.append(client.get(address, {lookup: bystander.pk}))
    assert [answer.status_code for answer in found] == [400, 200]
    assert found[1].context["cl"].result_list == [row]
