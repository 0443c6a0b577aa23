"""Who may listen to what."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
import uuid
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, Group, GroupManager, Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test.utils import isolate_apps
from django.urls import register_converter

from sse_notify import broadcast, notify, publish, topics
from sse_notify.exceptions import UnknownTopic
from sse_notify.models import Notification
from sse_notify.models.counts import Owner, count
from sse_notify.topics import RUNS, check_name, find, load_users, topic, topics_of, user_topic
from tests.support import GUARD, ROOT
from tests.support.readers import is_allowed


class Year:
    """A project's own converter."""

    regex = "[0-9]{4}"

    def to_python(self, value: str) -> int:
        if value < "2000":
            raise ValueError("too long ago")
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(Year, "year2000")


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_registrations", {})


@pytest.mark.django_db
def test_a_user_has_own_everyones_groups_and_staff_topics() -> None:
    user = User.objects.create_user("alice", is_staff=True)
    group = Group.objects.create(name="team")
    user.groups.add(group)
    assert topics_of(user) == (f"user:{user.pk}", "everyone", "staff", f"group:{group.pk}")
    assert topics_of(User.objects.create_user("bob"))[1:] == ("everyone",)


class Replicated:
    """Reads of users and groups go to a replica, which does not exist, so that one fails."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        return "replica" if model._meta.app_label == "auth" else None


@pytest.mark.django_db
def test_users_and_their_groups_are_loaded_together_from_where_they_are_written(
    settings: Any, django_assert_num_queries: Any
) -> None:
    users = [User.objects.create_user(name) for name in ("alice", "bob")]
    group = Group.objects.create(name="team")
    users[0].groups.add(group)
    settings.DATABASE_ROUTERS = [Replicated()]
    with django_assert_num_queries(2):
        found = load_users([user.pk for user in users])
        assert found == {users[0].pk: (users[0], [group.pk]), users[1].pk: (users[1], [])}
        assert topics_of(*found[users[0].pk])[1:] == ("everyone", f"group:{group.pk}")
    with django_assert_num_queries(0):
        assert load_users([]) == {}


def test_a_pattern_captures_what_its_converters_say() -> None:
    seen: list[Any] = []

    @topic("order.<int:pk>.<slug:part>")
    def can_watch(user: Any, pk: int, part: str) -> bool:
        seen.append((pk, part))
        return pk == 7

    user = User(pk=1)
    assert is_allowed(user, "order.7.lines")
    assert not is_allowed(user, "order.8.lines")
    assert seen == [(7, "lines"), (8, "lines")]
    assert find("order.7.lines").authorise is can_watch


@pytest.mark.parametrize(
    "name", ["order.x", "order.7.more", "prefix.order.7", "", "x" * 200, "order.7\n"]
)
def test_what_matches_no_pattern_is_nobodys(name: str) -> None:
    topic("order.<int:pk>")(lambda user, pk: True)
    assert not is_allowed(User(pk=1), name)
    with pytest.raises(UnknownTopic):
        find(name)


@pytest.mark.parametrize("name", ["user:2", "everyone", "staff", "group:1"])
def test_the_packages_own_topics_are_never_had_by_name(name: str) -> None:
    topic("<path:anything>")(lambda user, anything: True)
    assert not is_allowed(User(pk=1, is_staff=True), name)


@pytest.mark.parametrize(
    "part", ["\0", "a\0", "\x7f", "a\tb", "\u2028", "\u200b", "\ud800", "\xa0"]
)
@pytest.mark.parametrize("converter", ["str", "path"])
def test_a_name_that_nobody_can_publish_to_reaches_no_function(converter: str, part: str) -> None:
    """With NUL, the query of a function for visitors failed on PostgreSQL: an error in the log for each request of anybody."""
    topic(f"{converter}.<{converter}:part>", public=True)(lambda user, part: True)
    assert find(f"{converter}.ä b").captured == {"part": "ä b"}
    with pytest.raises(ValueError, match="printable"):
        check_name(f"{converter}.{part}")
    with pytest.raises(UnknownTopic):
        find(f"{converter}.{part}")


def test_anonymous_visitors_ask_for_public_topics_only() -> None:
    topic("wall", public=True)(lambda user: True)
    topic("closed", public=True)(lambda user: user.is_authenticated)
    topic("private")(lambda user: True)
    assert [is_allowed(AnonymousUser(), name) for name in ("wall", "closed", "private")] == [
        True,
        False,
        False,
    ]
    assert [is_allowed(User(pk=1), name) for name in ("wall", "closed", "private")] == [
        True,
        True,
        True,
    ]


def test_an_authoriser_may_be_async() -> None:
    @topic("room.<int:n>")
    async def can_enter(user: Any, n: int) -> bool:
        return n == 1

    assert is_allowed(User(pk=1), "room.1")
    assert not is_allowed(User(pk=1), "room.2")


@pytest.mark.parametrize("pattern", ["", "everyone", "user:<int:pk>", "group:1", "staff"])
def test_a_pattern_that_cannot_be_had_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        topic(pattern)


@pytest.mark.timeout(60)  # it would take longer than the universe is old
@pytest.mark.parametrize(
    ("parts", "names"),
    [
        (".".join(f"<str:p{n}>" for n in range(12)) + ".end", ["." * 100, "a." * 50]),
        (".".join(f"<p{n}>" for n in range(30)), ["." * 100, "a" * 100, "a." * 49 + "a\n"]),
        ("/".join(f"<path:p{n}>" for n in range(12)) + "/end", ["/" * 100, "a/" * 50]),
        ("-".join(f"<slug:p{n}>" for n in range(12)) + ".end", ["-" * 100, "a-" * 50]),
        ("0".join(f"<int:p{n}>" for n in range(12)) + ".end", ["0" * 100, "10" * 50]),
        ("ab".join(f"<str:p{n}>" for n in range(12)) + ".end", ["ab" * 50, "aab" * 33, "a" * 100]),
    ],
    ids=["str", "many", "path", "slug", "int", "long separators"],
)
def test_a_name_that_nearly_matches_is_refused_at_once(parts: str, names: list[str]) -> None:
    topic(parts, public=True)(lambda user, **captured: True)
    for name in names:
        with pytest.raises(UnknownTopic):
            find(name)


@pytest.mark.parametrize(
    ("pattern", "name", "captured"),
    [
        ("a.<str:x>.b.<str:y>", "a.1.b.2", {"x": "1", "y": "2"}),
        ("a.<str:x>.b.<str:y>", "a.1.2.b.3.b.4", {"x": "1.2", "y": "3.b.4"}),
        ("a.<str:x>.b", "a.1.b", {"x": "1"}),
        ("a.<str:x>.b", "a.1.b.b", None),  # the part ends at the first
        ("<slug:x>-<int:n>", "my-7", {"x": "my", "n": 7}),
        ("<slug:x>-<int:n>", "my-own-7", None),
        ("<path:x>", "a/b", {"x": "a/b"}),
        ("<str:x>", "a/b", None),
        ("<x>", "a.b", {"x": "a.b"}),
        ("<int:n>", "", None),
        ("<int:n>", "x", None),
        ("(<int:n>)*", "(7)*", {"n": 7}),
        ("<uuid:x>-<int:n>", f"{UUID(int=7)}-8", {"x": UUID(int=7), "n": 8}),
        ("<int:n>-<uuid:x>", f"8-{UUID(int=7)}", {"x": UUID(int=7), "n": 8}),
        ("<uuid:x>", "7", None),
        ("<year2000:y>.<str:x>", "2026.x", {"y": 2026, "x": "x"}),
        ("<year2000:y>.<str:x>", "1900.x", None),  # its converter refuses the value
    ],
)
def test_a_part_ends_where_the_text_after_it_first_occurs(
    pattern: str, name: str, captured: dict[str, Any] | None
) -> None:
    topic(pattern)(lambda user, **captured: True)
    if captured is None:
        with pytest.raises(UnknownTopic):
            find(name)
    else:
        assert find(name).captured == captured


@pytest.mark.parametrize("way", ["ours alone", "before ours", "after ours"])
@pytest.mark.parametrize("public", [True, False])
def test_until_a_topic_is_decided_no_converter_of_the_project_runs(
    monkeypatch: pytest.MonkeyPatch, way: str, public: bool
) -> None:
    """Whether a visitor may ask is known before: one of the patterns that the text fits is public."""

    def fail(self: Any, value: str) -> int:
        raise AssertionError("called")

    functions = {"<year2000:y>.<int:n>": lambda **_: True, "<str:y>.07": lambda **_: True}
    patterns = list(functions)[: 1 if way == "ours alone" else 2]
    for pattern in patterns if way != "after ours" else patterns[::-1]:
        topic(pattern, public=public)(functions[pattern])
    monkeypatch.setattr(Year, "to_python", fail)
    found = find("1999.07", convert=False)
    assert found.public is public
    if way != "after ours":
        assert (found.pattern, found.captured) == (patterns[0], {"y": "1999", "n": 7})
        assert found.key == "1999.07"


@pytest.mark.parametrize("name", ["1999.x", "19.07", "1999.07.1", "user:1"])
def test_what_no_pattern_fits_is_unknown_without_a_converter(name: str) -> None:
    topic("<year2000:y>.<int:n>")(lambda user, **_: True)
    with pytest.raises(UnknownTopic):
        find(name, convert=False)


def test_a_visitor_may_ask_for_what_only_the_converter_tells_from_a_public_topic() -> None:
    topic("<year2000:y>.x")(lambda user, **_: True)
    topic("<int:n>.x", public=True)(lambda user, **_: True)
    topic("<slug:n>.y")(lambda user, **_: True)
    assert find("1999.x", convert=False).public
    assert find("1999.x").public
    assert not find("2001.x").public
    assert not find("1999.y", convert=False).public


def test_parts_need_text_between_them() -> None:
    for pattern in ("<int:a><slug:b>", "x.<a><b>.<c>"):
        with pytest.raises(ValueError, match=r"^pattern must have text after <a>"):
            topic(pattern)
    with pytest.raises(ImproperlyConfigured, match="nothing"):
        topic("<nothing:a>")


async def refuse(user: Any) -> bool:
    return False


class Refusal:
    async def __call__(self, user: Any) -> bool:
        return False


@functools.wraps(refuse)
def decorated(*args: Any) -> Any:
    return refuse(*args)


@pytest.mark.parametrize(
    "function",
    [refuse, Refusal(), decorated, lambda user: refuse(user), sync_to_async(lambda user: False)],
    ids=["function", "object", "decorated", "lambda", "adapted"],
)
def test_whatever_returns_an_awaitable_is_awaited(function: Any) -> None:
    topic("wall")(function)
    assert find("wall").allows(User()) is False


def test_a_pattern_is_registered_once() -> None:
    topic("wall")(lambda user: True)
    with pytest.raises(ValueError, match="already registered"):
        topic("wall")(lambda user: True)


BROKEN = {
    "import": "import nothing_of_this_name",
    "half": """
