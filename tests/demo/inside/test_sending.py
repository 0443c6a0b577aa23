"""Every way to send that the demo shows writes the notification that it promises."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import AsyncClient, Client
from django.urls import reverse
from pytest_django import Settings

from demo_project.announcements.models import Announcement
from demo_project.board.models import Comment, Post
from sse_notify.models import Notification


@pytest.fixture
def fresh(people: dict[str, User]) -> None:
    """Forget what the content that the demo starts with has sent."""
    Notification.objects.all().delete()


def titles(user: User) -> list[str]:
    return [row.title for row in Notification.objects.visible_to(user).order_by("id")]


# --- signing in ----------------------------------------------------------------------------------------------------------------


def test_one_click_signs_in_as_the_person_on_the_button(
    people: dict[str, User], settings: Settings
) -> None:
    settings.DEBUG = True  # tests run without
    client = Client(enforce_csrf_checks=True)
    text = client.get(reverse("accounts:sign_in")).content.decode()
    form = next(
        form for form in re.findall(r"<form.*?</form>", text, re.DOTALL) if 'value="bob"' in form
    )
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    assert client.post(reverse("accounts:sign_in"), fields).status_code == 302
    assert client.session["_auth_user_id"] == str(people["bob"].pk)


def test_signing_in_needs_the_token_and_the_password(people: dict[str, User]) -> None:
    wrong = {"username": "carol", "password": "guess"}
    assert (
        Client(enforce_csrf_checks=True).post(reverse("accounts:sign_in"), wrong).status_code == 403
    )
    client = Client()
    assert client.post(reverse("accounts:sign_in"), wrong).status_code == 200
    assert "_auth_user_id" not in client.session


def test_a_site_that_is_not_for_development_shows_no_password(
    people: dict[str, User], client: Client
) -> None:
    # Tests run without DEBUG.
    text = client.get(reverse("accounts:sign_in")).content.decode()
    assert "notify-me" not in text
    assert "persona" not in text


def test_signing_out_takes_a_post(page: Client) -> None:
    assert page.get(reverse("accounts:sign_out")).status_code == 405
    assert page.post(reverse("accounts:sign_out")).status_code == 302
    assert "_auth_user_id" not in page.session


# --- the form ------------------------------------------------------------------------------------------------------------------


def _form(to: str, **more: str) -> dict[str, str]:
    return {
        "to": to,
        "title": "Hello",
        "body": "",
        "level": "info",
        "category": "",
        "url": "",
        **more,
    }


@pytest.mark.parametrize(
    ("to", "hear"),
    [
        ("user:bob", {"bob"}),
        ("user:alice", {"alice"}),
        ("group:Engineering", {"bob", "dave"}),
        ("everyone", {"alice", "bob", "carol", "dave"}),
        ("others", {"bob", "carol", "dave"}),
        ("staff", {"carol"}),
    ],
)
@pytest.mark.usefixtures("fresh")
def test_the_form_reaches_those_that_it_names_and_nobody_else(
    to: str, hear: set[str], page: Client, people: dict[str, User]
) -> None:
    kind, _, name = to.partition(":")
    pk = {"user": lambda: people[name].pk, "group": lambda: Group.objects.get(name=name).pk}.get(
        kind, str
    )()
    response = page.post(reverse("compose:form"), _form(f"{kind}:{pk}" if name else to))
    assert response.status_code == 302
    assert {username for username, user in people.items() if titles(user)} == hear
    row = Notification.objects.get()
    assert row.actor == people["alice"]


@pytest.mark.usefixtures("fresh")
def test_the_form_sends_every_field(page: Client, alice: User) -> None:
    page.post(
        reverse("compose:form"),
        _form(f"user:{alice.pk}", body="Text", level="warning", category="Orders", url="/board/"),
    )
    row = Notification.objects.get()
    assert (row.title, row.body, row.level, row.category, row.url) == (
        "Hello",
        "Text",
        "warning",
        "Orders",
        "/board/",
    )


@pytest.mark.usefixtures("fresh")
def test_what_the_verbs_refuse_is_an_error_beside_the_field(page: Client, alice: User) -> None:
    response = page.post(
        reverse("compose:form"), _form(f"user:{alice.pk}", url="javascript:alert(1)")
    )
    assert response.status_code == 200
    assert "url" in response.context["form"].errors
    assert not Notification.objects.exists()


@pytest.mark.usefixtures("fresh")
def test_the_form_refuses_whom_it_does_not_offer(page: Client) -> None:
    for to in ("user:999999", "group:999999", "world", ""):
        assert page.post(reverse("compose:form"), _form(to)).status_code == 200
    assert not Notification.objects.exists()


def test_an_idea_fills_in_the_form(page: Client) -> None:
    text = page.get(
        reverse("compose:form"), {"title": "Lunch <is> here", "to": "everyone"}
    ).content.decode()
    assert 'value="Lunch &lt;is&gt; here"' in text
    assert '<option value="everyone" selected>' in text


# --- the async view, the signal, the admin, the command line --------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_waving_twice_is_one_notification_that_counts_two() -> None:
    ann, ben = [
        await User.objects.acreate(username=name, first_name=name.title())
        for name in ("ann", "ben")
    ]
    client = AsyncClient()
    await client.aforce_login(ann)
    for _ in range(2):
        response = await client.post(reverse("people:wave", args=[ben.pk]))
        assert response.status_code == 302
    row = await Notification.objects.aget()
    assert (row.recipient_id, row.count, row.title) == (ben.pk, 2, "Ann waves at you")
    assert (await client.get(reverse("people:wave", args=[ben.pk]))).status_code == 405


@pytest.mark.usefixtures("fresh")
def test_a_comment_tells_the_author_of_the_post(page: Client, people: dict[str, User]) -> None:
    post = Post.objects.filter(author=people["bob"]).earliest("pk")
    for body in ("First!", "Second."):
        assert page.post(post.get_absolute_url(), {"body": body}).status_code == 302
    row = Notification.objects.get()
    assert row.recipient == people["bob"]
    assert (row.title, row.body, row.count) == (f"Alice commented on “{post.title}”", "Second.", 2)
    assert row.url == Comment.objects.get(body="Second.").get_absolute_url()


@pytest.mark.usefixtures("fresh")
def test_a_comment_on_ones_own_post_and_a_corrected_comment_tell_nobody(
    page: Client, people: dict[str, User]
) -> None:
    own = Post.objects.filter(author=people["alice"]).earliest("pk")
    page.post(own.get_absolute_url(), {"body": "To myself"})
    comment = Comment.objects.filter(author=people["bob"]).earliest("pk")
    comment.body = "Corrected"
    comment.save()
    assert not Notification.objects.exists()


@pytest.mark.usefixtures("fresh")
def test_a_new_post_is_told_to_everyone_but_its_author(
    page: Client, people: dict[str, User]
) -> None:
    page.post(reverse("board:list"), {"title": "News", "body": "Good ones."})
    assert titles(people["alice"]) == []
    assert titles(people["dave"]) == ["Alice posted “News”"]


@pytest.mark.usefixtures("fresh")
def test_saving_an_announcement_in_the_admin_broadcasts_it_once(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["carol"])
    values = {"title": "Party", "body": "At six.", "level": "success", "audience": "everyone"}
    assert client.post(reverse("admin:announcements_announcement_add"), values).status_code == 302
    announcement = Announcement.objects.get(title="Party")
    client.post(
        reverse("admin:announcements_announcement_change", args=[announcement.pk]),
        {**values, "body": "At seven."},
    )
    row = Notification.objects.get()
    assert (row.title, row.level, row.audience, row.target) == (
        "Party",
        "success",
        "everyone",
        announcement,
    )
    assert announcement.author == people["carol"]


@pytest.mark.usefixtures("fresh")
def test_what_is_announced_to_staff_is_not_for_others(
    people: dict[str, User], page: Client
) -> None:
    client = Client()
    client.force_login(people["carol"])
    values = {"title": "Hush", "body": "Staff only.", "level": "info", "audience": "staff"}
    client.post(reverse("admin:announcements_announcement_add"), values)
    assert (titles(people["carol"]), titles(people["alice"])) == (["Hush"], [])
    assert "Hush" in client.get(reverse("announcements:list")).content.decode()
    assert "Hush" not in page.get(reverse("announcements:list")).content.decode()


@pytest.mark.usefixtures("fresh")
def test_the_command_notifies_one_user_or_everyone(people: dict[str, User]) -> None:
    call_command("demo_notify", "One", "Text", user="bob", level="error", verbosity=0)
    call_command("demo_notify", "All", everyone=True)
    assert titles(people["bob"]) == ["One", "All"]
    assert titles(people["dave"]) == ["All"]


@pytest.mark.usefixtures("fresh")
def test_the_command_says_what_is_wrong() -> None:
    with pytest.raises(CommandError, match="does not exist"):
        call_command("demo_notify", "One", user="nobody")
    with pytest.raises(CommandError, match="url"):
        call_command("demo_notify", "One", user="bob", url="javascript:alert(1)")
    with pytest.raises(CommandError, match="not allowed with"):
        call_command("demo_notify", "--user", "bob", "--everyone", "One")
    assert not Notification.objects.exists()


# --- the content ---------------------------------------------------------------------------------------------------------------


def test_setting_up_twice_creates_everything_once(people: dict[str, User]) -> None:
    from demo_project.gallery.seed import seed

    counts = [model.objects.count() for model in (User, Post, Comment, Announcement, Notification)]
    assert all(counts)
    assert seed() is False
    assert [
        model.objects.count() for model in (User, Post, Comment, Announcement, Notification)
    ] == counts


def test_setting_up_again_makes_the_password_on_the_page_true_again(
    people: dict[str, User], settings: Settings
) -> None:
    from demo_project.gallery.seed import seed

    settings.DEMO_PASSWORD = "another"
    seed()
    assert all(user.check_password("another") for user in User.objects.all())


def test_everybody_has_something_to_read_at_first(people: dict[str, User]) -> None:
    for user in people.values():
        assert Notification.objects.visible_to(user).unread().count() >= 2
