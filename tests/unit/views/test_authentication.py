"""Clients whose token the project's own function reads: who they are, and when a POST needs a CSRF token."""

from __future__ import annotations

from base64 import b64encode
from itertools import product
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse

from sse_notify import notify, unread_count

pytestmark = pytest.mark.django_db

ASKED: list[str] = []


def by_header(request: HttpRequest) -> Any:
    """Return the user named in one of several headers, or in a cookie, as projects do."""
    ASKED.append(request.path)
    scheme, _, name = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        name = "alice"
    name = name or request.headers.get("X-Api-Key", "") or request.COOKIES.get("jwt", "")
    odd = {"nobody": AnonymousUser(), "text": "alice", "stateless": User(username="of a token")}
    if name == "banned":
        raise PermissionDenied
    return odd.get(name) or User.objects.filter(username=name).first()


@pytest.fixture(autouse=True)
def _authenticate(settings: Any) -> None:
    settings.SSE_NOTIFY = {"AUTHENTICATE": f"{__name__}.by_header"}
    ASKED.clear()


def url(name: str) -> str:
    return reverse(f"sse_notify:{name}")


BEARER = {"authorization": "Bearer alice"}
GET = ("items", "state", "stream")
POST = ("read", "unread", "seen", "archive", "unarchive", "cancel")
JSON: Any = {"content_type": "application/json", "data": {"ids": [1]}}


def test_a_token_is_asked_for_once_and_counts_before_the_session(alice: User, bob: User) -> None:
    notify(alice, "For alice")
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob)
    answer = client.get(url("items"), headers=BEARER)
    assert [item["title"] for item in answer.json()["items"]] == ["For alice"]
    assert {"Authorization", "Cookie"} <= {*answer["Vary"].split(", ")}
    assert client.get(url("items")).json()["items"] == []
    state = client.get(url("state"), headers=BEARER)
    assert (state.json()["unread"], state.json()["csrf"]) == (1, "")
    assert "csrftoken" not in state.cookies
    again = client.get(url("state"), headers={**BEARER, "if-none-match": state["ETag"]})
    assert again.status_code == 304
    assert client.get(url("state"), headers={"if-none-match": state["ETag"]}).status_code == 200
    assert len(ASKED) == 5


@pytest.mark.parametrize("name", [*GET, *POST])
@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("", 401, "unauthenticated"),
        ("unknown", 401, "unauthenticated"),
        ("nobody", 401, "unauthenticated"),
        ("stateless", 403, "forbidden"),
    ],
)
def test_whoever_is_no_user_is_refused_in_json(
    name: str, token: str, status: int, code: str, alice: User
) -> None:
    client = Client(enforce_csrf_checks=True)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = client.get(url(name), headers=headers) if name in GET else None
    if answer is None:
        answer = client.post(url(name), headers=headers, **JSON)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


@pytest.mark.parametrize("name", ["items", "read", "stream"])
def test_what_the_function_refuses_or_returns_wrongly_is_no_login(name: str) -> None:
    client = Client(enforce_csrf_checks=True)
    ask = client.get if name in GET else client.post
    assert ask(url(name), headers={"authorization": "Bearer banned"}).status_code == 403
    with pytest.raises(
        ImproperlyConfigured, match=r"by_header must return a user or None, not str"
    ):
        ask(url(name), headers={"authorization": "Bearer text"})


#: What shows that no other site's page has sent a request: see the guide.
BASIC = "Basic " + b64encode(b"alice:secret").decode()
WAYS: dict[str, tuple[dict[str, str], dict[str, str], bool | None]] = {
    "a token": ({"authorization": "Bearer alice"}, {}, True),
    "a token of another kind": ({"authorization": "Token alice"}, {}, True),
    "a token beside cookies": ({"authorization": "Bearer alice"}, {"theme": "dark"}, True),
    "a password that browsers remember": ({"authorization": BASIC}, {}, False),
    "the same in capitals": ({"authorization": "BASIC x"}, {}, False),
    "a key, which only JSON shows": ({"x-api-key": "alice"}, {}, None),
    "a key beside cookies": ({"x-api-key": "alice"}, {"theme": "dark"}, False),
    "a cookie": ({}, {"jwt": "alice"}, False),
    "a cookie beside a token of somebody unknown": (
        {"authorization": "Bearer x"},
        {"sessionid": ""},
        False,
    ),
}


@pytest.mark.parametrize("is_json", [True, False], ids=["json", "form"])
@pytest.mark.parametrize(("way", "name"), [*product(WAYS, POST)])
def test_a_post_that_another_site_may_have_sent_needs_a_csrf_token(
    way: str, name: str, is_json: bool, alice: User
) -> None:
    row = notify(alice, "Hi")
    headers, cookies, is_safe = WAYS[way]
    if is_safe is None:
        is_safe = is_json
    client = Client(enforce_csrf_checks=True)
    client.cookies.load(cookies)
    if "sessionid" in cookies:
        client.force_login(alice)
    body: Any = {"data": {"ids": [row.pk]}, "headers": headers}
    body |= {"content_type": "application/json"} if is_json else {}
    body["headers"] = {**headers, "accept": "application/json"}
    answer = client.post(url(name), **body)
    assert answer.status_code == (200 if is_safe else 403)
    if not is_safe:
        assert unread_count(alice) == 1
        assert answer["Content-Type"].startswith("application/json" if is_json else "text/html")
        if is_json:
            assert answer.json()["error"] == "csrf"
            token = (
                client.get(url("state")).json()["csrf"] if cookies.keys() & {"sessionid"} else ""
            )
            if token:  # a page has it from state/, as its own session's
                body["headers"]["x-csrftoken"] = token
                assert client.post(url(name), **body).status_code == 200
    elif name == "read":
        assert unread_count(alice) == 0


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("nothing.at_all", "ModuleNotFoundError"),
        (f"{__name__}.nothing", "ImportError"),
        ("nothing", "ImportError"),
        (f"{__name__}.ASKED", "is not async"),
        ("sse_notify.anotify", "is not async"),
    ],
)
def test_a_check_names_a_function_that_cannot_be_used(settings: Any, path: str, what: str) -> None:
    settings.SSE_NOTIFY = {"AUTHENTICATE": path}
    (found,) = [
        each
        for each in run_checks(tags=["sse_notify"], databases=[])
        if each.id == "sse_notify.E001"
    ]
    assert found.msg.startswith("SSE_NOTIFY['AUTHENTICATE'] must be the path of a function")
    assert what in found.msg
    assert path in found.msg