from sse_notify import topic
@topic("order.<int:pk>")
def can_watch(user, pk):
    return True
raise ZeroDivisionError
""",
    "twice": """
from sse_notify import topic
topic("wall")(lambda user: True)
topic("wall")(lambda user: False)
""",
}
START = """
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="only-for-this-test",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "sse_notify", "shop"],
)
try:
    django.setup()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("import", "ModuleNotFoundError No module named 'nothing_of_this_name'"),
        ("half", "ZeroDivisionError "),
        ("twice", "ValueError pattern 'wall' is already registered"),
    ],
)
def test_a_topics_module_that_is_broken_is_seen_at_the_start(
    tmp_path: Path, kind: str, expected: str
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/topics.py").write_text(BROKEN[kind])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-c", START]
    ran = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=GUARD, check=False
    )
    assert ran.stdout.startswith(expected), ran.stderr


@pytest.mark.parametrize(
    ("key", "spellings"),
    [
        (models.AutoField(primary_key=True), [7, "7", "07", " 7"]),
        (
            models.UUIDField(primary_key=True),
            [uuid.UUID(int=7), str(uuid.UUID(int=7)), uuid.UUID(int=7).hex, "0" * 31 + "7"],
        ),
        (models.CharField(primary_key=True, max_length=20), ["7", 7]),
        (models.EmailField(primary_key=True), ["A b@x.test"]),
    ],
    ids=["a number", "a UUID", "text", "an address"],
)
@isolate_apps("tests")
def test_a_users_topic_is_the_same_however_the_program_wrote_the_key(
    monkeypatch: pytest.MonkeyPatch, key: Any, spellings: list[Any]
) -> None:
    """What was sent to ``User(id=uuid4().hex)``, as just created, stood under a topic that nobody hears."""

    class Customer(AbstractBaseUser):
        id = key

        class Meta:
            app_label = "tests"

    monkeypatch.setattr(topics, "get_user_model", lambda: Customer)
    assert len({topics_of(Customer(pk=each))[0] for each in spellings}) == 1
    assert user_topic(None) == "user:None"  # a visitor's stream


