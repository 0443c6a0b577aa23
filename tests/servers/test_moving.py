"""Moving over from a package that is installed and has run: its own code writes the rows, and ours go on from there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.site import Site

MakeSite = Callable[..., Site]

THEIRS = """
    from django.conf import settings
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command
    from notifications.models import Notification
    from notifications.signals import notify

    settings.DJANGO_NOTIFICATIONS_CONFIG = {"USE_JSONFIELD": True}
    call_command("migrate", verbosity=0)
    alice, bob = User.objects.get(username="alice"), User.objects.get(username="bob")
    team = Group.objects.get()
    notify.send(bob, recipient=team, verb="commented", action_object=alice, target=team, description="Text", level="warning")
    notify.send(bob, recipient=alice, verb="liked", target=team, score=5)
    alice.notifications.first().mark_as_read()
"""

COPY = """
    from django.core.management import call_command
    from notifications.models import Notification

    before = list(Notification.objects.order_by("pk").values())
    call_command("import_notifications_hq")
    call_command("import_notifications_hq")
    assert list(Notification.objects.order_by("pk").values()) == before
"""

OURS = """
    from django.contrib.auth.models import Group, User
    from sse_notify.compat.eventstream import send_event
    from sse_notify.compat.notifications_hq import notify

    notify.send(User.objects.get(username="bob"), recipient=Group.objects.get(), verb="left")
    send_event("room.2", "message", {"text": "Hello"})
"""


@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_rows_and_code_of_the_other_package_move_over(make_site: MakeSite) -> None:
    site = make_site("postgresql", redis=True, env={"EXTRA_APPS": "notifications"})
    site.script(THEIRS)
    server = site.serve("uvicorn")
    async with site.listen(server, "alice", params={"topic": "room.2"}) as events:
        await events.next("hello")
        first, second, third = site.script(COPY).splitlines()
        assert (first, second, third) == (
            "Imported 3 notifications.",
            "Imported 0 notifications.",
            "Left out: 3, there already",
        )
        reset = await events.next("reset")
        assert reset.json() == {"reason": "state", "cursor": int(reset.id)}
        site.script(OURS)
        # What is stored has its number first; what is not is sent at once.
        wanted = ("notification", "message")
        got = {
            event.event: event.json()
            for event in await events.take(2, lambda event: event.event in wanted)
        }
        news = got["notification"]
        assert (news["title"], news["actor_name"], news["data"]["activity"]["verb"]) == (
            "bob left",
            "bob",
            "left",
        )
        assert got["message"] == {"text": "Hello"}
        assert [event.event for event in events.seen].count("notification") == 1, (
            "history is not told"
        )
    async with site.listen(server, "alice", cursor=0) as events:
        hello = (await events.next("hello")).json()
        assert (hello["unread"], hello["unseen"]) == (2, 2), "one of the three is read"
        assert (await events.next("notification")).json()["title"] == "bob left"
    listed = site.script("""
        from django.contrib.auth.models import User
        from sse_notify.models import Notification
        for row in Notification.objects.visible_to(User.objects.get(username="alice")).order_by("pk"):
            print(row.title, row.level, row.body, row.data.get("score"), row.is_unread, sep="|")
    """)
    assert listed.splitlines() == [
        "bob commented alice on team|warning|Text|None|True", "bob liked team|info||5|False", "bob left|info||None|True",
    ]  # fmt: skip
