"""What is seen, read and put away, here and elsewhere, and what the bell says of it when the server does not play along."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.support.desk import GUARD, Desk, badge, requests, titles

#: Counts the events of topics that the page is told of.
HEAR = """
window.heard = 0;
addEventListener("sse-notify:event", () => { document.body.dataset.heard = ++heard; });
document.querySelector("sse-notify").client.eventSource("wall");
"""

#: The page is put away, as for Back; and is there again.
AWAY = "dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))"
BACK = "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"

CLIENT = "document.querySelector('sse-notify').client"


def test_what_the_server_fails_to_mark_as_seen_is_not_tried_again_before_something_changes(
    desk: Desk, page: Page
) -> None:
    page.clock.install()
    desk.open(page)
    desk.send("One")
    badge(page, "1")
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503)

    page.route("**/seen/", refuse)
    bell = page.locator("[data-ssen=bell]")
    bell.click()
    page.clock.run_for(1_000)
    expect(page.locator("[data-ssen=status]")).to_contain_text("went wrong", timeout=GUARD)
    for _ in range(4):
        page.clock.run_for(1_000)
        page.evaluate(f"{CLIENT}.list()")  # what was asked for before it is answered before it
        expect(page.locator("[data-ssen=list]")).to_have_attribute("aria-busy", "false")
    assert len(asked) == 1
    # What changes is news: more that is unseen, and a panel that is opened once more.
    desk.send("Two")
    titles(page, ["Two", "One"])
    with page.expect_response("**/seen/"):
        page.clock.run_for(1_500)
    assert len(asked) == 2
    page.unroute("**/seen/")
    bell.click()
    bell.click()
    page.clock.run_for(1_500)
    expect(page.locator("sse-notify li[data-unseen]")).to_have_count(0, timeout=GUARD)


def test_what_is_seen_is_told_however_busy_the_stream_is(desk: Desk, page: Page) -> None:
    page.clock.install()
    desk.open(page)
    with page.expect_response(lambda response: "topic=wall" in response.url):
        page.evaluate(HEAR)
    desk.wait(page, "open")
    desk.send("One")
    badge(page, "1")
    asked = requests(page, "/seen/")
    page.locator("[data-ssen=bell]").click()
    page.clock.pause_at(page.evaluate("Date.now() / 1_000 + 0.1"))  # seconds
    for number in range(1, 5):
        desk.site.send(desk.server, "publish", topic="wall", data="tick")
        expect(page.locator("body")).to_have_attribute("data-heard", f"{number}", timeout=GUARD)
        page.clock.run_for(400)
    assert len(asked) == 1


def test_a_toast_marks_as_read_whatever_the_list_shows(desk: Desk, page: Page) -> None:
    desk.open(page)
    desk.send("An order", category="orders")
    badge(page, "1")
    page.reload()
    desk.wait(page, "open")
    page.locator("[data-ssen=bell]").click()
    page.locator("[data-ssen=tab]", has_text="orders").click()
    page.keyboard.press("Escape")
    desk.send("Another kind")
    badge(page, "2")
    titles(page, ["An order"])
    page.locator(".ssen-toast [data-ssen=title]").click()
    badge(page, "1")


def test_toasts_go_with_what_is_archived_or_read_elsewhere(
    desk: Desk, page: Page, context: BrowserContext
) -> None:
    desk.open(page)
    other = desk.open(context.new_page(), connection="follower", sign_in=False)
    page.bring_to_front()
    first = desk.send("One")
    desk.send("Two")
    toasts = page.locator(".ssen-toast [data-ssen=title]")
    expect(toasts).to_have_text(["One", "Two"], timeout=GUARD)
    toasts.last.hover()  # so that they stay
    other.evaluate(f"(id) => {CLIENT}.archive([id])", first)
    expect(toasts).to_have_text(["Two"], timeout=GUARD)
    titles(other, ["Two"])
    other.evaluate(f"{CLIENT}.markAllRead()")
    expect(toasts).to_have_count(0, timeout=GUARD)


def test_to_somebody_who_is_signed_out_nothing_else_is_said_and_a_new_login_brings_the_list_back(
    desk: Desk, page: Page
) -> None:
    desk.open(page)
    desk.send("One")
    badge(page, "1")

    def refuse(route: Route) -> None:
        route.fulfill(status=401, json={"error": "unauthenticated", "message": "Sign in."})

    for part in ("read", "items"):
        page.route(f"**/{part}/**", refuse)
    page.locator("[data-ssen=bell]").click()
    with page.expect_response("**/items/**"):  # what a mark that failed asks for
        page.locator("sse-notify li [data-ssen-mark=read]").click()
    desk.wait(page, "unauthorized")
    expect(page.locator("sse-notify li")).to_have_count(0)
    expect(page.locator("[data-ssen=list]")).to_have_attribute("aria-busy", "false")
    expect(page.locator("[data-ssen=status]")).to_contain_text("signed out")
    badge(page, "")
    for part in ("read", "items"):
        page.unroute(f"**/{part}/**")
    page.evaluate(f"{CLIENT}.stop(); {CLIENT}.start()")
    titles(page, ["One"])
    badge(page, "1")
    expect(page.locator("[data-ssen=status]")).to_be_hidden()


def test_the_focus_stays_on_an_action_when_its_item_is_sent_again(desk: Desk, page: Page) -> None:
    desk.open(page)
    actions = [
        {"label": "Look", "url": "/stats/"},
        {"label": "Go", "url": "/stats/", "method": "POST"},
    ]
    desk.send("Once", key="k", actions=actions)
    titles(page, ["Once"])
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("[data-ssen=heading]")).to_be_focused()
    go = page.locator("sse-notify li button.ssen-action")
    go.focus()
    desk.send("Again", key="k", actions=actions)
    titles(page, ["Again"])
    expect(go).to_be_focused()


def test_what_was_read_elsewhere_before_a_tab_came_back_is_read_there(
    desk: Desk, page: Page, context: BrowserContext
) -> None:
    desk.open(page)
    other = desk.open(context.new_page(), connection="follower", sign_in=False)
    other.evaluate(AWAY)
    desk.wait(other, "idle")
    ids = [desk.send("Read"), desk.send("Not read")]
    badge(page, "2")
    page.evaluate(f"(id) => {CLIENT}.markRead([id])", ids[0])
    badge(page, "1")
    other.evaluate(BACK)
    titles(other, ["Not read", "Read"])
    badge(other, "1")
    expect(other.locator("sse-notify li[data-unread] [data-ssen=title]")).to_have_text(["Not read"])


def test_a_page_of_the_list_is_believed_about_what_arrived_while_it_was_on_its_way(
    desk: Desk, page: Page
) -> None:
    desk.open(page)
    desk.send("One")
    titles(page, ["One"])
    held: list[Route] = []
    page.route("**/items/**", lambda route: held.append(route))  # a built-in method will not do
    page.locator("[data-ssen=bell]").click()
    with page.expect_request("**/items/**"):
        page.locator("[data-ssen=tab]").first.click()
    desk.send("Two")
    desk.send("Three")
    unread = page.locator("sse-notify li[data-unread] [data-ssen=title]")
    expect(unread).to_have_text(["Three", "Two"], timeout=GUARD)
    answer = held[0].fetch()
    said = answer.json()
    for item in said["items"]:  # read elsewhere, just before the answer
        item["unread"] = item["title"] == "Three"
    desk.send("Four")
    expect(unread).to_have_text(["Four", "Three", "Two"], timeout=GUARD)
    held[0].fulfill(response=answer, json=said)
    expect(unread).to_have_text(["Four", "Three"], timeout=GUARD)
    titles(page, ["Four", "Three", "Two", "One"])


def test_what_is_taken_back_at_once_is_taken_back_after_it_was_archived(
    desk: Desk, page: Page
) -> None:
    """Two requests on their way at once may be answered in any order; on a slow network an undo is quicker than what it undoes."""
    desk.open(page)
    desk.send("One")
    titles(page, ["One"])
    page.locator("[data-ssen=bell]").click()
    held: list[Route] = []
    page.route("**/archive/", lambda route: held.append(route))
    taken_back = requests(page, "/unarchive/")
    with page.expect_request("**/archive/"):
        page.locator("sse-notify li [data-ssen-mark=archive]").click()
    page.locator("[data-ssen=undo]").click()
    expect(page.locator("[data-ssen=undone]")).to_be_hidden()
    page.evaluate(f"{CLIENT}.list()")  # what was asked for before it is on its way before it
    assert not taken_back
    with page.expect_response("**/unarchive/"):
        held[0].continue_()
    titles(page, ["One"])


def test_no_request_of_the_bell_may_be_led_to_another_origin(desk: Desk, page: Page) -> None:
    page.add_init_script(
        "const own = fetch; window.asked = {};"
        "window.fetch = (url, init) => ((asked[new URL(url, location).pathname] = init?.mode), own(url, init));"
    )
    desk.open(page)
    desk.send("One", actions=[{"label": "Go", "url": "/logout/", "method": "POST"}])
    page.locator("[data-ssen=bell]").click()
    item = page.locator("sse-notify li")
    item.locator("[data-ssen-mark=read]").click()
    page.locator("[data-ssen=tab]").first.click()
    page.evaluate(f"{CLIENT}.refresh()")
    page.wait_for_function("Object.keys(asked).length === 4", timeout=GUARD)  # with the stream
    item.get_by_role("button", name="Go").click()
    page.wait_for_function("asked['/logout/']", timeout=GUARD)
    assert page.evaluate("[...new Set(Object.values(asked))]") == ["same-origin"]
