"""The wheel carries what the package needs, nothing else, and works where there is no checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath
from textwrap import dedent

import pytest

import sse_notify
from tests.support import GUARD, ROOT

# What is not Python and has to be there at run time.
NEEDED = [
    "sse_notify/py.typed",
    "sse_notify/__init__.pyi",
    "sse_notify/migrations/0001_initial.py",
    "sse_notify/migrations/0002_unarchive_and_recall.py",
    "sse_notify/templates/sse_notify/_item.html",
    "sse_notify/templates/sse_notify/list.html",
    "sse_notify/templates/sse_notify/widget.html",
    "sse_notify/templates/admin/sse_notify/notification/compose.html",
    "sse_notify/static/sse_notify/admin.css",
    "sse_notify/static/sse_notify/admin.js",
    "sse_notify/static/sse_notify/sse-notify-alerts.js",
    "sse_notify/static/sse_notify/sse-notify-alerts.js.map",
    "sse_notify/static/sse_notify/sse-notify-arrivals.js",
    "sse_notify/static/sse_notify/sse-notify-arrivals.js.map",
    "sse_notify/static/sse_notify/sse-notify-eventsource.js",
    "sse_notify/static/sse_notify/sse-notify-eventsource.js.map",
    "sse_notify/static/sse_notify/sse-notify-fetch.js",
    "sse_notify/static/sse_notify/sse-notify-fetch.js.map",
    "sse_notify/static/sse_notify/sse-notify.css",
    "sse_notify/static/sse_notify/sse-notify.js",
    "sse_notify/static/sse_notify/sse-notify.js.map",
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that what a build leaves behind does not end up in it."""
    folder = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("node_modules", "__pycache__", ".*_cache")
    for name in ("sse_notify", "demo_project", "templates", "static", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in (
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "manage.py",
        ".gitignore",
    ):
        shutil.copy2(ROOT / name, folder)
    # Compiled translations are made at release and ignored by some; they must ship all the same.
    locale = folder / "sse_notify" / "locale" / "xx" / "LC_MESSAGES"
    locale.mkdir(parents=True)
    (locale / "django.mo").write_bytes(b"")
    with (folder / ".gitignore").open("a") as ignored:
        ignored.write("*.mo\n")
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that hatchling builds of the sources."""
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return archive.namelist()


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """The wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The interpreter of a fresh virtual environment, far from the checkout, with the wheel in it.

    Dependencies are taken from the environment that runs the tests, behind the wheel in the order of import; what that one has of this
    package is out of reach.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    here = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=GUARD * 3)
    # As a plain path, not as a site folder: its own .pth files, and the editable install among them, stay unread.
    theirs = [path for path in sys.path if path.endswith("site-packages")]
    (Path(here.stdout.strip()) / "dependencies.pth").write_text("\n".join(theirs))
    yield python
    shutil.rmtree(folder)


def run(python: Path, code: str, **env: str) -> str:
    """Run ``code`` outside the checkout and return what it printed."""
    done = subprocess.run(
        [python, "-c", dedent(code)],
        cwd=python.parent,
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **env},
        capture_output=True,
        text=True,
        timeout=GUARD,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SETTINGS = """
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="x" * 50,
        USE_TZ=True,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=[
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.staticfiles", "sse_notify"
        ],
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"],
        STATIC_URL="/static/",
        ROOT_URLCONF="sse_notify_urls",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    )
    import sys, types
    from django.urls import include, path
    urls = types.ModuleType("sse_notify_urls")
    sys.modules["sse_notify_urls"] = urls
    django.setup()
    urls.urlpatterns = [path("notifications/", include("sse_notify.urls"))]
"""


@pytest.mark.parametrize("name", NEEDED)
def test_the_wheel_has(names: list[str], name: str) -> None:
    assert name in names


def test_the_wheel_has_every_module_template_static_file_and_translation(
    source: Path, names: list[str]
) -> None:
    package = source / "sse_notify"
    expected = {
        path.relative_to(source).as_posix() for path in package.rglob("*") if path.is_file()
    }
    assert "sse_notify/js/client.js" in expected, "the script's sources, which it names"
    assert "sse_notify/locale/xx/LC_MESSAGES/django.mo" in expected
    assert expected == {name for name in names if ".dist-info/" not in name}


def test_the_wheel_has_nothing_beside_the_package(names: list[str], wheel: Path) -> None:
    version = sse_notify.__version__
    assert {PurePosixPath(name).parts[0] for name in names} == {
        "sse_notify",
        f"sse_notify-{version}.dist-info",
    }
    assert wheel.name == f"sse_notify-{version}-py3-none-any.whl"


