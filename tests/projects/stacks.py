"""Each stack: what its own documentation makes, then what ours says, then a look in a browser."""

from __future__ import annotations

import json
import re
import shlex
from signal import SIGTERM

import httpx
import pytest
from playwright.sync_api import Page

from tests.docs.pages import DOCS, blocks
from tests.docs.reader import BELL, PASSWORD, RUNSERVER
from tests.docs.test_readme import HOME, TEMPLATES
from tests.projects.project import ANN, Project
from tests.support import GUARD, ROOT
from tests.support.postgres import PostgresServer

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


def test_fastapi(project: Project, page: Page) -> None:
    """FastAPI in front of Django; then Channels' router in its place."""
    project.install("django", "fastapi", "uvicorn[standard]")
    project.type("django-admin startproject mysite .")
    project.append("mysite/settings.py", TEMPLATES)
    project.append("mysite/urls.py", HOME)
    guide = HOW_TO / "fastapi.md"
    project.follow(guide)
    project.follow(guide, "fastapi")
    project.ready(username="ann")
    project.sign_in(page, "admin/login/")
    project.rings(page)
    wave = f"{project.url}api/wave/ann"
    assert httpx.post(wave, timeout=GUARD, trust_env=False).json() == {"waved": "ann"}
    project.shows(page, "You waved", "Hello")

    project.server.stop()
    middleware = """

@application.middleware("http")
async def passes_on(request, call_next):
    return await call_next(request)
"""
    project.append("mysite/asgi.py", middleware)
    cookies = {each["name"]: each["value"] for each in page.context.cookies()}
    uvicorn = ["-m", "uvicorn", "mysite.asgi:application", "--port", str(project.port)]
    project.serve_by(*uvicorn)
    client = httpx.Client(base_url=project.url, cookies=cookies, timeout=GUARD, trust_env=False)
    with client, client.stream("GET", "notifications/stream/") as stream:
        lines = stream.iter_lines()
        assert "event: hello" in lines
        project.send("Through a middleware")
        assert "event: notification" in lines
        project.server.signal(SIGTERM)
        assert "event: bye" in lines
    assert project.server.wait() == -SIGTERM  # as uvicorn says that it was asked to end

    project.follow(guide, "channels")
    project.server = project.process(*RUNSERVER, str(project.port))
    project.serve()
    page.goto(project.url)
    project.is_live(page)
    address = f"ws://127.0.0.1:{project.port}/ws/wave/"
    page.evaluate(
        "(url) => { const ws = new WebSocket(url); ws.onopen = () => ws.send('By a socket') }",
        address,
    )
    titles = ("By a socket", "Through a middleware", "You waved", "Hello")
    project.shows(page, *titles, name="channels")


TENANTS = """
DATABASES = {"default": {"ENGINE": "django_tenants.postgresql_backend", "NAME": "shop"}}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
MIDDLEWARE = ["django_tenants.middleware.main.TenantMainMiddleware", *MIDDLEWARE]
TENANT_MODEL, TENANT_DOMAIN_MODEL = "customers.Client", "customers.Domain"
SHARED_APPS = ["django_tenants", "customers", *INSTALLED_APPS]
TENANT_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
INSTALLED_APPS = SHARED_APPS
"""
CUSTOMERS = """
from django_tenants.models import DomainMixin, TenantMixin


class Client(TenantMixin):
    pass


class Domain(DomainMixin):
    pass
"""


