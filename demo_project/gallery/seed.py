"""The initial content: people, posts, comments, announcements and some notifications."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from demo_project.accounts.people import PEOPLE, Person
from demo_project.announcements.models import Announcement
from demo_project.board.models import Comment, Post
from demo_project.orders.models import Order, State
from sse_notify import broadcast, notify
from sse_notify.models import Audience, Level

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Author, title, text, comments as (author, text). The newest comes last.
_POSTS = (
    (
        "dave",
        "Badges or dots?",
        "The bell can show how many notifications are unread, or only that there are some. Numbers tell more, dots nag less. What "
        "would you want to see twenty times a day?",
        (
            ("carol", "Numbers. A dot is never urgent and never gone."),
            ("alice", "Numbers, but stop at 99."),
        ),
    ),
    (
        "carol",
        "On-call hand-over: what changed this week",
        "Alerts about disk space now name the host and link to its graph. The nightly backup reports itself when it is done, and "
        "stays silent about tables that did not change.",
        (("bob", "The link alone saved me ten minutes on Tuesday. Thank you."),),
    ),
    (
        "bob",
        "The build takes four minutes, it took nine",
        "Tests that need a database share one server now instead of starting their own. If your branch is older than Monday, "
        "rebase it once and enjoy.",
        (
            ("dave", "Four minutes and nine seconds here. Close enough!"),
            ("alice", "My coffee breaks will never be the same."),
        ),
    ),
    (
        "alice",
        "Checkout is live in three more countries",
        "Since this morning people in Portugal, Estonia and Chile can pay in their own currency. Support has the list of what to "
        "look out for; please tell us here if something reads oddly.",
        (
            ("bob", "First order from Tallinn came in nine minutes after the switch."),
            ("carol", "Dashboards are green, and I have my eye on the queue tonight."),
        ),
    ),
)

#: Level, audience, title, text.
_ANNOUNCEMENTS = (
    (
        Level.INFO,
        Audience.EVERYONE,
        "The handbook has a new home",
        "Old links lead there by themselves. Search is much better now.",
    ),
    (
        Level.SUCCESS,
        Audience.STAFF,
        "Certificates are renewed",
        "All of them, for another year. Nothing to do.",
    ),
    (
        Level.WARNING,
        Audience.EVERYONE,
        "Maintenance on Sunday, 06:00 to 06:30 UTC",
        "The database moves to new machines. Pages stay readable, saving will have to wait.",
    ),
)


#: User, item, state.
_ORDERS = (
    ("dave", "A fern", State.DELIVERED),
    ("alice", "Two mugs", State.SHIPPED),
    ("alice", "A desk lamp", State.PLACED),
    ("bob", "A pair of headphones", State.PAID),
)


@transaction.atomic
def seed() -> bool:
    """Create what is missing. Return whether this was the first time.

    Users keep their changes, except their password, as the sign-in page shows it.
    """
    users = {person.username: _user(person) for person in PEOPLE}
    _set_passwords(users)
    if not Order.objects.exists():
        _order(users)
    if Post.objects.exists() or Announcement.objects.exists():
        return False
    for user in users.values():
        notify(
            user,
            f"Welcome, {user.first_name}",
            "This is the bell. Send yourself something from the page “Compose”, and watch it arrive.",
            level=Level.SUCCESS,
            url=reverse("compose:form"),
            category="Welcome",
            idempotency_key="welcome",
        )
    _announce(users["carol"])
    _post(users)
    return True


def _user(person: Person) -> User:
    user, is_new = User.objects.get_or_create(
        username=person.username,
        defaults={
            "first_name": person.first_name,
            "last_name": person.last_name,
            "email": f"{person.username}@example.com",
            "is_staff": person.is_admin,
            "is_superuser": person.is_admin,
        },
    )
    if is_new:
        user.groups.add(Group.objects.get_or_create(name=person.group)[0])
    return user


def _set_passwords(users: Mapping[str, User]) -> None:
    # Hashing is slow on purpose, and all users have the same password: hash it once.
    first = next(iter(users.values()))
    if first.has_usable_password() and first.check_password(settings.DEMO_PASSWORD):
        return
    for user in users.values():
        user.set_password(settings.DEMO_PASSWORD)
        user.save(update_fields=["password"])


def _announce(author: User) -> None:
    now = timezone.now()
    for age, (level, audience, title, body) in zip(
        range(len(_ANNOUNCEMENTS), 0, -1), _ANNOUNCEMENTS, strict=True
    ):
        announcement = Announcement.objects.create(
            author=author,
            level=level,
            audience=audience,
            title=title,
            body=body,
            created_at=now - timedelta(days=age),
        )
        broadcast(
            title,
            body,
            audience=audience,
            level=level,
            url=announcement,
            category="Announcements",
            actor=author,
            target=announcement,
        )


def _post(users: Mapping[str, User]) -> None:
    now = timezone.now()
    for age, (author, title, body, comments) in zip(range(len(_POSTS), 0, -1), _POSTS, strict=True):
        written = now - timedelta(hours=26 * age)
        post = Post.objects.create(author=users[author], title=title, body=body, created_at=written)
        for later, (commenter, text) in enumerate(comments, start=1):
            # The signal notifies, as it does for a comment on the page.
            Comment.objects.create(
                post=post,
                author=users[commenter],
                body=text,
                created_at=written + timedelta(hours=2 * later),
            )


def _order(users: Mapping[str, User]) -> None:
    for owner, item, reached in _ORDERS:
        order = Order(owner=users[owner], item=item)
        order.save()
        while order.state != reached:
            order.move_on()
