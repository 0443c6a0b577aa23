"""The bell in Django's admin, in its other looks and in Wagtail's admin, by the templates of the guide, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser import looks
from tests.browser.looks.sites import Staff, documented, serve
from tests.support.desk import Desk

#: Each admin's apps, its address, and what of the documentation puts the bell there.
WAGTAIL = "wagtail.users,wagtail.documents,wagtail.images,wagtail.admin,wagtail,modelcluster,taggit"
ADMINS = {
    "django": ("django.contrib.admin", "/admin/"),
    "unfold": ("unfold,django.contrib.admin", "/admin/"),
    "grappelli": ("grappelli,django.contrib.admin", "/admin/"),
    "wagtail": (WAGTAIL, "/cms/"),
}

#: The list page as one of Wagtail's, as the guide says in words.
IN_WAGTAIL = """{% extends "wagtailadmin/base.html" %}{% load static %}
{% block extra_css %}{{ block.super }}<link rel="stylesheet" href="{% static 'sse_notify/page.css' %}">{% endblock %}"""


@pytest.fixture(scope="module", params=ADMINS)
def admin(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path
) -> Iterator[tuple[str, Desk]]:
    """The name of an admin, and a site that has it."""
    name = str(request.param)
    templates = documented("admin-themes.md", name)
    inbox = documented("admin-themes.md", "inbox")
    templates |= inbox if name != "wagtail" else dict.fromkeys(inbox, IN_WAGTAIL)
    folder = tmp_path_factory.mktemp(name)
    with serve(folder, _sqlite_template, templates, apps=ADMINS[name][0]) as desk:
        yield name, desk


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", looks.SCHEMES)
def test_the_bell_and_the_inbox_are_at_home_in_the_admin(
    admin: tuple[str, Desk], page: Page, scheme: str
) -> None:
    name, desk = admin
    staff = Staff(desk, scheme)
    looks.dress(page, "", scheme)
    staff.sign_in(page.context)
    looks.send_all(staff)
    staff.open(page, ADMINS[name][1], sign_in=False)
    looks.look(page, staff, name, scheme)
    page.goto(staff.url + "/notifications/")
    looks.look_at_list(page, name, scheme)