def test_tenants(project: Project, page: Page) -> None:
    """The check refuses django-tenants; a deployment for each tenant works, as the guide says."""
    project.install("django-tenants", "psycopg[binary]")
    project.type("django-admin startproject mysite .")
    settings = project.folder / "mysite" / "settings.py"
    before = settings.read_text()
    project.append("mysite/settings.py", TENANTS)
    project.write("customers/models.py", CUSTOMERS)
    readme = [block for block in blocks(ROOT / "README.md") if block.mark]
    for block in readme[:-1]:
        project.do(block)
    guide = HOW_TO / "tenants.md"
    (said,) = (block.code.strip() for block in blocks(guide) if block.mark == "output")
    for command in (["check"], ["migrate"], RUNSERVER[1:]):
        with pytest.raises(AssertionError, match=re.escape(said)) as refused:
            project.manage(*command)
        assert "Run the site once for each tenant" in str(refused.value)

    settings.write_text(before + TEMPLATES)
    project.append("mysite/settings.py", readme[1].code)
    project.append("mysite/urls.py", HOME)
    project.follow(guide)
    for tenant in ("north", "south"):
        project.env |= {
            "TENANT": tenant,
            "SECRET_KEY": tenant * 12,
            "DATABASE": str(project.folder / f"{tenant}.sqlite3"),
            "HOST": "127.0.0.1",
        }
        project.server = project.process(*RUNSERVER, str(project.port))
        project.ready(username="ann")
        page.context.clear_cookies()
        project.sign_in(page, "admin/login/")
        project.rings(page, titles=(f"Hello {tenant}",))
        project.server.stop()


UUID_USER = """
import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = None
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []
    objects = Manager()
"""
MANAGER = """
from django.contrib.auth.models import UserManager


class Manager(UserManager):
    def create_superuser(self, email, password):
        user = self.model(email=email, is_staff=True, is_superuser=True)
        user.set_password(password)
        user.save()
        return user

"""
ALLAUTH = """
INSTALLED_APPS += ["people", "allauth", "allauth.account"]
AUTH_USER_MODEL = "people.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
MIDDLEWARE += ["allauth.account.middleware.AccountMiddleware"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
LOGIN_REDIRECT_URL = "/accounts/email/"
"""
ALLAUTH_URLS = """
from django.urls import include

urlpatterns += [path("accounts/", include("allauth.urls"))]
"""


def test_allauth(project: Project, page: Page) -> None:
    """A user model with a UUID as its key and no username, who signs in by django-allauth."""
    project.install("django-allauth")
    project.type("django-admin startproject mysite .")
    project.append("mysite/settings.py", ALLAUTH + TEMPLATES)
    project.append("mysite/urls.py", ALLAUTH_URLS)
    project.write("people/models.py", MANAGER + UUID_USER)
    project.write("people/migrations/__init__.py", "")
    project.manage("makemigrations", "people")
    project.follow(ROOT / "README.md")
    project.follow(HOW_TO / "custom-user-model.md")
    project.ready()
    project.sign_in(page, "accounts/login/", user=ANN)
    project.rings(page, "accounts/email/")
    # A new password keeps this session, and the bell goes on.
    page.goto(project.url + "accounts/password/change/")
    page.fill("[name=oldpassword]", PASSWORD)
    for name in ("password1", "password2"):
        page.fill(f"[name={name}]", PASSWORD + "!")
    page.get_by_role("button", name="Change Password").click()
    project.is_live(page)
    project.send("Again")
    project.shows(page, "Again", "Hello", name="password")


#: Like cookiecutter-django's, which is on no package index: its folders, and what its production settings have.
BASE = """
import environ
env = environ.Env()
DEBUG = False
SECRET_KEY = env("DJANGO_SECRET_KEY", default="for migrations alone")
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DATABASES = {"default": env.db("DATABASE_URL")}
DATABASES["default"]["ATOMIC_REQUESTS"] = True
INSTALLED_APPS += ["crispy_forms", "crispy_bootstrap5", "allauth", "allauth.account", "mysite.users"]
AUTH_USER_MODEL = "users.User"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
MIDDLEWARE.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")
MIDDLEWARE += ["allauth.account.middleware.AccountMiddleware"]
TEMPLATES[0]["DIRS"] = [BASE_DIR / "mysite" / "templates"]
STATIC_ROOT = BASE_DIR / "staticfiles"
CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": env("REDIS_URL")}}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
"""
PRODUCTION = """
from .base import *
ALLOWED_HOSTS = ["127.0.0.1"]
CONN_MAX_AGE = 60
MIDDLEWARE.insert(2, "django.middleware.gzip.GZipMiddleware")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
SECURE_CONTENT_TYPE_NOSNIFF = True
"""
ASGI = """
import os
from django.core.asgi import get_asgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
django_application = get_asgi_application()

async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await django_application(scope, receive, send)
"""
URLS = """
from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

urlpatterns = [
    path("", TemplateView.as_view(template_name="base.html")),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
]
"""
LAYOUT = "<!doctype html><head><title>Site</title></head><nav>Site</nav>{% block content %}{% endblock %}"
USERS = """
from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    pass
"""


