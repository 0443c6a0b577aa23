"""What the pages say is what the code does, as far as a machine can tell."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.checks.registry import registry
from django.dispatch import Signal
from django.test import Client
from django.urls import reverse

import sse_notify
from sse_notify import checks, conf, exceptions, signals
from sse_notify.models import Notification
from sse_notify.models.content import Content
from sse_notify.notifications.send import broadcast, notify
from sse_notify.sse import format as sse_format
from sse_notify.templatetags import sse_notify as tags
from sse_notify.testing import open_stream
from sse_notify.urls import urlpatterns
from tests.docs.pages import DOCS, Block, anchors, blocks, pages, prose, read, rows
from tests.support import ROOT

ALL_BLOCKS = [block for page in pages() for block in blocks(page)]


@pytest.mark.parametrize(
    "block", [block for block in ALL_BLOCKS if block.language == "python"], ids=str
)
def test_every_python_block_compiles(block: Block) -> None:
    compile(block.code, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@pytest.mark.parametrize(
    "block", [block for block in ALL_BLOCKS if block.language == "python"], ids=str
)
def test_every_name_that_an_example_imports_exists(block: Block) -> None:
    for node in ast.walk(ast.parse(block.code)):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] in ("sse_notify", "django")
        ):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize(
    "block", [block for block in ALL_BLOCKS if block.language == "json"], ids=str
)
def test_every_json_block_parses(block: Block) -> None:
    assert json.loads(block.code)


def test_no_block_is_left_open() -> None:
    for page in pages():
        fences = re.findall(r"^[ ]*```", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(list(blocks(page))), page


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_internal_links_resolve(page: Path) -> None:
    links = re.findall(r"""\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)\"""", prose(page))
    for link in ("".join(found) for found in links):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for block in blocks(page):
            if block.language == "{toctree}":
                names = [
                    line for line in block.code.splitlines() if line and not line.startswith(":")
                ]
                listed |= {page.parent / f"{name}.md" for name in names}
    assert listed == {page for page in pages() if page.is_relative_to(DOCS)}


def test_the_table_of_settings_is_the_settings() -> None:
    documented = {
        cells[0].strip("`"): ast.literal_eval(cells[1].strip("`"))
        for cells in rows(read("reference/settings.md"))
        if re.fullmatch(r"`[A-Z_]+`", cells[0])
    }
    actual = {field.name: getattr(conf.Settings(), field.name) for field in fields(conf.Settings)}
    assert list(documented) == list(actual)
    for name, value in documented.items():
        assert (value, type(value)) == (actual[name], type(actual[name])), name


def test_the_checks_that_are_listed_are_those_that_exist() -> None:
    documented = {
        cells[0].strip("`"): cells[1]
        for cells in rows(read("reference/checks.md"))
        if "sse_notify." in cells[0]
    }
    raised: dict[str, bool] = {}
    deployment = {getattr(check, "__name__", "") for check in registry.deployment_checks}
    for function in ast.parse(inspect.getsource(checks)).body:
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.keyword)
                    and node.arg == "id"
                    and isinstance(node.value, ast.Constant)
                ):
                    raised[str(node.value.value)] = function.name in deployment
    assert list(documented) == sorted(raised, key=lambda number: number[-3:])
    for number, deploy in raised.items():
        assert documented[number].startswith("*deploy*") == deploy, number


def test_every_public_name_is_documented() -> None:
    words = set(re.findall(r"\w+", read("reference/python.md")))
    for name in vars(sse_notify)["__all__"]:
        assert name in words, name
    for name in [name for name, value in vars(signals).items() if isinstance(value, Signal)]:
        assert name in words, name
    for name, value in vars(exceptions).items():
        if inspect.isclass(value):
            assert name in words, name


def test_every_argument_of_the_verbs_is_documented() -> None:
    documented = {
        name
        for cells in rows(read("reference/python.md"))
        for name in re.findall(r"`(\w+)`", cells[0])
    }
    signature = next(
        block.code
        for block in blocks(DOCS / "reference/python.md")
        if block.code.startswith("def notify(")
    )
    function = ast.parse(signature).body[0]
    assert isinstance(function, ast.FunctionDef)
    spelled = [argument.arg for argument in [*function.args.args, *function.args.kwonlyargs]]
    expected = [name for name in inspect.signature(notify).parameters if name != "content"] + list(
        Content.__annotations__
    )
    assert sorted(spelled) == sorted(expected)
    assert set(expected) <= documented
    assert set(expected) <= set(re.findall(r"\w+(?=[\w, ]*:)", str(inspect.getdoc(notify))))
    assert {"audience", "exclude"} <= set(inspect.signature(broadcast).parameters)


def test_the_template_tags_and_their_arguments_are_documented() -> None:
    text = read("reference/templates.md")
    for name in ("sse_notify_assets", "sse_notify_widget", "sse_notify_unread_count"):
        assert name in tags.register.tags, name
        assert f"`{{% {name} %}}`" in text, name
    documented = {
        cells[0].strip("`"): ast.literal_eval(cells[1].strip("`"))
        for cells in rows(text)
        if len(cells) == 3 and re.fullmatch(r"`\w+`", cells[0])
    }
    parameters = inspect.signature(tags.sse_notify_widget).parameters.values()
    assert documented == {p.name: p.default for p in parameters if p.name != "context"}


def test_the_templates_that_are_listed_are_those_that_ship() -> None:
    shipped = {
        f"sse_notify/{path.name}" for path in (ROOT / "sse_notify/templates/sse_notify").iterdir()
    }
    assert (
        set(
            re.findall(
                r"^\| `(sse_notify/\w+\.html)`", read("reference/templates.md"), re.MULTILINE
            )
        )
        == shipped
    )


def test_every_address_is_documented() -> None:
    text = read("reference/http.md")
    for pattern in urlpatterns:
        route = str(pattern.pattern)
        assert not route or f"`{route}`" in text, route
        assert f"`{pattern.name}`" in text or pattern.name in (
            "read",
            "unread",
            "seen",
            "archive",
        ), pattern.name


def test_the_reserved_events_are_documented() -> None:
    table = {
        name
        for cells in rows(read("reference/wire.md"))
        for name in re.findall(r"`(\w+)`", cells[0])
    }
    assert table >= sse_format.RESERVED_EVENTS
    (listed,) = re.findall(
        r"^The names (.*?) are reserved:", read("reference/wire.md"), re.MULTILINE
    )
    assert set(re.findall(r"`(\w+)`", listed)) == sse_format.RESERVED_EVENTS


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_the_fields_of_hello_are_documented() -> None:
    user = await get_user_model().objects.acreate(username="ann")
    async with open_stream(user) as stream:
        hello = (await stream.next("hello")).data
    (row,) = [cells for cells in rows(read("reference/wire.md")) if cells[0].startswith("`hello`")]
    assert set(re.findall(r"`(\w+)`", row[1])) == set(hello)


@pytest.mark.django_db
def test_the_examples_of_the_inbox_have_the_fields_of_its_answers(client: Client) -> None:
    user = get_user_model().objects.create_user("ann")
    client.force_login(user)
    notify(user, "Hello")
    items, state = (
        json.loads(b.code) for b in blocks(DOCS / "reference/http.md") if b.language == "json"
    )
    answered = client.get(reverse("sse_notify:items")).json()
    assert (list(items), list(state)) == (
        list(answered),
        list(client.get(reverse("sse_notify:state")).json()),
    )
    assert items["items"][0].keys() <= answered["items"][0].keys()


def test_the_example_of_a_notification_has_its_fields_in_their_order() -> None:
    example: dict[str, Any] = json.loads(
        next(b.code for b in blocks(DOCS / "reference/wire.md") if b.language == "json")
    )
    assert list(example) == list(Notification(title="Hello").payload())


def test_what_the_script_exports_is_documented() -> None:
    text = read("reference/javascript.md")
    types = (ROOT / "sse_notify/static/sse_notify/sse-notify.d.ts").read_text(encoding="utf-8")
    exported = re.findall(r"^export declare (?:class|function) (\w+)", types, re.MULTILINE)
    assert exported
    for name in exported:
        assert name in text or name == "SseNotifyElement", name
    client = types[types.index("class SseNotifyClient") : types.index("class SseNotifyError")]
    for member in re.findall(r"^  (?:readonly )?(\w+)[(<:]", client, re.MULTILINE):
        assert member == "constructor" or re.search(rf"`{member}\b", text), member


def test_the_changelog_knows_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in text
    assert sse_notify.__version__ in text
