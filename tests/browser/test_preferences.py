"""A category that is muted on the page for it falls silent in every tab, and is there for whoever looks."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.test_axe import look
from tests.support.desk import GUARD, Desk, badge, titles


def test_a_muted_category_is_listed_but_neither_counted_nor_toasted_in_any_tab(
    desk: Desk, page: Page, context: BrowserContext
) -> None:
    desk.open(page)
    desk.send("News of today", category="news")
    desk.send("Order 7", category="orders")
    badge(page, "2")
    settings = context.new_page()
    desk.open(settings, sign_in=False, connection="")
    settings.locator("[data-ssen=bell]").click()
    settings.get_by_role("link", name="Preferences").click()
    settings.get_by_label("news").uncheck()
    settings.get_by_role("button", name="Save").click()
    expect(settings.get_by_role("status")).to_have_text("Your preferences have been saved.")
    look(settings, "html")
    expect(settings.get_by_label("news")).not_to_be_checked()
    expect(settings.get_by_label("orders")).to_be_checked()
    settings.close()
    badge(page, "1")
    expect(page.locator("[data-ssen=list] li[data-unread]")).to_have_count(1, timeout=GUARD)

    desk.send("News of tomorrow", category="news")
    desk.send("Order 8", category="orders")
    badge(page, "2")
    titles(page, ["Order 8", "News of tomorrow", "Order 7", "News of today"])
    expect(page.locator("[data-ssen=list] li[data-unread]")).to_have_count(2)
    expect(page.locator(".ssen-toast", has_text="Order 8")).to_be_visible()
    expect(page.locator(".ssen-toast", has_text="News of tomorrow")).to_have_count(0)
    page.reload()
    badge(page, "2")
    titles(page, ["Order 8", "News of tomorrow", "Order 7", "News of today"])


def test_preferences_need_no_javascript(desk: Desk, page: Page, context: BrowserContext) -> None:
    desk.sign_in(context)
    desk.send("News", category="news")
    without = context.browser
    assert without is not None
    plain = without.new_context(java_script_enabled=False, storage_state=context.storage_state())
    page = plain.new_page()
    page.goto(desk.url + "/notifications/")
    expect(page.get_by_text("1 unread")).to_be_visible()
    page.get_by_role("link", name="Preferences").click()
    page.get_by_label("news").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Your preferences have been saved.")
    page.get_by_role("link", name="See all notifications").click()
    expect(page.get_by_text("0 unread")).to_be_visible()
    expect(page.locator("[data-ssen=title]")).to_have_text("News")
    plain.close()
