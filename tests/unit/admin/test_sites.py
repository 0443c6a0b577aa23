"""The admin on sites that are not like most: another user model, another look, another order of apps, a site of one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import GUARD, ROOT

MODELS = """
import uuid
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

class Customer(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    is_owner = models.BooleanField(default=False)
    USERNAME_FIELD = "email"
    objects = BaseUserManager()

    @property
    def is_staff(self):
        return self.is_owner

    def has_perm(self, permission, obj=None):
        return self.is_owner

    has_module_perms = has_perm
"""
ADMIN = """
from django.contrib import admin
from shop.models import Customer

@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin):
    search_fields = ["email"]
"""
URLS = """
from django.contrib import admin
from django.urls import include, path
from sse_notify.admin import NotificationAdmin
from sse_notify.models import Notification
from shop.models import Customer

own = admin.site.__class__("own")
own.register(Notification, NotificationAdmin)
own.register(Customer)
bare = admin.site.__class__("bare")
bare.register(Customer)
class Quiet(admin.ModelAdmin):
    actions = None

quiet = admin.site.__class__("quiet")
quiet.register(Notification, NotificationAdmin)
quiet.register(Customer, Quiet)
urlpatterns = [
    path("quiet/", quiet.urls), path("own/", own.urls), path("bare/", bare.urls), path("admin/", admin.site.urls), path("n/", include("sse_notify.urls")),
]
"""
#: Goes through every page as a browser would, and prints what it found.
SCRIPT = """
import json, re, sys
import django
from django.conf import settings

given = json.loads(sys.argv[1])
settings.configure(
    AUTH_USER_MODEL="shop.Customer", SECRET_KEY="only-for-this-test", USE_TZ=True, ROOT_URLCONF="urls", STATIC_URL="/static/",
    ALLOWED_HOSTS=["*"], DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[*given["first"], "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles", *given["last"]],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages"]}}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

from django.core.management import call_command
from django.test import Client
from shop.models import Customer
from sse_notify import notify
from sse_notify.models import Notification

call_command("migrate", run_syncdb=True, verbosity=0)
call_command("check", verbosity=0)
owner = Customer.objects.create(email="owner@shop.test", is_owner=True)
ann = Customer.objects.create(email="ann@shop.test")
client = Client()
client.force_login(owner)
found = {"actions": {}}

def page(address, data=None):
    response = client.get(address) if data is None else client.post(address, data, follow=True)
    assert response.status_code == 200, (address, response.status_code)
    return response.content.decode()

def hidden(text):
    tags = [dict(re.findall(r'([\\w-]+)="([^"]*)"', tag)) for tag in re.findall(r"<input[^>]*>", text)]
    return {tag["name"]: tag.get("value", "") for tag in tags if tag.get("type") == "hidden" and "name" in tag}

for site in ("admin", "own", "bare", "quiet"):
    found["actions"][site] = "notify_selected_users" in page(f"/{site}/shop/customer/")
for site in ("admin", "own"):
    base = f"/{site}/sse_notify/notification/"
    row = notify(ann, "Hello")
    text = page(base)
    assert f'href="{base}broadcast/"' in text, "the list leads to the page"
    assert f'href="{base}{row.pk}/recall/"' in page(f"{base}{row.pk}/change/"), "and a row to its recall"
    page(f"{base}{row.pk}/history/"), page(f"{base}add/")
    text = page(base + "live/")
    assert f'action="{base}live/disconnect/"' in text and 'data-stream="/n/stream/"' in text
    assert "ann@shop.test" in page(base + "live/disconnect/", {"user": str(ann.pk)}), "it says whose streams it has ended"
    text = page(base + "broadcast/")
    assert 'name="title"' in text and 'name="_confirm"' in text
    found["audiences"] = re.findall(r'name="audience" value="(\\w+)"', text)
    found.setdefault("completes", []).append("admin-autocomplete" in text)
    fields = {"audience": "everyone", "title": "To all", "level": "info", "_confirm": "1"}
    text = page(base + "broadcast/", {**hidden(text), **fields})
    found["everyone"] = re.search(r'"reach">([^<]*)<', text)[1]
    page(base + "broadcast/", {**hidden(text), "_send": "1"})
    if "staff" in found["audiences"]:
        text = page(base + "broadcast/")
        text = page(base + "broadcast/", {**hidden(text), **fields, "title": "To staff", "audience": "staff"})
        found["staff"] = re.search(r'"reach">([^<]*)<', text)[1]
        page(base + "broadcast/", {**hidden(text), "_send": "1"})
    text = page(base + "broadcast/", {**hidden(page(base + "broadcast/")), **fields, "audience": "user", "names": "ann@shop.test"})
    page(base + "broadcast/", {**hidden(text), "_send": "1"})
    page(base + f"{row.pk}/recall/", hidden(page(base + f"{row.pk}/recall/")) | {"_recall": "1"})
    action = {"action": "notify_selected_users", "index": "0", "_selected_action": str(ann.pk)}
    text = page(f"/{site}/shop/customer/", action)
    text = page(f"/{site}/shop/customer/", {**hidden(text), **fields})
    page(f"/{site}/shop/customer/", {**hidden(text), "_send": "1"})
found["sent"] = [(row.topic.replace(str(ann.pk), "ann"), row.recalled_at is not None) for row in Notification.objects.order_by("pk")]
print(json.dumps(found))
"""


def go_through(folder: Path, **apps: list[str]) -> dict[str, object]:
    """Run the script in a project of its own."""
    (folder / "shop").mkdir()
    for name, text in (("__init__", ""), ("models", MODELS), ("admin", ADMIN)):
        (folder / "shop" / f"{name}.py").write_text(text)
    (folder / "urls.py").write_text(URLS)
    script = folder / "script.py"
    script.write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, str(script), json.dumps(apps)]
    ran = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, timeout=GUARD * 2, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "apps",
    [
        pytest.param({"first": ["sse_notify"], "last": ["shop"]}, id="users registered last"),
        pytest.param({"first": ["shop", "unfold"], "last": ["sse_notify"]}, id="with unfold"),
    ],
)
def test_every_page_works_with_another_user_model_look_and_order_of_apps(
    tmp_path: Path, apps: dict[str, list[str]]
) -> None:
    """A user model with UUIDs for keys, e-mail addresses for names, no groups, and no column that says who is staff."""
    assert go_through(tmp_path, **apps) == {
        # On each site that has the notifications, and on no other; not where the users have no actions at all.
        "actions": {"admin": True, "own": True, "bare": False, "quiet": False},
        "audiences": ["everyone", "staff", "user"],
        "completes": [True, False],
        "everyone": "2",
        "staff": "-",
        "sent": [
            ["user:ann", True],
            ["everyone", False],
            ["staff", False],
            ["user:ann", False],
            ["user:ann", False],
        ]
        * 2,
    }
