"""Each stack: what its own documentation makes, then what ours says, then a look in a browser."""

from __future__ import annotations

import json

import httpx
import pytest
from playwright.sync_api import Page

from tests.docs.pages import DOCS, blocks
from tests.docs.reader import BELL, PASSWORD
from tests.docs.test_readme import HOME, TEMPLATES
from tests.projects.project import ANN, Project
from tests.support import GUARD, ROOT

pytestmark = pytest.mark.timeout(600)

HOW_TO = DOCS / "how-to"


def test_readme(project: Project, page: Page) -> None:
    """The README, on what `startproject` makes, with its own first line."""
    project.install("django")
    project.type("django-admin startproject mysite .")
    project.append("mysite/settings.py", TEMPLATES)
    project.append("mysite/urls.py", HOME)
    project.follow(ROOT / "README.md")
    project.ready(username="ann")
    project.sign_in(page, "admin/login/")
    project.rings(page)


def test_wagtail(project: Project, page: Page) -> None:
    project.install("wagtail")
    project.run("-c", "from wagtail.bin.wagtail import main; main()", "start", "mysite", ".")
    project.follow(HOW_TO / "wagtail.md")
    (admin,) = (b for b in blocks(HOW_TO / "admin-themes.md") if b.mark.startswith("wagtail:"))
    project.write("home/templates/wagtailadmin/base.html", admin.code)
    project.ready(username="ann")
    project.sign_in(page, "admin/login/")
    project.rings(page)
    publish = """
from django.contrib.auth import get_user_model
from wagtail.models import Page
page = Page.objects.get(depth=2).specific
page.owner = get_user_model().objects.get()
page.save()
page.save_revision().publish()
"""
    project.manage("shell", "-c", publish)
    project.shows(page, "Home is published", "Hello")
    page.goto(project.url + "admin/")
    project.is_live(page)
    project.shows(page, "Home is published", "Hello", name="admin")


OSCAR = """
from oscar.defaults import *

INSTALLED_APPS += ["django.contrib.sites", "django.contrib.flatpages", "oscar.config.Shop"]
INSTALLED_APPS += [
    f"oscar.apps.{name}.apps.{config}Config"
    for name, config in {
        "analytics": "Analytics",
        "checkout": "Checkout",
        "address": "Address",
        "shipping": "Shipping",
        "catalogue": "Catalogue",
        "catalogue.reviews": "CatalogueReviews",
        "communication": "Communication",
        "partner": "Partner",
        "basket": "Basket",
        "payment": "Payment",
        "offer": "Offer",
        "order": "Order",
        "customer": "Customer",
        "search": "Search",
        "voucher": "Voucher",
        "wishlists": "Wishlists",
        "dashboard": "Dashboard",
        "dashboard.reports": "ReportsDashboard",
        "dashboard.users": "UsersDashboard",
        "dashboard.orders": "OrdersDashboard",
        "dashboard.catalogue": "CatalogueDashboard",
        "dashboard.offers": "OffersDashboard",
        "dashboard.partners": "PartnersDashboard",
        "dashboard.pages": "PagesDashboard",
        "dashboard.ranges": "RangesDashboard",
        "dashboard.reviews": "ReviewsDashboard",
        "dashboard.vouchers": "VouchersDashboard",
        "dashboard.communications": "CommunicationsDashboard",
        "dashboard.shipping": "ShippingDashboard",
    }.items()
]
INSTALLED_APPS += ["widget_tweaks", "haystack", "treebeard", "django_tables2"]
SITE_ID = 1
MIDDLEWARE += [
    "oscar.apps.basket.middleware.BasketMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "oscar.apps.customer.auth_backends.EmailBackend",
    "django.contrib.auth.backends.ModelBackend",
]
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]
TEMPLATES[0]["OPTIONS"]["context_processors"] += [
    "oscar.apps.search.context_processors.search_form",
    "oscar.apps.checkout.context_processors.checkout",
    "oscar.apps.communication.notifications.context_processors.notifications",
    "oscar.core.context_processors.metadata",
]
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
DATABASES["default"]["ATOMIC_REQUESTS"] = True
MEDIA_ROOT = BASE_DIR / "media"
MEDIA_URL = "media/"
OSCAR_ORDER_STATUS_PIPELINE = {"Pending": ("Sent",), "Sent": ()}
"""
OSCAR_URLS = """
from django.apps import apps
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("", include(apps.get_app_config("oscar").urls[0])),
]
"""
SEND_ORDER = """
from django.contrib.auth import get_user_model
from oscar.core.loading import get_model
order = get_model("order", "Order").objects.create(
    number="100001", user=get_user_model().objects.get(), status="Pending",
    currency="EUR", total_incl_tax=10, total_excl_tax=8, shipping_incl_tax=0, shipping_excl_tax=0,
)
order.set_status("Sent")
"""


