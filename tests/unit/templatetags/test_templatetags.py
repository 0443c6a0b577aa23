"""The template tags: what a page gets of the app."""

from __future__ import annotations

import re
from time import time
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.template import Context, RequestContext, Template, engines
from django.test import Client, RequestFactory, override_settings
from django.urls import include, path, reverse
from django.utils import translation
from django.utils.translation import gettext_lazy
from django.views.generic import DetailView

from sse_notify import notify
from sse_notify.access.openings import user_key
from sse_notify.log.sequence import number_pending
from sse_notify.models import Notification

pytestmark = pytest.mark.django_db

TAGS = "{% load sse_notify %}{% sse_notify_assets %}{% sse_notify_widget %} unread={% sse_notify_unread_count %}"


def as_a_view(request: HttpRequest, context: dict[str, Any]) -> str:
    """Render the tags as Django's views do, whose context wins over what the context processors give."""
    return str(engines["django"].from_string(TAGS).render(context, request))


class Profile(DetailView):  # type: ignore[type-arg]
    """A page about a user, which Django puts into the context under the name of its model: ``user``."""

    model = User

    def render_to_response(self, context: dict[str, Any], **_: Any) -> HttpResponse:
        assert context["user"] == context["object"]
        return HttpResponse(as_a_view(self.request, context))


urlpatterns = [
    path("users/<int:pk>/", Profile.as_view()),
    path("notifications/", include("sse_notify.urls")),
]


def request_of(user: Any) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    return request


def render(tag: str, user: Any, **more: Any) -> str:
    """Render one tag without any context processor's help."""
    return Template("{% load sse_notify %}" + tag).render(
        RequestContext(request_of(user), {"request": request_of(user), **more})
    )


def test_the_assets_carry_the_page_s_nonce_and_nothing_is_inline() -> None:
    page = render("{% sse_notify_assets %}", AnonymousUser(), csp_nonce='a"b')
    assert page.count('nonce="a&quot;b"') == 2
    assert 'type="module"' in page
    assert "></script>" in page


@pytest.mark.parametrize(
    ("url", "crossorigin"),
    [
        ("/static/", False),
        ("https://cdn.test/static/", True),
        ("//cdn.test/", True),
    ],
)
def test_a_script_of_another_host_is_asked_for_with_cors(url: str, crossorigin: bool) -> None:
    with override_settings(STATIC_URL=url):
        style, script = render("{% sse_notify_assets %}", AnonymousUser()).splitlines()
    assert ((" crossorigin>" in script), "crossorigin" in style) == (crossorigin, False)
    assert f'src="{url}sse_notify/sse-notify.js"' in script


def test_the_bell_has_no_stream_where_a_test_wants_none(alice: User) -> None:
    assert "data-no-stream" not in render("{% sse_notify_widget %}", alice)
    with override_settings(SSE_NOTIFY={"LIVE": False}):
        assert " data-no-stream>" in render("{% sse_notify_widget %}", alice)


def test_an_anonymous_visitor_gets_no_widget() -> None:
    assert render("{% sse_notify_widget %}", AnonymousUser()).strip() == ""


def test_the_widget_shows_the_newest_items_as_text(alice: User) -> None:
    notify(alice, "<b>Bold</b>", "<script>alert(1)</script>")
    page = render("{% sse_notify_widget %}", alice)
    assert "&lt;b&gt;Bold&lt;/b&gt;" in page
    assert "<script>" not in page
    assert 'data-count-unread="1"' in page


def test_a_notification_links_to_this_site_alone(alice: User) -> None:
    notify(alice, "Here", url="/orders/5/")
    notify(alice, "Elsewhere", url="https://other.test/")
    page = render("{% sse_notify_widget %}", alice)
    assert 'href="/orders/5/"' in page
    assert "other.test" not in page
    assert "https://other.test/" in render("{% sse_notify_widget external=True %}", alice)


