"""docs/how-to/contribute-a-field.md, followed to the letter on a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, blocks, read, rows
from tests.support import GUARD, ROOT

PAGE = "how-to/contribute-a-field.md"
#: Uses the new field in every way that the page names, and prints what it found.
SCRIPT = """
import json
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only-for-this-test", USE_TZ=True, ROOT_URLCONF="urls", STATIC_URL="/static/", ALLOWED_HOSTS=["*"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                    "django.contrib.messages", "django.contrib.staticfiles", "sse_notify"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages"]}}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from sse_notify import broadcast, notify
from sse_notify.models import Notification

call_command("makemigrations", "sse_notify", verbosity=0)
call_command("migrate", verbosity=0)
owner = User.objects.create_superuser("owner")
found = {"default": notify(owner, "Hi").payload()["colour"], "given": broadcast("Hi", colour="red").payload()["colour"]}
try:
    notify(owner, "Hi", colour="x" * 21)
except ValueError as error:
    found["error"] = str(error)
row = notify(owner, "Hi", key="k", colour="red")
found["repeat"] = notify(owner, "Hi", key="k").colour
call_command("notify", "Command", "--user", "owner", "--colour", "blue", verbosity=0)
found["command"] = Notification.objects.get(title="Command").colour
client = Client()
client.force_login(owner)
fields = {"audience": "everyone", "level": "info", "title": "Admin", "colour": "green"}
base = "/admin/sse_notify/notification/"
found["add"] = "The colour of its edge." in client.get(base + "add/").content.decode()
found["compose"] = 'name="colour"' in client.get(base + "broadcast/").content.decode()
client.post(base + "broadcast/", {**fields, "token": "x" * 22, "_send": "1"})
again = {"action": "broadcast_selected", "_selected_action": [Notification.objects.get(title="Admin").pk]}
client.post(base, {**again, "audience": "staff", "token": "y" * 22, "_send": "1"})
found["admin"] = list(Notification.objects.filter(title="Admin").values_list("topic", "colour"))
print(json.dumps(found))
"""
URLS = """
from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("n/", include("sse_notify.urls"))]
"""


def steps() -> list[str]:
    """Return the files that the page has one touch."""
    return [cells[1].strip("`") for cells in rows(read(PAGE)) if cells[0].isdigit()]


def test_a_new_field_touches_at_most_eight_files() -> None:
    assert 3 <= len(steps()) <= 8
    for path in steps():
        assert (ROOT / path).exists(), path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a folder with a copy of the package in which the page's two blocks stand beside the other fields."""
    column, declaration = (
        block.code.strip() for block in blocks(DOCS / PAGE) if block.language == "python"
    )
    ignored = shutil.ignore_patterns("__pycache__", "static", "js", "locale")
    shutil.copytree(ROOT / "sse_notify", tmp_path / "sse_notify", ignore=ignored)
    models, _migrations, fields = (tmp_path / path for path in steps()[:3])
    for file, line, beside in (
        (models, column, r"^    silent = .*$"),
        (fields, declaration, r"^    silent: .*$"),
    ):
        text, count = re.subn(beside, rf"    {line}\n\g<0>", file.read_text(), flags=re.MULTILINE)
        assert count == 1, file
        file.write_text(text)
    (tmp_path / "urls.py").write_text(URLS)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def test_a_column_and_its_declaration_are_all_that_verbs_payload_admin_and_command_need(
    package: Path,
) -> None:
    env = {**os.environ, "PYTHONPATH": str(package)}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "script.py"]
    ran = subprocess.run(
        command, env=env, cwd=package, capture_output=True, text=True, timeout=GUARD, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    assert found == {
        "default": "",
        "given": "red",
        "error": "colour must have at most 20 characters, not 21.",
        "repeat": "",
        "command": "blue",
        "add": True,
        "compose": True,
        "admin": [["staff", "green"], ["everyone", "green"]],
    }
