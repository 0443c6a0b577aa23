"""docs/how-to/contribute-a-field.md, followed to the letter on a copy of the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, blocks, read, rows
from tests.support import GUARD, ROOT, fields

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
found = {"default": notify(owner, "Hi").payload()["source"], "given": broadcast("Hi", source="red").payload()["source"]}
try:
    notify(owner, "Hi", source="x" * 21)
except ValueError as error:
    found["error"] = str(error)
row = notify(owner, "Hi", key="k", source="red")
found["repeat"] = notify(owner, "Hi", key="k").source
call_command("notify", "Command", "--user", "owner", "--source", "blue", verbosity=0)
found["command"] = Notification.objects.get(title="Command").source
client = Client()
client.force_login(owner)
fields = {"audience": "everyone", "level": "info", "title": "Admin", "source": "green"}
base = "/admin/sse_notify/notification/"
found["add"] = "The system that it comes from." in client.get(base + "add/").content.decode()
found["compose"] = 'name="source"' in client.get(base + "broadcast/").content.decode()
client.post(base + "broadcast/", {**fields, "token": "x" * 22, "_send": "1"})
again = {"action": "broadcast_selected", "_selected_action": [Notification.objects.get(title="Admin").pk]}
client.post(base, {**again, "audience": "staff", "token": "y" * 22, "_send": "1"})
found["admin"] = list(Notification.objects.filter(title="Admin").values_list("topic", "source"))
print(json.dumps(found))
"""
URLS = """
from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("n/", include("sse_notify.urls"))]
"""


#: What the page calls generated.
GENERATED = ("/openapi.json", "/sse-notify.d.ts")
#: The tests that know the fields of a notification, or may.
TESTS = (
    "tests/docs/test_pages.py",
    *(
        f"tests/unit/{name}"
        for name in ("notifications", "admin", "management", "models", "compat")
    ),
    *(f"tests/unit/{name}" for name in ("views/test_inbox_views.py", "log/test_log.py")),
)


def steps() -> list[str]:
    """Return the files that the page has one touch."""
    return [cells[1].strip("`") for cells in rows(read(PAGE)) if cells[0].isdigit()]


def test_a_new_field_touches_at_most_eight_files() -> None:
    assert 3 <= len(steps()) <= 8
    for path in steps():
        assert (ROOT / path).exists(), path


def test_what_is_generated_from_the_declaration_is_current() -> None:
    for path, text in fields.generated().items():
        assert path.read_text() == text, "python -m tests.support.fields"


def beside(file: Path, pattern: str, line: str) -> None:
    """Insert ``line`` before the one that ``pattern`` matches, as deep as that."""
    text, count = re.subn(
        rf"^(?P<indent> *){pattern}",
        rf"\g<indent>{line}\n\g<0>",
        file.read_text(),
        flags=re.MULTILINE,
    )
    assert count == 1, file
    file.write_text(text)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@dataclass(frozen=True)