def test_the_csrf_token_goes_to_no_other_site(alice: User) -> None:
    notify(
        alice, "One", actions=[{"label": "Go", "url": "https://other.test/go", "method": "POST"}]
    )
    page = render("{% sse_notify_widget external=True %}", alice)
    start = page.index('action="https://other.test/go"')
    assert "csrfmiddlewaretoken" not in page[start : page.index("</form>", start)]
    notify(alice, "Two", actions=[{"label": "Go", "url": "/go/", "method": "POST"}])
    page = render("{% sse_notify_widget external=True %}", alice)
    start = page.index('action="/go/"')
    assert "csrfmiddlewaretoken" in page[start : page.index("</form>", start)]


@pytest.mark.parametrize(
    "address",
    ["https://user@other.test/", "http://testserver@other.test/", "https://[half", "http:///x"],
)
def test_an_address_that_dresses_up_is_never_a_link(alice: User, address: str) -> None:
    notify(alice, "One", url=address)
    assert address not in render("{% sse_notify_widget external=True %}", alice)


def test_a_secure_page_links_to_no_insecure_one_of_its_own_site(alice: User) -> None:
    request = RequestFactory().get("/", secure=True)
    request.user = alice
    notify(
        alice,
        "One",
        url="http://testserver/orders/",
        actions=[{"label": "Go", "url": "https://testserver/go/"}],
    )
    page = Template("{% load sse_notify %}{% sse_notify_widget %}").render(
        RequestContext(request, {"request": request})
    )
    assert "http://testserver/orders/" not in page
    assert 'href="https://testserver/go/"' in page


def test_the_number_of_unread_notifications(alice: User) -> None:
    notify(alice, "One")
    assert render("{% sse_notify_unread_count %}", alice) == "1"
    assert render("{% sse_notify_unread_count %}", AnonymousUser()) == "0"


def test_a_user_without_a_row_has_no_bell(alice: User) -> None:
    """A user that a token describes saw the inbox of the account with the same key."""

    class Token:
        pk, is_authenticated, is_anonymous = alice.pk, True, False

    notify(alice, "One")
    assert render("{% sse_notify_widget %}", Token()).strip() == ""
    assert render("{% sse_notify_unread_count %}", Token()) == "0"


def test_a_page_without_a_request_has_no_user() -> None:
    assert Template("{% load sse_notify %}{% sse_notify_unread_count %}").render(Context()) == "0"


def test_a_page_without_a_request_has_the_user_that_it_is_given(alice: User) -> None:
    notify(alice, "One")
    assert (
        Template("{% load sse_notify %}{% sse_notify_unread_count %}").render(
            Context({"user": alice})
        )
        == "1"
    )


@pytest.mark.urls(__name__)
def test_the_page_of_another_user_shows_the_notifications_of_who_looks_at_it(
    alice: User, client: Client
) -> None:
    bob = User.objects.create_user("bob")
    notify(bob, "The secret of bob", url="/secret/", icon="/secret.png")
    page = client.get(f"/users/{bob.pk}/").content.decode()
    assert "secret" not in page
    assert user_key(bob.pk) not in page
    assert f'data-key="{user_key(alice.pk)}"' in page
    assert 'data-count-unread="0"' in page
    assert page.endswith("unread=0")


@pytest.mark.urls(__name__)
def test_the_page_of_a_user_shows_an_anonymous_visitor_no_notifications(alice: User) -> None:
    notify(alice, "The secret of alice")
    page = Client().get(f"/users/{alice.pk}/").content.decode()
    assert "secret" not in page
    assert "<sse-notify" not in page
    assert page.endswith("unread=0")


@pytest.mark.parametrize("viewer", ["anonymous", "unknown"])
def test_the_user_of_the_context_never_stands_in_for_that_of_the_request(
    alice: User, viewer: str
) -> None:
    """Without AuthenticationMiddleware a request has no user, and nobody is signed in."""
    notify(alice, "The secret of alice")
    request = RequestFactory().get("/")
    if viewer == "anonymous":
        request.user = AnonymousUser()
    for page in (
        as_a_view(request, {"user": alice}),
        as_a_view(request, {"user": alice, "request": None}),
        Template(TAGS).render(Context({"request": request, "user": alice})),
    ):
        assert "<sse-notify" not in page
        assert page.endswith("unread=0")