# --- groups of a custom user model ---------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["groups", "child", "other", "reverse", "foreign key", "json", "property", "none"]
)
@isolate_apps("tests")
def test_only_a_relation_to_djangos_groups_is_one(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    class OfTests:
        app_label = "tests"

    class Team(Group):
        Meta = OfTests

    kinds: dict[str, Any] = {
        "groups": models.ManyToManyField(Group, related_name="+"),
        "child": models.ManyToManyField(Team, related_name="+"),
        "other": models.ManyToManyField(Permission, related_name="+"),
        "foreign key": models.ForeignKey(Group, models.CASCADE, related_name="+"),
        "json": models.JSONField(default=list),
        "property": property(lambda user: ["team"]),
        "none": None,
    }

    class Customer(AbstractBaseUser):
        if kind in kinds:
            groups = kinds[kind]

        Meta: Any = OfTests

    class Club(Group):
        members = models.ManyToManyField(
            Customer, related_name="groups" if kind == "reverse" else "+"
        )
        Meta = OfTests

    monkeypatch.setattr(topics, "get_user_model", lambda: Customer)
    is_ours = kind in ("groups", "child")
    assert (topics.groups_field() is not None) == is_ours
    if not is_ours:
        assert topics_of(Customer(pk=1)) == ("user:1", "everyone")


GROUPS = {
    "property": "property(lambda user: ['team'])",
    "json": "models.JSONField(default=list)",
    "other": "models.ManyToManyField('Team')",
    "child": "models.ManyToManyField('Squad')",
}
MODELS = """
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group
from django.db import models

class Team(models.Model):
    pass

class Squad(Group):
    pass

class Customer(AbstractBaseUser):
    email = models.EmailField(unique=True)
    groups = {groups}
    USERNAME_FIELD = "email"
    objects = BaseUserManager()
"""
SITE = """
import asyncio, sys
import django
from django.conf import settings

kind = sys.argv[2]
settings.configure(
    AUTH_USER_MODEL="shop.Customer",
    SECRET_KEY="only-for-this-test",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "sse_notify", "shop"],
    MIGRATION_MODULES=dict.fromkeys(["admin", "auth", "contenttypes", "sse_notify", "shop"]),
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": sys.argv[1],
            "OPTIONS": {"transaction_mode": "IMMEDIATE"},  # groups.set() reads before it writes
        }
    },
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.core.management import call_command
from shop.models import Customer, Squad, Team
from sse_notify import abroadcast, amark_read, anotify, notify
from sse_notify.admin.figures import figures_of
from sse_notify.admin.forms import Addressees
from sse_notify.models import Audience, Notification
from sse_notify.notifications.send import has_user_field, send
from sse_notify.testing import open_stream

call_command("migrate", run_syncdb=True, verbosity=0)
print(run_checks(tags=["sse_notify"], databases=["default"])[1:])  # but for ASGI_APPLICATION
user = Customer.objects.create(email="alice")
group = (Squad if kind == "child" else Group).objects.create(name="team")
if kind == "child":
    user.groups.add(group)
elif kind == "other":
    user.groups.add(Team.objects.create())
group = Group.objects.get()

async def main():
    async with open_stream(user) as stream:
        await stream.next("hello")
        await abroadcast("For the group", audience=group)
        mine = await anotify(user, "For you")
        titles = []
        while "For you" not in titles:
            titles.append((await stream.next("notification")).data["title"])
        await amark_read(user, ids=[mine.pk])
        print(titles, (await stream.next("update")).data["unread"])

asyncio.run(main())
print(sorted(row.title for row in Notification.objects.visible_to(user)))
print(len(notify(group, "To the members")), Addressees(audience=Audience.GROUP, groups=[group]).count())
print(len(send("Both", users=[user], groups=[group])), has_user_field("groups"))
print(len(figures_of(Notification.objects.select_related("recipient"))))
"""


@pytest.mark.parametrize("kind", GROUPS)
def test_a_site_whose_users_have_other_groups_runs_and_mixes_them_with_nobodys(
    tmp_path: Path, kind: str
) -> None:
    """It did not start, or the members of another model's first row got what was for the first group."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/models.py").write_text(MODELS.format(groups=GROUPS[kind]))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-c", SITE, str(tmp_path / "shop.sqlite3"), kind]
    ran = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=GUARD, check=False
    )
    theirs = [
        "[]",
        "['For the group', 'For you'] 1",
        "['For the group', 'For you']",
        "1 1",
        "1 True",
        "4",
    ]
    nobodys = ["[]", "['For you'] 0", "['For you']", "0 0", "2 False", "2"]
    assert ran.stdout.splitlines() == (theirs if kind == "child" else nobodys), ran.stderr


KEYS = {
    "child": "models.ManyToManyField('Squad')",
    "child with a key of its own": "models.ManyToManyField('Badge')",
    "grandchild": "models.ManyToManyField('Medal')",
    "proxy": "models.ManyToManyField('Crew')",
    "through names": "models.ManyToManyField(Group, through='Membership')",
    "through names of parents": "models.ManyToManyField(Group, through='Membership')",
    "parent": "models.ManyToManyField(Group)",
}
KEYED_MODELS = """
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group
from django.db import models

class Squad(Group):
    pass

class Badge(Group):
    number = models.AutoField(primary_key=True)

class Medal(Badge):
    pass

class Crew(Group):
    class Meta:
        proxy = True

class Person(AbstractBaseUser):
    email = models.CharField(max_length=20, unique=True)
    groups = {groups}
    USERNAME_FIELD = "email"
    objects = BaseUserManager()

{customer}

class Membership(models.Model):
    person = models.ForeignKey(Person, models.CASCADE, to_field="email")
    group = models.ForeignKey(Group, models.CASCADE, to_field="name")
"""
CHILD = """class Customer(Person):
    number = models.AutoField(primary_key=True)"""
KEYED_SITE = (
    SITE.partition("from django.contrib.auth.models import Group")[0]
    + """
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.core.management import call_command
from shop.models import Customer, Person
from sse_notify import broadcast, notify
from sse_notify.access import receivers
from sse_notify.admin.figures import figures_of
from sse_notify.admin.forms import Addressees
from sse_notify.models import Audience, Notification
from sse_notify.notifications.send import send
from sse_notify.testing import open_stream
from sse_notify.topics import topics_of

call_command("migrate", run_syncdb=True, verbosity=0)
assert not run_checks(tags=["sse_notify"], databases=["default"])[1:]
kind = Customer.groups.rel.model
others = [Group.objects.create(name=name) for name in ("4", "5")]
mine = kind.objects.create(name="1")  # its id is 3
others.append(kind.objects.create(name="3"))
Person.objects.create(email="3")
Customer.objects.create(email="2")
user = Customer.objects.create(email="1")
audiences = [*others, mine, Group.objects.get(name="1")]

@sync_to_async
def send_all():
    for audience in audiences:
        broadcast(f"For {audience.name}", audience=audience)
    notify(user, "End")

async def titles(stream):
    found = []
    while "End" not in found:
        event = await stream.next()
        if event.event in ("notification", "reset"):
            found.append(event.data.get("title", "reset"))
    return found

async def main():
    async with open_stream(user) as stream:
        await stream.next("hello")
        for change in (
            lambda: user.groups.add(mine),
            lambda: user.groups.remove(mine),
            lambda: mine.person_set.add(user),
            lambda: mine.person_set.clear(),
            lambda: mine.person_set.add(user),
            lambda: mine.person_set.remove(user),
            lambda: user.groups.set([mine]),
        ):
            await sync_to_async(change)()
            await send_all()
            print(await titles(stream))

asyncio.run(main())
table = Customer.groups.through
if not table._meta.auto_created:  # its rows may repeat a membership, in another role, say
    table.objects.create(person=user, group=mine)
print(topics_of(user), topics_of(Customer.objects.prefetch_related("groups").get(pk=user.pk)))
print({row.title for row in Notification.objects.visible_to(user)})
for group in audiences:
    members = len(notify(group, "To the members"))
    reached = Addressees(audience=Audience.GROUP, groups=[Group.objects.get(name=group.name)]).count()
    print(group.name, members, reached, len(send("Both", users=[user], groups=[group])))
rows = Notification.objects.filter(audience=Audience.GROUP).select_related("recipient")
figures = figures_of(rows)
print({(row.title, row.group.name, figures[row.pk].reach) for row in rows if row.title != "Both"})
Group.objects.get(name="1").delete()
"""
)


@pytest.mark.parametrize("kind", KEYS)
def test_a_group_is_known_by_its_own_key_whatever_the_users_are_connected_with(
    tmp_path: Path, kind: str
) -> None:
    """A child of Django's group may have a key of its own, and a table of members may name users and groups otherwise."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    customer = CHILD if "parent" in kind else "class Customer(Person):\n    pass"
    code = KEYED_MODELS.format(groups=KEYS[kind], customer=customer)
    (tmp_path / "shop/models.py").write_text(code)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-c", KEYED_SITE, str(tmp_path / "shop.sqlite3"), kind]
    ran = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=GUARD, check=False
    )
    joined, left = ["reset", "For 1", "For 1", "End"], ["reset", "End"]
    theirs = (f"user:{2 if 'parent' in kind else 3}", "everyone", "group:3")
    figures = {(f"For {name}", name, int(name == "1")) for name in "1345"}
    assert ran.returncode == 0, ran.stderr
    *live, both_topics, visible, one, two, three, four, again, counted = ran.stdout.splitlines()
    assert [ast.literal_eval(each) for each in live] == [
        *(joined, left) * 3,
        joined,
    ], ran.stderr
    assert both_topics == f"{theirs} {theirs}"
    assert ast.literal_eval(visible) == {"For 1", "End"}
    assert [one, two, three] == ["4 0 0 2", "5 0 0 2", "3 0 0 2"]
    assert [four, again] == ["1 1 1 1"] * 2
    assert ast.literal_eval(counted) == figures