def test_split_settings(
    project: Project, page: Page, postgres_server: PostgresServer, redis_url: str
) -> None:
    """cookiecutter-django's kind: settings in parts, PostgreSQL, Redis, hashed and compressed static files, two workers."""
    project.install("django-environ", "django-crispy-forms", "crispy-bootstrap5", "whitenoise")
    project.install("django-allauth", "argon2-cffi", "django-redis", "psycopg[binary]")
    project.install("gunicorn", "uvicorn[standard]", "uvicorn-worker", "sse-notify[redis,daphne]")
    project.type("django-admin startproject config .")
    folder = project.folder / "config"
    project.write("config/settings/base.py", (folder / "settings.py").read_text() + BASE)
    (folder / "settings.py").unlink()
    base_dir = "parent.parent\n"
    text = (folder / "settings" / "base.py").read_text()
    assert base_dir in text
    text = text.replace(base_dir, "parent.parent.parent\n", 1)
    project.write("config/settings/base.py", text)
    project.write("config/settings/local.py", "from .base import *\nDEBUG = True\n")
    project.write("config/settings/production.py", PRODUCTION)
    project.write("config/asgi.py", ASGI)
    project.write("config/urls.py", URLS)
    project.write("mysite/templates/base.html", LAYOUT)
    project.write("mysite/users/models.py", USERS)
    project.write("mysite/users/migrations/__init__.py", "")
    database = postgres_server.url(postgres_server.create_database())
    project.env |= {"DATABASE_URL": database, "REDIS_URL": redis_url}
    project.env |= {"DJANGO_SETTINGS_MODULE": "config.settings.production"}
    project.env |= {"DJANGO_SECRET_KEY": "a secret of this project" * 3}
    project.manage("makemigrations", "users")
    guide = HOW_TO / "add-to-a-site.md"
    project.follow(guide, "split")

    project.manage("migrate", "--verbosity=0")
    project.manage("collectstatic", "--noinput", "--verbosity=0")
    project.manage("check", "--deploy", "--fail-level=WARNING", "--tag=sse_notify")
    project.add_user(username="ann")
    (serve,) = (block.code for block in blocks(guide) if block.mark == "split serve")
    program, *arguments = shlex.split(serve.removeprefix("$ "))
    assert program == "gunicorn"
    project.serve_by("-m", "gunicorn", *arguments, "--bind", f"127.0.0.1:{project.port}")
    project.sign_in(page, "admin/login/")
    project.rings(page)

    project.server.stop()
    project.env |= {"DJANGO_SETTINGS_MODULE": "config.settings.local"}
    project.server = project.process(*RUNSERVER, str(project.port))
    project.serve()
    page.goto(project.url)
    project.is_live(page)


def test_pytest_django(project: Project) -> None:
    """The guide to tests, in a project whose tests run with pytest-django, by its plugin and its fixture."""
    project.install("pytest-django", "pytest-asyncio", "django")
    project.type("django-admin startproject mysite .")
    project.follow(ROOT / "README.md")
    code = [block.code for block in blocks(HOW_TO / "testing.md") if block.language == "python"]
    comments, fixture, stream, *_ = code
    project.write("test_comments.py", comments)
    start = "import pytest\nfrom sse_notify import notify\n\n\n@pytest.mark.django_db\n"
    project.write("test_fixture.py", start + fixture)
    project.write("test_stream.py", stream)
    project.write("pytest.ini", "[pytest]\nDJANGO_SETTINGS_MODULE = mysite.settings\n")
    assert "3 passed" in project.run("-m", "pytest", "-q")
