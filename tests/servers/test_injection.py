"""Through a real server, whatever is in an event's fields: each event arrives with its own fields, between its neighbours."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.site import STREAM, Site
from tests.support.sse import RawStream
from tests.unit.notifications.test_injection import contents, parse, slow


def test_no_text_breaks_out_of_its_event_on_the_real_stream(site: Site) -> None:
    server = site.serve("uvicorn")
    cookie = f"sessionid={site.cookies(server, 'alice')['sessionid']}"
    with RawStream(server.url + STREAM + "?cursor=0", headers={"Cookie": cookie}) as stream:
        assert stream.head()[0] == 200
        assert b"event: hello" in stream.block()

        @slow
        @given(content=contents, is_broadcast=st.booleans())
        def send_and_read(content: dict[str, Any], is_broadcast: bool) -> None:
            id = (
                site.send(server, "broadcast", **content)
                if is_broadcast
                else site.send(server, "notify", to="alice", **content)
            )
            (event,) = parse(stream.block())
            payload = json.loads(event[1])
            assert payload["id"] == id
            assert {
                **{field: payload[field] for field in content if field != "event"},
                "event": event[0],
            } == content
            assert event[2] == str(payload["seq"])

        send_and_read()