def test_a_function_that_yields_its_answer_lets_nobody_in() -> None:
    """Such an answer is true, whatever it would yield."""

    @topic("yields")
    def may_listen(user: Any) -> Any:
        yield False

    @topic("yields later")
    async def may_listen_later(user: Any) -> Any:
        yield False

    for name in ("yields", "yields later"):
        with pytest.raises(TypeError, match="must return"):
            find(name).allows(User(is_active=True))


@pytest.mark.django_db
@pytest.mark.parametrize("is_prefetched", [True, False])
def test_a_member_in_several_roles_is_in_a_group_once(alice: User, is_prefetched: bool) -> None:
    """The rows of a project's ``through`` may repeat it. Each broadcast would count as often."""
    group = Group.objects.create(name="Crew")
    alice.groups.add(group)
    notify(alice, "Hi")
    broadcast("To the crew", audience=group)
    groups = [group.pk] * 3
    if is_prefetched:
        again = User.objects.filter(pk=alice.pk).prefetch_related("groups").get()
        vars(again)["_prefetched_objects_cache"]["groups"]._result_cache = [group] * 3
        found = topics_of(again)
    else:
        found = topics_of(alice, groups)
    assert found == (f"user:{alice.pk}", "everyone", f"group:{group.pk}")
    assert count([Owner(alice.pk, found, None)], "default") == [(2, 2)]


