"""Clients with a token, on a real server, with the functions of the guide as they stand there; and the OpenAPI document, held against every answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator, FormatChecker

import sse_notify
from sse_notify.models import Notification
from sse_notify.urls import urlpatterns
from tests.docs.pages import DOCS, blocks
from tests.support import GUARD
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.sse import listen

DOCUMENT: dict[str, Any] = json.loads(
    (Path(sse_notify.__file__).parent / "static/sse_notify/openapi.json").read_text()
)
PREFIX = "/notifications"
TOKENS = {
    "TokenAuthentication": (
        "Token",
        "from rest_framework.authtoken.models import Token\n"
        "print(Token.objects.create(user=User.objects.get(username='alice')).key)",
    ),
    "JWTAuthentication": (
        "Bearer",
        "from rest_framework_simplejwt.tokens import AccessToken\n"
        "print(AccessToken.for_user(User.objects.get(username='alice')))",
    ),
}

#: Writes rows in which no field is empty.
FULL = """
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from sse_notify import Progress, mute, notify
alice, bob = (User.objects.get(username=name) for name in ("alice", "bob"))
with Progress(alice, "Work", total=2) as work:
    work.advance(2)
notify(
    alice, "Full", "Body", level="error", url="/", category="c", icon="/i.png", actor=bob,
    target=alice, key="full", expires_at=timezone.now() + timedelta(days=1), data={"a": [1]},
    actions=[{"label": "Go", "url": "/", "method": "post"}],
)
"""


def guide(mark: str) -> str:
    page = blocks(DOCS / "how-to" / "clients-with-a-token.md")
    (code,) = [block.code for block in page if block.mark == mark]
    return code


class Described:
    """A client that holds each answer against the document."""

    def __init__(self, server: Server, headers: dict[str, str]) -> None:
        self._url = server.url + PREFIX
        self._headers = headers
        #: Operation and status of each answer.
        self.seen: set[tuple[str, str]] = set()

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Return the body of an answer that is as described."""
        headers = self._headers | more.pop("headers", {})
        url = self._url + path
        with httpx.stream(method, url, headers=headers, timeout=GUARD, **more) as answer:
            operation = DOCUMENT["paths"][path][method.lower()]
            status, self.etag = str(answer.status_code), answer.headers.get("ETag", "")
            self.seen.add((operation["operationId"], status))
            described = resolved(operation["responses"][status])
            kind = answer.headers.get("Content-Type", "").partition(";")[0]
            assert {kind} == {*described.get("content", {"": None})}
            if kind != "application/json":
                return dict(answer.headers)
            body = json.loads(answer.read())
        schema = {**described["content"][kind]["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(body)
        extra = body.keys() - resolved(schema).get("properties", {}).keys()
        assert not extra, f"the document does not know {extra}"
        return body


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        node = found
    return node


@pytest.fixture(params=TOKENS)
def site(request: pytest.FixtureRequest, make_site: Any, tmp_path: Path) -> Site:
    """A site with a function of the guide, where alice has a token."""
    code = guide(f"shop/tokens.py with {request.param}")
    (tmp_path / "shop_tokens.py").write_text(code)
    site: Site = make_site(
        env={
            "PYTHONPATH": str(tmp_path),
            "EXTRA_APPS": "rest_framework,rest_framework.authtoken",
            "SSE_NOTIFY": json.dumps(
                {"AUTHENTICATE": "shop_tokens.authenticate", "MAX_STREAMS_PER_USER": 1}
            ),
        }
    )
    site.manage("migrate", "authtoken")
    return site


@pytest.fixture
def token(request: pytest.FixtureRequest, site: Site) -> str:
    """What alice sends as ``Authorization``."""
    scheme, code = TOKENS[request.node.callspec.params["site"]]
    return f"{scheme} {site.script('from django.contrib.auth.models import User' + chr(10) + code).strip()}"


@pytest.mark.asyncio
async def test_a_client_with_a_token_has_everything_and_all_is_as_described(
    site: Site, token: str
) -> None:
    site.script(FULL)
    server = site.serve()
    alice = Described(server, {"Authorization": token})
    stranger = Described(server, {"Authorization": token[:-1] + "x"})
    async with listen(server.url + PREFIX + "/stream/", headers={"Authorization": token}) as events:
        await events.next("hello")
        number = site.send(server, "notify", to="alice", title="Hello", key="k")
        assert (await events.next("notification")).json()["title"] == "Hello"
        assert alice.ask("GET", "/stream/")["error"] == "too_many_streams"
        key = alice.ask("GET", "/state/")["key"]
        answer = alice.ask("POST", "/read/", json={"ids": [number]})
        assert answer == {"unread": 2, "unseen": 2, "key": key}
        assert (await events.next("update")).json()["ids"] == [number]
        site.script(
            "from django.contrib.auth.models import User\nuser = User.objects.get(username='alice')\n"
            "user.set_password('new')\nuser.save()"
        )
        assert (await events.next("bye")).json()["reason"] == "revoked"
    items = alice.ask("GET", "/items/", params={"limit": 5})["items"]
    assert [(item["title"], item["unread"]) for item in items] == [
        ("Hello", False),
        ("Full", True),
        ("Work", True),
    ]
    assert items[2]["progress"]["state"] == "done"
    state = alice.ask("GET", "/state/")
    assert state["unread"] == 2
    alice.ask("GET", "/state/", headers={"If-None-Match": alice.etag})
    for path in ("/read/", "/unread/", "/seen/", "/archive/", "/unarchive/", "/cancel/"):
        alice.ask("POST", path, json={"ids": [number]})
        assert alice.ask("POST", path, json={"ids": "all"})["error"] == "invalid"
        assert stranger.ask("POST", path, json={"ids": [number]})["error"] == "unauthenticated"
        # What a page of another site could send with a password that the browser remembers.
        basic = httpx.BasicAuth("alice", "new")
        assert alice.ask("POST", path, json={"ids": [number]}, auth=basic)["error"] == (
            "unauthenticated"  # these functions take no passwords
        )
    for path in ("/read/", "/seen/", "/archive/"):
        alice.ask("POST", path, json={"up_to": state["cursor"]})
    for path in ("/items/", "/state/", "/stream/"):
        assert stranger.ask("GET", path)["error"] == "unauthenticated"
    assert alice.ask("GET", "/items/", params={"limit": 1000})["error"] == "invalid"
    assert alice.ask("GET", "/stream/", params={"topic": "secret"})["topic"] == "secret"
    topics = [f"room.{number}" for number in range(60)]
    assert alice.ask("GET", "/stream/", params={"topic": topics})["error"] == "too_many_topics"
    for path in ("/health/live/", "/health/ready/"):
        stranger.ask("GET", path)
    reached = {name for name, _ in alice.seen | stranger.seen}
    assert reached == {
        operation["operationId"]
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
    }


def test_the_document_is_valid_and_has_every_address_and_field() -> None:
    openapi_spec_validator.validate(DOCUMENT)
    pages = {"list", "preferences"}
    assert {*DOCUMENT["paths"]} == {
        f"/{each.pattern}" for each in urlpatterns if each.name not in pages
    }
    fields = DOCUMENT["components"]["schemas"]["SseNotifyNotification"]["properties"]
    assert fields.keys() == {*Notification().payload(muted=True), "unread", "unseen"}


def test_the_hook_of_the_guide_puts_it_into_the_document_of_drf_spectacular(
    make_site: Any, tmp_path: Path
) -> None:
    (tmp_path / "shop_schema.py").write_text(guide("shop/schema.py"))
    site: Site = make_site(
        env={"PYTHONPATH": str(tmp_path), "EXTRA_APPS": "rest_framework,drf_spectacular"}
    )
    made = site.script(
        "import json\n"
        "from django.test import override_settings\n"
        "from drf_spectacular.generators import SchemaGenerator\n"
        "from drf_spectacular.settings import spectacular_settings\n"
        "spectacular_settings.apply_patches({'OAS_VERSION': '3.1.0', 'POSTPROCESSING_HOOKS': ["
        "'drf_spectacular.hooks.postprocess_schema_enums', 'shop_schema.add_notifications']})\n"
        "print(json.dumps(SchemaGenerator().get_schema(public=True)))"
    )
    document = json.loads(made.strip().splitlines()[-1])
    openapi_spec_validator.validate(document)
    assert {*document["paths"]} >= {PREFIX + path for path in DOCUMENT["paths"]}
    assert re.search(r'"SseNotifyNotification"', made)