def test_the_metadata_tell_licence_version_and_what_is_needed(
    metadata: Message, names: list[str]
) -> None:
    assert metadata["Name"] == "sse-notify"
    assert metadata["Version"] == sse_notify.__version__
    assert metadata["License-Expression"] == "MIT"
    assert f"sse_notify-{sse_notify.__version__}.dist-info/licenses/LICENSE" in names
    assert metadata["Requires-Python"] == ">=3.11"
    needed = metadata.get_all("Requires-Dist") or []
    assert sorted(line for line in needed if "extra ==" not in line) == [
        "channels<5,>=4.2",
        "django<7,>=5.2",
    ]
    assert {"redis", "daphne", "demo", "test"} <= set(metadata.get_all("Provides-Extra") or [])


def test_the_installed_package_is_the_wheels(installed: Path) -> None:
    where = Path(run(installed, "import sse_notify; print(sse_notify.__file__)").strip())
    assert installed.parent.parent in where.parents
    assert ROOT not in where.parents


def test_the_names_of_the_root_come_without_settings_and_are_loaded_when_used(
    installed: Path,
) -> None:
    """So that ``from sse_notify import notify`` is fine at the top of a ``models.py``."""
    printed = run(
        installed,
        """
        import sys
        import sse_notify
        assert "django" not in sys.modules, "importing the package imports Django"
        assert set(sse_notify.__all__) <= set(dir(sse_notify))
        assert sse_notify.__version__
        try:
            sse_notify.no_such_name
        except AttributeError as error:
            print(error)
        """,
    )
    assert "no_such_name" in printed


def test_every_public_name_resolves_in_a_configured_project(installed: Path) -> None:
    printed = run(
        installed,
        dedent(SETTINGS)
        + "import sse_notify\nprint(*[n for n in sse_notify.__all__ if getattr(sse_notify, n) is None])",
    )
    assert printed.strip() == ""


def test_the_widget_renders_and_its_files_are_found_from_the_wheel(installed: Path) -> None:
    printed = run(
        installed,
        dedent(SETTINGS)
        + dedent("""
        from django.contrib.auth.models import User
        from django.contrib.staticfiles import finders
        from django.core.management import call_command
        from django.template import engines
        from django.test import RequestFactory

        call_command("migrate", verbosity=0)
        call_command("check", fail_level="ERROR")
        from sse_notify import notify

        user = User.objects.create_user("ada")
        notify(user, "From the wheel")
        request = RequestFactory().get("/")
        request.user = user
        page = "{% load sse_notify %}{% sse_notify_assets %}{% sse_notify_widget %}"
        print(engines["django"].from_string(page).render({}, request))
        for name in ("sse-notify.js", "sse-notify.css"):
            print(finders.find(f"sse_notify/{name}"))
        """),
    )
    assert "From the wheel" in printed
    assert "/static/sse_notify/sse-notify.js" in printed
    for name in ("sse-notify.js", "sse-notify.css"):
        assert f"{installed.parent.parent}/" in printed
        assert f"sse_notify/static/sse_notify/{name}" in printed


@pytest.mark.parametrize(
    "storage",
    [
        "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
        "whitenoise.storage.CompressedManifestStaticFilesStorage",
    ],
)
def test_hashed_static_files_keep_the_script_and_its_source_map_together(
    installed: Path, tmp_path: Path, storage: str
) -> None:
    options = f"""STATIC_URL="/static/", STATIC_ROOT={str(tmp_path)!r}, STORAGES={{"staticfiles": {{"BACKEND": {storage!r}}}}},"""
    settings = dedent(SETTINGS).replace('STATIC_URL="/static/",', options)
    printed = run(
        installed,
        settings
        + dedent("""
        from django.contrib.staticfiles.storage import staticfiles_storage
        from django.core.management import call_command

        call_command("collectstatic", interactive=False, verbosity=0)
        print(staticfiles_storage.url("sse_notify/sse-notify.js"))
        """),
    )
    address = re.fullmatch(r"/static/(sse_notify/sse-notify\.[0-9a-f]{12}\.js)\n", printed)
    assert address, printed
    script = (tmp_path / address[1]).read_text("utf-8")
    named = re.search(
        r"^//# sourceMappingURL=(sse-notify\.js\.[0-9a-f]{12}\.map)$", script, re.MULTILINE
    )
    assert named, script[-200:]
    source_map = json.loads((tmp_path / "sse_notify" / named[1]).read_text("utf-8"))
    package = Path(run(installed, "import sse_notify; print(sse_notify.__file__)").strip()).parent
    assert "../../js/client.js" in source_map["sources"]
    for name, text in zip(source_map["sources"], source_map["sourcesContent"], strict=True):
        assert text == (package / "static" / "sse_notify" / name).read_text("utf-8"), (
            f"{name} is not what a debugger would show"
        )


def test_no_migration_is_missing(installed: Path) -> None:
    code = (
        dedent(SETTINGS)
        + 'from django.core.management import call_command; call_command("makemigrations", check=True, dry_run=True)'
    )
    assert "No changes detected" in run(installed, code)