def test_oscar(project: Project, page: Page) -> None:
    project.install("django-oscar")
    project.type("django-admin startproject mysite .")
    project.append("mysite/settings.py", OSCAR)
    project.write("mysite/urls.py", OSCAR_URLS)
    project.follow(HOW_TO / "shop.md")
    project.ready(username="ann")
    project.sign_in(page, "accounts/login/", user=ANN, prefix="login-")
    project.rings(page)
    project.manage("shell", "-c", SEND_ORDER)
    project.shows(page, "Order 100001: Sent", "Hello")
    page.goto(project.url + "dashboard/")
    project.is_live(page)
    project.shows(page, "Order 100001: Sent", "Hello", name="dashboard")
    page.click(BELL)
    page.click("text=Order 100001: Sent")
    page.wait_for_url("**/accounts/orders/100001/")


CMS_PAGE = """
from cms.api import create_page
from cms.models import PageContent
from django.contrib.auth import get_user_model
from django.db import transaction
user = get_user_model().objects.get()
page = create_page("News", "cms-base.html", "en-us", created_by=user)
with transaction.atomic():
    page.set_as_homepage()
version = PageContent.admin_manager.get().versions.get()
"""


def test_django_cms(project: Project, page: Page) -> None:
    project.install("django-cms")
    project.type("django-admin startproject mysite .")
    command = "from cms.management.djangocms import execute_from_command_line as run; run()"
    project.run("-c", command, ".", "--noinput", "--use-bundled-install-rules")
    guide = HOW_TO / "django-cms.md"
    project.follow(guide)
    (receiver,) = (block for block in blocks(guide) if "@receiver" in block.code)
    project.append("mysite/settings.py", 'INSTALLED_APPS += ["news"]\n')
    project.write("news/models.py", receiver.code)
    project.ready(username="ann")
    project.manage("shell", "-c", f"{CMS_PAGE}version.publish(user)")
    project.sign_in(page, "admin/login/")
    project.rings(page, titles=("Hello", "News (en-us) is published"))


DRF = """
INSTALLED_APPS += ["rest_framework", "rest_framework.authtoken"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ]
}
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]
"""
DRF_URLS = """
from django.urls import include
from rest_framework.authtoken.views import obtain_auth_token

urlpatterns += [
    path("api-auth/", include("rest_framework.urls")),
    path("api-token-auth/", obtain_auth_token),
]
"""


def test_drf(project: Project, page: Page) -> None:
    """The bell beside an API, and a client with a token, as both guides say."""
    project.install("djangorestframework")
    project.type("django-admin startproject mysite .")
    project.append("mysite/settings.py", DRF)
    project.append("mysite/urls.py", DRF_URLS)
    project.follow(HOW_TO / "drf.md")
    setting, function, *_ = blocks(HOW_TO / "clients-with-a-token.md")
    assert "TokenAuthentication" in function.mark
    project.append("mysite/settings.py", setting.code)
    project.write("shop/tokens.py", function.code)
    project.ready(username="ann")

    with httpx.Client(base_url=project.url, timeout=GUARD, trust_env=False) as client:
        signed_in = {"username": "ann", "password": PASSWORD}
        token = client.post("api-token-auth/", data=signed_in).json()["token"]
        client.headers["Authorization"] = f"Token {token}"
        with client.stream("GET", "notifications/stream/") as stream:
            lines = stream.iter_lines()
            assert "event: hello" in lines
            assert client.post("api/wave/").json() == {"user": "ann"}
            assert "event: notification" in lines
            data = next(line for line in lines if line.startswith("data: "))
            (item,) = [json.loads(data.removeprefix("data: "))]
        assert item["title"] == "You waved"
        assert client.post("notifications/read/", json={"ids": [item["id"]]}).status_code == 200
        assert client.get("notifications/state/").json()["unread"] == 0
        client.headers["Authorization"] = "Token wrong"
        assert client.get("notifications/state/").status_code == 401

    project.sign_in(page, "api-auth/login/?next=/api/wave/")
    project.is_live(page)
    project.send("Hello")
    project.shows(page, "Hello", "You waved", unread=1)