class Project:
    """A copy of the project."""

    folder: Path

    def run(self, *command: str, **env: str) -> str:
        """Run Python in the copy and return its output."""
        env = {**os.environ, "PYTHONPATH": str(self.folder), **env}
        ran = subprocess.run(
            [sys.executable, *command],
            env=env, cwd=self.folder, capture_output=True, text=True, timeout=10 * GUARD, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which the steps of the page are done."""
    column, declaration = (
        block.code.strip() for block in blocks(DOCS / PAGE) if block.language == "python"
    )
    folder = tmp_path_factory.mktemp("copy") / "project"
    ignored = shutil.ignore_patterns(
        "__pycache__", ".*", "node_modules", "var", "_build", "htmlcov"
    )
    shutil.copytree(ROOT, folder, ignore=ignored)
    before = contents(folder)
    made = Project(folder)
    models, _migrations, content, send, python, wire, changelog = (
        folder / path for path in steps()
    )
    beside(models, "silent = .*$", column)
    beside(content, "silent: .*$", declaration)
    made.run("manage.py", "makemigrations", "sse_notify")
    beside(send, "silent: list and count", "source: the system that it comes from.")
    beside(python, "silent=False,$", 'source="",')
    beside(python, r"\| `silent` \|", "| `source` | the system that it comes from |")
    beside(wire, '"silent": false$', '"source": "",')
    beside(changelog, "### Added$", "")
    made.run("-m", "tests.support.fields")
    after = contents(folder)
    changed = {path for path, text in after.items() if before.get(path) != text}
    by_hand = {path for path in changed if not any(name in path for name in GENERATED)}
    assert all(any(path.startswith(step) for step in steps()) for path in by_hand), by_hand
    assert len(by_hand) == len(steps())
    return made


def test_a_column_and_its_declaration_are_all_that_verbs_payload_admin_and_command_need(
    project: Project,
) -> None:
    (project.folder / "urls.py").write_text(URLS)
    (project.folder / "script.py").write_text(SCRIPT)
    try:
        found: dict[str, Any] = json.loads(
            project.run("script.py", DJANGO_SETTINGS_MODULE="").splitlines()[-1]
        )
    finally:
        (project.folder / "script.py").unlink()
        (project.folder / "urls.py").unlink()
    assert found == {
        "default": "",
        "given": "red",
        "error": "source must have at most 20 characters, not 21.",
        "repeat": "",
        "command": "blue",
        "add": True,
        "compose": True,
        "admin": [["staff", "green"], ["everyone", "green"]],
    }


@pytest.mark.slow
@pytest.mark.timeout(12 * GUARD)
def test_no_other_file_has_to_change_for_the_tests_to_pass(project: Project) -> None:
    """Not the catalogues, which are translated by hand."""
    this = f"{Path(__file__).relative_to(ROOT)}::{test_what_is_generated_from_the_declaration_is_current.__name__}"
    document = (
        "tests/servers/test_tokens.py::test_the_document_is_valid_and_has_every_address_and_field"
    )
    quiet = ("-m", "pytest", "--quiet", "-p", "no:cacheprovider")
    project.run(*quiet, this, document, *TESTS, HYPOTHESIS_PROFILE="few")


SETTING, EVENT = "how-to/contribute-a-setting.md", "how-to/contribute-an-event.md"


@pytest.mark.slow
def test_a_setting_and_an_event_need_what_their_pages_name_and_no_more(project: Project) -> None:
    field, block = (
        next(each.code for each in blocks(DOCS / page) if each.language == "python")
        for page in (SETTING, EVENT)
    )
    package, docs = project.folder / "sse_notify", project.folder / "docs/reference"
    setting, *sentence = field.strip().splitlines()
    beside(package / "conf.py", "LAYER: str = .*$", "\n    ".join([setting, *sentence]))
    beside(docs / "settings.md", r"\| `LAYER` \|", "| `GREETING_SECONDS` | `0.5` | time |")
    conf = project.folder / "tests/unit/test_conf.py"
    beside(
        conf, r'\(\{"LAYER": ""\}, "LAYER"\),$', '({"GREETING_SECONDS": 0}, "GREETING_SECONDS"),'
    )
    control, wire = package / "sse/control.py", docs / "wire.md"
    control.write_text(f"{control.read_text()}\n\n{block}")
    reserved = package / "sse/format.py"
    reserved.write_text(reserved.read_text().replace('"hello", ', '"hello", "notice", ', 1))
    beside(wire, r"\| `lost`", "| `notice` | `text` | none |")
    wire.write_text(wire.read_text().replace("The names `hello`", "The names `notice`, `hello`"))
    tests = [word for word in read(SETTING).split() if re.fullmatch(r"tests/\S+\.py", word)]
    assert len(tests) == 2
    tests += ["tests/unit/sse/test_events.py", "tests/unit/notifications/test_injection.py"]
    project.run("-m", "pytest", "--quiet", "-p", "no:cacheprovider", *tests)
