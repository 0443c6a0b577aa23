"""Every page of the demo shows itself, to whom it should, under its strict policy."""

from __future__ import annotations

import gettext
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from demo_project.board.models import Post
from demo_project.gallery.scenarios import Scenario, scenarios


class _Markup(HTMLParser):
    """Collects what a policy without ``unsafe-inline`` blocks."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.blocked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (
            tag == "script" and "src" not in given and given.get("type") != "application/json"
        ):
            self.blocked.append(f"<{tag}>")
        self.blocked.extend(
            f"{tag} {name}" for name in given if name == "style" or name.startswith("on")
        )


def test_every_scenario_of_an_installed_app_is_in_the_gallery() -> None:
    own = [config for config in apps.get_app_configs() if config.name.startswith("demo_project.")]
    given = [getattr(config, "scenario", None) for config in own]
    described = [scenario for scenario in given if isinstance(scenario, Scenario)]
    assert list(scenarios()) == described
    assert len(described) >= 5


def test_the_front_page_is_for_everybody(people: dict[str, User], client: Client) -> None:
    text = client.get(reverse("gallery:home")).content.decode()
    assert all(f'href="{reverse(scenario.url_name)}"' in text for scenario in scenarios())
    assert "<sse-notify" not in text


@pytest.mark.parametrize(
    "name",
    [*(scenario.url_name for scenario in scenarios() if not scenario.public), "sse_notify:list"],
)
def test_a_page_needs_a_sign_in_and_then_has_the_bell(
    name: str, page: Client, client: Client, people: dict[str, User]
) -> None:
    response = client.get(reverse(name))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("accounts:sign_in"))
    if any(scenario.staff for scenario in scenarios() if scenario.url_name == name):
        assert page.get(reverse(name)).status_code == 403
        page.force_login(people["carol"])
    response = page.get(reverse(name))
    assert response.status_code == 200
    assert "<sse-notify" in response.content.decode()


@pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in scenarios() if scenario.public],
    ids=lambda it: it.namespace,
)
def test_what_is_public_needs_no_sign_in(
    scenario: Scenario, people: dict[str, User], client: Client
) -> None:
    response = client.get(reverse(scenario.url_name))
    assert response.status_code == 200
    assert "<sse-notify" not in response.content.decode()


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda it: it.namespace)
def test_a_page_shows_its_code_and_leads_to_its_how_to(
    scenario: Scenario, people: dict[str, User], client: Client
) -> None:
    client.force_login(people["carol"])
    text = client.get(reverse(scenario.url_name)).content.decode()
    assert 'class="code__text"' in text
    (address,) = re.findall(r'<p class="guide">.*?href="(/docs/[^"]+)"', text)
    assert client.get(address).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "gallery:home",
        "accounts:sign_in",
        "handbook:index",
        *(scenario.url_name for scenario in scenarios()),
        "sse_notify:list",
    ],
)
def test_nothing_inline_is_left_for_the_policy_to_block(
    name: str, page: Client, people: dict[str, User]
) -> None:
    page.force_login(people["carol"])  # who sees the pages of the staff, too
    response = page.get(reverse(name))
    assert _Markup(response.content.decode()).blocked == []
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy


def test_the_admin_has_a_policy_that_its_own_scripts_can_live_with(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["carol"])
    response = client.get(reverse("admin:announcements_announcement_add"))
    assert response.status_code == 200
    assert "script-src 'self'" in response["Content-Security-Policy"]
    assert "require-trusted-types-for" not in response["Content-Security-Policy"]


def test_who_may_broadcast_is_led_to_the_page_for_it_which_has_nothing_inline(
    people: dict[str, User], page: Client
) -> None:
    address = reverse("admin:sse_notify_notification_broadcast")
    link = f'href="{address}"'
    assert link not in page.get(reverse("announcements:list")).content.decode()
    page.force_login(people["carol"])
    assert link in page.get(reverse("announcements:list")).content.decode()
    assert _Markup(page.get(address).content.decode()).blocked == []


@pytest.mark.parametrize("code", ["en", "de", "zh-hans", "ar"])
def test_the_site_speaks_the_visitors_language(code: str, page: Client) -> None:
    chosen = page.post(
        reverse("set_language"), {"language": code, "next": "/compose/"}, follow=True
    )
    text = chosen.content.decode()
    assert f'<html lang="{code}" dir="{"rtl" if code == "ar" else "ltr"}">' in text


def test_code_is_shown_as_it_is_in_the_file_and_escaped(page: Client) -> None:
    text = page.get(reverse("people:list")).content.decode()
    shown = re.sub(r"<[^>]+>", "", text)
    assert "demo_project/people/views.py" in shown
    assert "await anotify(" in shown
    assert "me.get_short_name()" in shown
    assert "-&gt; HttpResponse" in shown
    assert "noqa" not in shown


def test_text_of_users_is_shown_as_text(page: Client, alice: User) -> None:
    post = Post.objects.create(
        author=alice, title="<script>alert(1)</script>", body="<img src=x onerror=alert(1)>"
    )
    for address in (reverse("board:list"), post.get_absolute_url()):
        text = page.get(address).content.decode()
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;alert(1)" in text


def test_a_long_board_has_pages(page: Client, alice: User) -> None:
    Post.objects.bulk_create(
        Post(author=alice, title=f"Post {number}", body="...") for number in range(30)
    )
    first = page.get(reverse("board:list")).content.decode()
    second = page.get(reverse("board:list"), {"page": 2}).content.decode()
    assert 'href="?page=2"' in first
    assert 'href="?page=1"' in second
    assert len({*re.findall(r"Post \d+", first), *re.findall(r"Post \d+", second)}) == 30


@pytest.mark.parametrize("code", ["de", "zh_Hans", "ar"])
def test_every_text_is_translated(code: str) -> None:
    """What ``makemessages`` found has a translation, and what is compiled is what is written."""
    folder = Path(str(settings.LOCALE_PATHS[0])) / code / "LC_MESSAGES"
    text = (folder / "django.po").read_text(encoding="utf-8")
    assert "fuzzy" not in text
    with (folder / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert not re.search(r'^msgstr(\[\d\])? ""\n(\n|\Z)', text, re.MULTILINE)
    written = re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', text, re.MULTILINE)
    assert len(written) > 50
    for message, translation in written:
        assert compiled.gettext(message) == translation
