"""A page of another origin opens a stream with a signed link, where django-cors-headers lets it, and nowhere else."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.conftest import MakeSite
from tests.support.desk import GUARD

LINK = """
from django.contrib.auth.models import User
from sse_notify import signed_stream_url
print(signed_stream_url(User.objects.get(username="alice")))
"""

OPEN = """(url) => {
  window.heard = [];
  const stream = new EventSource(url);
  for (const name of ["hello", "notification"]) stream.addEventListener(name, ({ data }) => heard.push([name, JSON.parse(data).title]));
  stream.onerror = () => heard.push(["error", stream.readyState]);
}"""


@pytest.mark.parametrize("allowed", [True, False])
def test_a_page_of_another_origin_hears_if_it_is_allowed(make_site: MakeSite, page: Page, allowed: bool) -> None:
    origin = r"^http://localhost:\d+$" if allowed else r"^https://shop\.example$"
    site = make_site(
        env={
            "EXTRA_APPS": "corsheaders",
            "EXTRA_MIDDLEWARE": "corsheaders.middleware.CorsMiddleware",
            "CORS_ALLOWED_ORIGIN_REGEX": origin,
        }
    )
    server = site.serve()
    page.goto(server.url.replace("127.0.0.1", "localhost") + "/stats/")  # the same server by another name is another origin
    page.evaluate(OPEN, server.url + site.script(LINK).strip())
    page.wait_for_function("heard.length === 1", timeout=GUARD)
    if not allowed:
        assert page.evaluate("heard") == [["error", 2]], "closed: the browser kept the answer from the page"
        return
    site.send(server, "notify", to="alice", title="Over there")
    page.wait_for_function("heard.length === 2", timeout=GUARD)
    assert page.evaluate("heard") == [["hello", None], ["notification", "Over there"]]
