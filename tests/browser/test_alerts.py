"""What reaches somebody who looks elsewhere, once it is asked for: a sound, the desktop, the page's title."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.test_panel import GUARD, send, sign_in
from tests.support.site import Site

#: Keeps what pages show on the desktop, counts tones and how often it was asked whether the user sees a tab, and lets a test hide the page, as Playwright shows all of them. Its own
#: scripts count as the user's touch, so what was touched is told from the events.
WATCH = """
window.popups = [];
window.tones = 0;
if (window.Notification) {
  window.Notification = class extends Notification {
    constructor(title, options) { super(title, options); popups.push({ title, ...options, popup: this }); }
  };
}
const { createOscillator } = AudioContext.prototype;
AudioContext.prototype.createOscillator = function () { tones++; return createOscillator.call(this); };
window.looked = 0;
const query = globalThis.LockManager?.prototype.query; // not in a page that is not loaded yet
if (query) LockManager.prototype.query = async function () { const found = await query.call(this); setTimeout(() => looked++); return found; };
window.touched = false;
addEventListener("pointerdown", () => { touched = true; }, true);
Object.defineProperty(Navigator.prototype, "userActivation", { get: () => ({ hasBeenActive: touched }) });
window.visibility = "visible";
Object.defineProperty(document, "visibilityState", { get: () => visibility });
window.hide = (hidden) => { visibility = hidden ? "hidden" : "visible"; document.dispatchEvent(new Event("visibilitychange")); };
"""


def test_title_sound_and_desktop_reach_who_looks_elsewhere_once_asked_for(
    site: Site, context: BrowserContext, page: Page
) -> None:
    server = site.serve()
    context.grant_permissions(["notifications"], origin=server.url)
    context.add_init_script(WATCH)
    sign_in(page, server, "/?loud")
    send(site, server, "Seen")
    expect(page).to_have_title("(1) A page with the bell", timeout=GUARD)
    # Before the user has touched the page it makes no sound, and what is before the user's eyes is on no desktop.
    assert page.evaluate("[popups.length, tones]") == [0, 0]
    page.locator("[data-ssen=bell]").click()
    expect(page.locator("[data-ssen=desktop]")).to_be_hidden()  # granted already
    page.evaluate("hide(true)")
    send(site, server, "Silent", silent=True)
    send(site, server, "Elsewhere", key="k", url="/stats/")
    page.wait_for_function("popups.length === 1")
    assert page.evaluate("popups.map(({ title, tag }) => [title, tag])") == [["Elsewhere", "k"]]
    assert page.evaluate("tones") == 1
    # Of two tabs that the user has touched, the one with the stream alone makes itself heard.
    other = context.new_page()
    other.goto(server.url + "/?loud")
    expect(other.locator("sse-notify[data-connection=follower]")).to_be_attached(timeout=GUARD)
    other.locator("[data-ssen=bell]").click()
    other.evaluate("hide(true)")
    send(site, server, "Once")
    page.wait_for_function("popups.length === 2")
    expect(other).to_have_title("(4) A page with the bell", timeout=GUARD)
    assert other.evaluate("[popups.length, tones]") == [0, 0]
    other.evaluate("""async () => {
      const { client } = document.querySelector("sse-notify");
      await client.markRead((await client.list({ limit: 1 })).items.map(({ id }) => id));
    }""")
    other.close()
    page.bring_to_front()
    expect(page).to_have_title("(3) A page with the bell", timeout=GUARD)
    page.evaluate("document.title = 'Another'; hide(false)")
    expect(page).to_have_title("(3) Another")
    page.evaluate("popups[0].popup.onclick()")
    page.wait_for_url("**/stats/")
    page.go_back()
    expect(page).to_have_title("(2) A page with the bell", timeout=GUARD)
    # The way back may show the page as it was first loaded: what it has not heard yet, it does not mark.
    expect(page.locator("sse-notify [data-ssen=list] > li")).to_have_count(4, timeout=GUARD)
    page.evaluate("document.querySelector('sse-notify').client.markAllRead()")
    expect(page).to_have_title("A page with the bell", timeout=GUARD)


def test_nothing_pops_up_while_the_user_sees_any_tab_of_the_site(
    site: Site, context: BrowserContext, page: Page
) -> None:
    server = site.serve()
    context.grant_permissions(["notifications"], origin=server.url)
    context.add_init_script(WATCH)
    sign_in(page, server, "/?loud")
    page.evaluate("hide(true)")
    send(site, server, "Nobody looks")
    page.wait_for_function("popups.length === 1 && looked === 1")
    other = context.new_page()
    other.goto(server.url + "/?loud")
    expect(other.locator("sse-notify[data-connection=follower]")).to_be_attached(timeout=GUARD)
    expect(other).to_have_title("(1) A page with the bell", timeout=GUARD)
    send(site, server, "Seen in the other tab")
    page.wait_for_function("looked === 2")
    expect(other).to_have_title("(2) A page with the bell", timeout=GUARD)
    # As soon as nobody looks any more, however that came.
    other.evaluate("hide(true)")
    send(site, server, "Hidden")
    page.wait_for_function("looked === 3")
    other.evaluate("hide(false); hide(true); hide(false)")
    send(site, server, "Seen again")
    page.wait_for_function("looked === 4")
    other.close()
    send(site, server, "Closed")
    page.wait_for_function("looked === 5")
    assert page.evaluate("popups.map(({ title }) => title)") == ["Nobody looks", "Hidden", "Closed"]


def test_a_second_copy_of_the_script_adds_nothing(
    site: Site, context: BrowserContext, page: Page
) -> None:
    """A bundle may bring one beside the tag's, and a page that outlives a release loads the next one's."""
    server = site.serve()
    context.grant_permissions(["notifications"], origin=server.url)
    context.add_init_script(WATCH)
    sign_in(page, server, "/?loud")
    page.evaluate("import('/static/sse_notify/sse-notify-alerts.js?another')")
    page.locator("[data-ssen=bell]").click()
    page.evaluate("hide(true)")
    for number in (1, 2):
        send(site, server, f"{number}")
        page.wait_for_function("(number) => looked >= number", arg=number)
    expect(page).to_have_title("(2) A page with the bell", timeout=GUARD)
    assert page.evaluate("popups.map(({ title }) => title)") == ["1", "2"]