@pytest.mark.django_db
def test_a_group_that_the_projects_manager_hides_is_the_same_everywhere(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django's permissions ask no manager of groups either. Else a list lacks what its stream sends."""

    def shown(manager: Any) -> Any:
        return super(GroupManager, manager).get_queryset().exclude(name="Hidden")

    hidden = Group.objects.create(name="Hidden")
    alice.groups.add(hidden)
    monkeypatch.setattr(GroupManager, "get_queryset", shown)
    row = broadcast("To the hidden", audience=hidden)
    user = User.objects.get(pk=alice.pk)
    live, groups = load_users([alice.pk])[alice.pk]
    assert topics_of(user) == topics_of(live, groups)
    assert Notification.objects.visible_to(user).get() == row


def test_no_project_and_no_client_has_to_do_with_what_processes_tell_each_other_of_runs() -> None:
    """A pattern such as ``<str:name>`` matched the topic, and so showed everybody's runs."""
    for pattern in (RUNS, "sse_notify.<str:rest>", "<str:name>"):
        with pytest.raises(ValueError, match="own") if pattern == RUNS else nullcontext():
            topic(pattern, public=True)(lambda *_, **__: True)
    with pytest.raises(UnknownTopic):
        find(RUNS)
    with pytest.raises(ValueError, match="reserved"):
        publish(RUNS, "[]")