def test_a_variable_named_request_does_not_stand_in_for_the_request(alice: User) -> None:
    bob = User.objects.create_user("bob")
    notify(bob, "The secret of bob")
    notify(alice, "One", url="https://elsewhere.test/")
    other = RequestFactory(headers={"host": "elsewhere.test"}).get("/")
    other.user = bob
    page = as_a_view(request_of(alice), {"request": other})
    assert "secret" not in page
    assert "elsewhere.test" not in page
    assert page.endswith("unread=1")


def test_a_variable_named_request_that_is_none_names_no_user(alice: User) -> None:
    """A leave request, say, whose ``user`` is who asks for it: a page without a request has the user that it is given."""
    bob = User.objects.create_user("bob")
    notify(bob, "The secret of bob")

    class LeaveRequest:
        user = bob

    for more in ({}, {"user": alice}):
        page = Template(TAGS).render(Context({"request": LeaveRequest(), **more}))
        assert "secret" not in page
        assert page.endswith("unread=0")


@pytest.mark.parametrize("corner", ["bottom-end", "bottom-start", "top-end", "top-start"])
def test_the_widget_says_which_corner_the_toasts_are_in(alice: User, corner: str) -> None:
    page = render(f"{{% sse_notify_widget position='{corner}' %}}", alice)
    assert f' data-position="{corner}"' in page
    assert ' data-position="bottom-end"' in render("{% sse_notify_widget %}", alice)


@pytest.mark.parametrize(
    "option",
    [
        "badge='all'",
        "toasts='loud'",
        "position='left'",
        "position=None",
        "transport='websocket'",
        "external='yes'",
        "desktop='on'",
        "title_badge=1",
        "sound=True",
        "sound='loud'",
        "sound='javascript:x'",
        "limit=0",
        "limit=-1",
        "limit=101",
        "limit=1.5",
        "limit=True",
        "limit='20'",
        "limit=missing",
        "limit=None",
    ],
)
@pytest.mark.parametrize("signed_in", [True, False])
def test_an_unknown_option_is_an_error(alice: User, option: str, signed_in: bool) -> None:
    name = option.partition("=")[0]
    with pytest.raises(ValueError, match=rf"^{name} must be .*, not .*\.$"):
        render(f"{{% sse_notify_widget {option} %}}", alice if signed_in else AnonymousUser())


@pytest.mark.parametrize("limit", [1, 100])
def test_the_panel_takes_as_many_items_as_the_script_can_fetch_at_once(
    alice: User, limit: int
) -> None:
    notify(alice, "One")
    page = render(f"{{% sse_notify_widget limit={limit} %}}", alice)
    assert f'data-limit="{limit}"' in page
    client = Client()
    client.force_login(alice)
    assert client.get(reverse("sse_notify:items"), {"limit": limit}).status_code == 200


@pytest.mark.parametrize("url", [5, ["/x"], {"a": 1}, True, 1.5, None])
def test_an_address_that_was_written_by_hand_breaks_no_page(alice: User, url: Any) -> None:
    row = notify(alice, "One", actions=[{"label": "Open", "url": "/x"}])
    Notification.objects.filter(pk=row.pk).update(actions=[{"label": "Open", "url": url}])
    assert "One" in render("{% sse_notify_widget %}", alice)


def test_the_key_of_a_user_is_its_own_and_tells_nothing(alice: User) -> None:
    bob = User.objects.create_user("bob")
    assert user_key(alice.pk) != user_key(bob.pk)
    assert len(user_key(alice.pk)) == 32


def test_the_widget_names_the_projects_csrf_header(alice: User, settings: Any) -> None:
    settings.CSRF_HEADER_NAME = "HTTP_X_MY_TOKEN"
    assert 'data-csrf-header="X-MY-TOKEN"' in render("{% sse_notify_widget %}", alice)


def test_what_is_optional_is_off_until_the_tag_asks(alice: User) -> None:
    page = render("{% sse_notify_widget %}", alice)
    for attribute in ("data-desktop", "data-sound", "data-title-badge", 'data-ssen="desktop"'):
        assert attribute not in page
    page = render(
        "{% sse_notify_widget desktop=True sound='/static/ping.mp3' title_badge=True %}", alice
    )
    for attribute in (
        "data-desktop",
        'data-sound="/static/ping.mp3"',
        "data-title-badge",
        'data-ssen="desktop"',
    ):
        assert attribute in page


