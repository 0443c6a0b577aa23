"""Text stays text: whatever is in a notification's fields, the stream and the page hold the same fields and the same elements."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sse_notify import broadcast, notify, publish
from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral, Message
from sse_notify.inbox import marks
from sse_notify.log.announcing import announce
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import get_head
from sse_notify.models import Notification
from sse_notify.sse.format import RESERVED_EVENTS
from tests.unit.sse.test_wire import NASTY

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.timeout(300),
]  # hundreds of examples, on a machine that may be busy

#: What breaks out of an attribute, an element, a script, a style, an address, or a template.
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</span></li></ul>",
    "<!--",
    "-->",
    "]]>",
    "</textarea></title></style>",
    "{{ 7|add:7 }}",
    "{% csrf_token %}",
    "&lt;b&gt;",
    "&#x3c;",
    "`${1}`",
    "\u202e",
    "<\u0338script>",
]
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
pieces = st.sampled_from([text for text in NASTY + HOSTILE if "\0" not in text]) | st.text(
    characters, max_size=5
)


def texts(longest: int) -> st.SearchStrategy[str]:
    return st.lists(pieces, max_size=6).map(lambda found: "".join(found)[:longest])


lines = texts(255).filter(lambda text: bool(text.strip()))
names = texts(100).filter(
    lambda text: text not in RESERVED_EVENTS | {""} and not {"\r", "\n"} & set(text)
)
printable = texts(100).filter(
    lambda text: bool(text) and text.isprintable() and text not in RESERVED_EVENTS
)
# An address has no control characters; behind the slash everything else goes.
addresses = texts(400).map(
    lambda text: "/" + "".join(c for c in text if ord(c) >= 0x20 and ord(c) != 0x7F)
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts(100),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(20), inner, max_size=3),
    max_leaves=6,
)
contents = st.fixed_dictionaries(
    {
        "title": lines,
        "body": texts(400),
        "url": addresses,
        "category": texts(100),
        "icon": addresses,
        "actions": st.lists(
            st.fixed_dictionaries({"label": lines, "url": addresses, "more": json_values}),
            max_size=2,
        ),
        "data": json_values,
        "key": texts(200),
        "event": names,
    }
)
#: Every example writes to the same database, inside the test's transaction, and takes as long as some hundred that write nothing.
quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
#: A whole page, or the way through a server, for each example: a tenth of a second.
slow = settings(quick, max_examples=settings().max_examples // 2)


def parse(stream: bytes) -> list[tuple[str, str, str]]:
    """Return name, data and last event id of each event, as httpx-sse reads them."""
    decoder, split = SSEDecoder(), SSELineDecoder()
    decoded = [
        decoder.decode(line.rstrip("\n"))
        for line in [*split.decode(stream.decode()), *split.flush()]
    ]
    return [(event.event, event.data, event.id) for event in decoded if event is not None]


# --- the stream --------------------------------------------------------------------------------------------------------------


@quick
@given(content=contents)
def test_an_event_of_the_log_holds_exactly_the_fields_that_were_sent(
    alice: User, content: dict[str, Any]
) -> None:
    before = get_head()
    row = notify(alice, **content)
    announce()
    entries, _ = read_entries(before, get_head(), limit=10)
    # As they go over the network: one after the other, the next being in order however this one was.
    broadcast("after")
    announce()
    entries += read_entries(get_head() - 1, get_head(), limit=10)[0]
    first, second = parse(b"".join(entry.frame for entry in entries))
    name, data, id = first
    assert (name, int(id)) == (content["event"], before + 1)
    payload = json.loads(data)
    assert {
        **{field: payload[field] for field in content if field != "event"},
        "event": name,
    } == content
    assert payload["id"] == row.pk
    assert (second[0], json.loads(second[1])["title"]) == ("notification", "after")


@quick
@given(topic=printable, data=texts(400), value=json_values, event=names)
def test_an_ephemeral_event_holds_what_was_published(
    monkeypatch: pytest.MonkeyPatch, topic: str, data: str, value: Any, event: str
) -> None:
    rung: list[Message] = []
    monkeypatch.setattr(publisher, "ring", rung.append)
    publish(topic, data)
    publish(topic, value if not isinstance(value, str) else [value], event=event)
    frames = [message.frame for message in rung if isinstance(message, Ephemeral)]
    one, two = parse(b"".join(frames))
    # Every kind of line end arrives as LF, as the standard has it.
    assert one == (topic, data.replace("\r\n", "\n").replace("\r", "\n"), "")
    assert (two[0], json.loads(two[1])) == (event, value if not isinstance(value, str) else [value])
    assert all(message.topic == topic for message in rung if isinstance(message, Ephemeral))


@quick
@given(client=st.text(st.characters(max_codepoint=0x2FF), max_size=120) | texts(120))
@example(client="x\n\nevent: notification\ndata: forged")
def test_the_mark_of_a_page_comes_back_as_it_was_or_is_refused(alice: User, client: str) -> None:
    row = notify(alice, "Hello")
    browser = Client()
    browser.force_login(alice)
    announce()
    before = get_head()
    body = json.dumps({"ids": [row.pk], "client": client})
    response = browser.post(reverse("sse_notify:read"), body, content_type="application/json")
    announce()
    entries, _ = read_entries(before, get_head(), limit=10)
    found = parse(b"".join(entry.frame for entry in entries))
    if response.status_code == 400:
        assert found == []
        return
    ((name, data, _),) = found
    assert (name, json.loads(data)["client"]) == ("update", client)


# --- the page ----------------------------------------------------------------------------------------------------------------


class Skeleton(HTMLParser):
    """The elements of a page with the names of their attributes, and the addresses that they lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(sorted(name for name, _ in attrs))))
        self.addresses += [
            value or "" for name, value in attrs if name in ("href", "src", "action", "formaction")
        ]

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(("/" + tag, ()))

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", ()))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(user: User, **fields: Any) -> Skeleton:
    """Return the inbox with one item of these fields."""
    Notification.objects.all().delete()
    notify(user, **fields)
    browser = Client()
    browser.force_login(user)
    return Skeleton(browser.get(reverse("sse_notify:list")).content.decode())


