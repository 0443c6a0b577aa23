"""The template tags: what a page gets of the app."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.template import Context, RequestContext, Template
from django.test import RequestFactory

from sse_notify import notify
from sse_notify.handshake import user_key

pytestmark = pytest.mark.django_db


def request_of(user: Any) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    return request


def render(tag: str, user: Any, **more: Any) -> str:
    """Render one tag without any context processor's help."""
    return Template("{% load sse_notify %}" + tag).render(RequestContext(request_of(user), {"request": request_of(user), **more}))


def test_the_assets_carry_the_page_s_nonce_and_nothing_is_inline() -> None:
    page = render("{% sse_notify_assets %}", AnonymousUser(), csp_nonce='a"b')
    assert page.count('nonce="a&quot;b"') == 2
    assert 'type="module"' in page
    assert "></script>" in page


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
    notify(alice, "One", actions=[{"label": "Go", "url": "https://other.test/go", "method": "POST"}])
    page = render("{% sse_notify_widget external=True %}", alice)
    start = page.index('action="https://other.test/go"')
    assert "csrfmiddlewaretoken" not in page[start : page.index("</form>", start)]
    notify(alice, "Two", actions=[{"label": "Go", "url": "/go/", "method": "POST"}])
    page = render("{% sse_notify_widget external=True %}", alice)
    start = page.index('action="/go/"')
    assert "csrfmiddlewaretoken" in page[start : page.index("</form>", start)]


@pytest.mark.parametrize("address", ["https://user@other.test/", "http://testserver@other.test/", "https://[half", "http:///x"])
def test_an_address_that_dresses_up_is_never_a_link(alice: User, address: str) -> None:
    notify(alice, "One", url=address)
    assert address not in render("{% sse_notify_widget external=True %}", alice)


def test_a_secure_page_links_to_no_insecure_one_of_its_own_site(alice: User) -> None:
    request = RequestFactory().get("/", secure=True)
    request.user = alice
    notify(alice, "One", url="http://testserver/orders/", actions=[{"label": "Go", "url": "https://testserver/go/"}])
    page = Template("{% load sse_notify %}{% sse_notify_widget %}").render(RequestContext(request, {"request": request}))
    assert "http://testserver/orders/" not in page
    assert 'href="https://testserver/go/"' in page


def test_the_number_of_unread_notifications(alice: User) -> None:
    notify(alice, "One")
    assert render("{% sse_notify_unread_count %}", alice) == "1"
    assert render("{% sse_notify_unread_count %}", AnonymousUser()) == "0"


def test_a_page_without_a_request_has_no_user() -> None:
    assert Template("{% load sse_notify %}{% sse_notify_unread_count %}").render(Context()) == "0"


@pytest.mark.parametrize("option", ["badge='all'", "toasts='loud'"])
def test_an_unknown_option_is_an_error(alice: User, option: str) -> None:
    with pytest.raises(ValueError, match="is needed"):
        render(f"{{% sse_notify_widget {option} %}}", alice)


def test_the_key_of_a_user_is_its_own_and_tells_nothing(alice: User) -> None:
    bob = User.objects.create_user("bob")
    assert user_key(alice) != user_key(bob)
    assert len(user_key(alice)) == 32


def test_the_widget_names_the_projects_csrf_header(alice: User, settings: Any) -> None:
    settings.CSRF_HEADER_NAME = "HTTP_X_MY_TOKEN"
    assert 'data-csrf-header="X-MY-TOKEN"' in render("{% sse_notify_widget %}", alice)