def test_the_panel_says_where_older_items_begin(alice: User) -> None:
    rows = [notify(alice, f"Number {number}") for number in range(3)]
    list(number_pending())
    rows[1].refresh_from_db()
    assert f'data-next="{rows[1].seq}"' in render("{% sse_notify_widget limit=2 %}", alice)
    assert "data-next" not in render("{% sse_notify_widget limit=3 %}", alice)


def test_the_panel_has_a_tab_for_each_category_of_its_items(alice: User) -> None:
    for category in ("orders", "<b>", "", "orders"):
        notify(alice, "One", category=category)
    page = render("{% sse_notify_widget %}", alice)
    assert page.count('data-ssen="tab"') == 5  # the last one is empty, for the script to copy
    assert page.count('aria-pressed="true"') == 1
    assert 'data-category="&lt;b&gt;"' in page


def test_categories_are_called_by_their_labels_wherever_users_read_them(
    alice: User, client: Client, settings: Any
) -> None:
    labels = {"orders": {"label": gettext_lazy("Yes")}, "news": {"label": "<News>"}, "plain": {}}
    settings.SSE_NOTIFY = {"CATEGORIES": labels}
    for category in ("orders", "plain", "unknown"):
        notify(alice, "One", category=category)
    client.force_login(alice)
    with translation.override("de"):
        panel = render("{% sse_notify_widget %}", alice)
    tabs = re.findall(r'data-ssen="tab"[^>]*data-category="(.*?)"(.*?)>(.*?)<', panel)
    assert {name: (label, "hidden" in more) for name, more, label in tabs} == {
        "orders": ("Ja", False),
        "plain": ("plain", False),
        "unknown": ("unknown", False),
        "news": ("&lt;News&gt;", True),
        "": ("", True),
    }
    page = client.get(reverse("sse_notify:list"), headers={"accept-language": "de"}).text
    assert re.findall(r"\?category=(\w+)[^>]*>(.*?)<", page) == [
        ("orders", "Ja"),
        ("plain", "plain"),
        ("unknown", "unknown"),
    ]
    for html in (panel, page):
        found = re.findall(r'data-ssen="category"[^>]*>(.*?)<', html)
        assert found[:3] == ["unknown", "plain", "Ja"]


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (
            {"state": "running", "percent": 41.7, "stage": "Reading", "message": "<row 7>"},
            "41% · Reading · &lt;row 7&gt;",
        ),
        ({"state": "done", "percent": 100}, "Done · 100%"),
        ({"state": "failed", "percent": None, "message": "No space"}, "Failed · No space"),
        ({"percent": float("nan"), "state": ["x"]}, ""),
        ({"percent": 10**400, "message": "x"}, "x"),
        ({"percent": -1, "state": "done"}, "Done"),
        ({"percent": 1e308}, ""),
        ("half", ""),
        (None, ""),
    ],
)
def test_progress_is_told_in_words(progress: Any, text: str) -> None:
    page = Template("{% load sse_notify %}{{ progress|sse_notify_progress }}").render(
        Context({"progress": progress})
    )
    assert page == text


def test_the_bar_of_work_that_has_ended_is_gone(alice: User) -> None:
    row = notify(alice, "Import", key="import")
    run = {"id": "1", "heard_at": time(), "stalls_after": 30, "cancellable": True}
    show = Notification.objects.filter(pk=row.pk).update
    show(progress_state={"state": "running", "percent": 40, "run": run})
    assert '<progress aria-label="Import" value="40" max="100">' in render(
        "{% sse_notify_widget %}", alice
    )
    show(progress_state={"state": "failed", "message": "No space"})
    page = render("{% sse_notify_widget %}", alice)
    assert '<progress aria-label="Import" max="100" hidden>' in page
    assert "Failed · No space" in page


def test_the_script_of_what_is_optional_comes_with_it_and_has_the_nonce(alice: User) -> None:
    assert "sse-notify-alerts.js" not in render("{% sse_notify_widget %}", alice, csp_nonce="n")
    page = render("{% sse_notify_widget title_badge=True %}", alice, csp_nonce="n")
    assert (
        '<script type="module" src="/static/sse_notify/sse-notify-alerts.js" nonce="n"></script>'
        in page
    )