@slow
@given(
    title=lines,
    body=lines,
    category=texts(100).filter(lambda text: bool(text.strip())),
    label=lines,
    percent=lines,
)
@example(*(['"><script>alert(1)</script>'] * 5))
def test_the_page_has_the_same_elements_whatever_the_text(
    alice: User, title: str, body: str, category: str, label: str, percent: str
) -> None:
    def show(title: str, body: str, category: str, label: str, percent: str) -> Skeleton:
        actions = [{"label": label, "url": "/a/"}, {"label": label, "url": "/b/", "method": "POST"}]
        data = {"progress": {"percent": percent}}
        return page(
            alice, title=title, body=body, category=category, actions=actions, data=data, url="/x/"
        )

    plain, found = (
        show("title", "body", "category", "label", "5"),
        show(title, body, category, label, percent),
    )
    assert found.elements == plain.elements
    if not {"\r", "\0"} & set(title + label):  # a parser makes LF of CR
        assert title in found.text
        assert label in found.text


SCHEMES = [
    "javascript:alert(1)",
    "JAVASCRIPT:alert(1)",
    "vbscript:x",
    "data:text/html,<script>1</script>",
    "blob:x",
    "file:///etc/passwd",
]
DISGUISES = ["{}", " {}", "\u00a0{}", "\ufeff{}", "\u3000{}"]


@pytest.mark.parametrize("disguise", DISGUISES, ids=ascii)
@pytest.mark.parametrize("address", SCHEMES)
def test_an_address_that_runs_or_reads_is_refused_or_leads_nowhere(
    alice: User, address: str, disguise: str
) -> None:
    address = disguise.format(address)
    for field in ("url", "icon"):
        try:
            found = page(alice, title="Hi", **{field: address})
        except ValueError:
            continue
        assert all(urlsplit(where).scheme in ("", "http", "https") for where in found.addresses), (
            found.addresses
        )
        assert address not in found.addresses
    # A row that was written past the verbs, by an older version or by hand.
    row = notify(alice, "Hi")
    Notification.objects.filter(pk=row.pk).update(
        url=address, icon=address, actions=[{"label": "x", "url": address}]
    )
    browser = Client()
    browser.force_login(alice)
    found = Skeleton(browser.get(reverse("sse_notify:list")).content.decode())
    assert address.strip() not in [where.strip() for where in found.addresses]


# --- too large ---------------------------------------------------------------------------------------------------------------


@override_settings(SSE_NOTIFY={"EVENT_MAX_BYTES": 1000})
@pytest.mark.parametrize(
    "large",
    [
        {"body": "x" * 990},
        {"body": "😀" * 250},
        {"data": ["x"] * 400},
        {"actions": [{"label": "x" * 990, "url": "/"}]},
        {"url": "/" + "x" * 990},
    ],
    ids=["body", "astral body", "data", "actions", "url"],
)
def test_an_oversized_event_is_refused_at_the_call_by_every_verb_and_nothing_is_written(
    alice: User, large: dict[str, Any]
) -> None:
    others = [User.objects.create_user(f"user{n}") for n in range(3)]
    (field,) = large
    for call in (
        lambda: notify(alice, "Hi", **large),
        lambda: notify([alice, *others], "Hi", **large),
        lambda: notify(alice, "Hi", key="k", **large),
        lambda: broadcast("Hi", **large),
    ):
        with pytest.raises(
            ValueError, match=rf"^{field} must be smaller: .*EVENT_MAX_BYTES = 1000\.$"
        ):
            call()
    assert not Notification.objects.exists()
    # What is just small enough is written, and is within the limit on the wire.
    notify([alice, *others], "Hi", "x" * 500, key="k")
    announce()
    assert all(len(entry.frame) <= 1000 for entry in read_entries(0, get_head(), limit=10)[0])
    assert marks.unread_count(alice) == 1
