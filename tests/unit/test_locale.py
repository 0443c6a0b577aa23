"""The package speaks German, Simplified Chinese and Arabic: its catalogues are whole, and its pages use them.

The catalogues are read here without gettext's programs, so that the tests need neither them nor a package.
"""

from __future__ import annotations

import ast
import gettext
import re
import struct
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import django
import pytest
from django.contrib.auth.models import User
from django.template import RequestContext, Template
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import translation
from django.utils.translation.template import templatize

import sse_notify
from sse_notify import notify
from sse_notify.inbox import marks

PACKAGE = Path(sse_notify.__file__).parent
# Django's code of the language, the folder of its catalogue, its plural forms, its direction.
LANGUAGES = [("de", "de", 2, "ltr"), ("zh-hans", "zh_Hans", 1, "ltr"), ("ar", "ar", 6, "rtl")]

each_folder = pytest.mark.parametrize("folder", [folder for _, folder, *_ in LANGUAGES])
each_language = pytest.mark.parametrize(
    ("code", "folder"), [(code, folder) for code, folder, *_ in LANGUAGES]
)


@dataclass(kw_only=True)
class Entry:
    """One entry of a .po file."""

    texts: dict[str, str] = field(default_factory=dict)
    """By keyword: ``msgid``, ``msgstr``, ``msgstr[0]`` ..."""
    files: set[str] = field(default_factory=set)
    """Where the string occurs, as the entry says."""
    flags: set[str] = field(default_factory=set)

    @property
    def key(self) -> str:
        """The string as compiled catalogues name it: with the context before it and the plural behind it."""
        context = f"{self.texts['msgctxt']}\4" if "msgctxt" in self.texts else ""
        plural = f"\0{self.texts['msgid_plural']}" if "msgid_plural" in self.texts else ""
        return context + self.texts["msgid"] + plural

    @property
    def forms(self) -> list[str]:
        """What it is translated to, one text for each plural form."""
        return [text for keyword, text in self.texts.items() if keyword.startswith("msgstr")]


def po(folder: str) -> list[Entry]:
    """Read a catalogue's source; the first entry is the header."""
    entries = []
    for block in (
        (PACKAGE / "locale" / folder / "LC_MESSAGES" / "django.po")
        .read_text(encoding="utf-8")
        .strip()
        .split("\n\n")
    ):
        entry, keyword = Entry(), ""
        for line in block.splitlines():
            if line.startswith("#:"):
                entry.files |= set(line[2:].split())
            elif line.startswith("#,"):
                entry.flags |= {flag.strip() for flag in line[2:].split(",")}
            elif not line.startswith("#"):
                if not line.startswith('"'):
                    keyword, line = line.split(" ", 1)
                entry.texts[keyword] = entry.texts.get(keyword, "") + ast.literal_eval(line)
            else:
                assert not line.startswith("#~"), f"an obsolete entry: {line}"
        entries.append(entry)
    return entries


def mo(path: Path) -> dict[str, str]:
    """Read a compiled catalogue. (https://www.gnu.org/software/gettext/manual/html_node/MO-Files.html)"""
    content = path.read_bytes()
    magic, _revision, count, *tables = struct.unpack_from("<5I", content)
    assert magic == 0x950412DE, path

    def text(table: int, number: int) -> str:
        length, start = struct.unpack_from("<2I", content, table + 8 * number)
        return content[start : start + length].decode()

    return {text(tables[0], number): text(tables[1], number) for number in range(count)}


def compiled(folder: str) -> dict[str, str]:
    return mo(PACKAGE / "locale" / folder / "LC_MESSAGES" / "django.mo")


def strings_of(path: Path) -> set[str]:
    """Return the strings of a source file that are to be translated, as makemessages finds them."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        # Calls of gettext, among letters that stand for the rest.
        source = "\n".join(
            re.findall(
                r"\bn?p?gettext\(u?'[^']*'.*?\)|\bn?p?gettext\(u?\"[^\"]*\".*?\)|_\(.*?\)",
                templatize(source),
            )
        )
    found = set()
    for call in ast.walk(ast.parse(source)):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and re.fullmatch(r"_|n?p?gettext(_\w+)?", call.func.id)
        ):
            # A plural or a context would have to be read here too.
            assert not call.func.id.startswith(("n", "p")), ast.unparse(call)
            found.add(ast.literal_eval(call.args[0]))
    return found


def sources() -> dict[str, set[str]]:
    """Return every string that is to be translated, with the files in which it occurs."""
    found: dict[str, set[str]] = {}
    for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.html")]:
        for string in strings_of(path):
            found.setdefault(string, set()).add(path.relative_to(PACKAGE).as_posix())
    return found


@each_folder
def test_a_catalogue_has_every_string_of_the_sources_and_no_other(folder: str) -> None:
    """After a change: makemessages, as the .po file's head says."""
    assert {entry.key: entry.files for entry in po(folder)[1:]} == sources()


@pytest.mark.parametrize(
    ("folder", "plurals"), [(folder, plurals) for _, folder, plurals, _ in LANGUAGES]
)
def test_every_entry_is_translated_in_every_plural_form_and_not_fuzzy(
    folder: str, plurals: int
) -> None:
    header, *entries = po(folder)
    assert f"nplurals={plurals};" in header.texts["msgstr"]
    assert "charset=UTF-8" in header.texts["msgstr"]
    assert entries
    for entry in [header, *entries]:
        assert "fuzzy" not in entry.flags, entry.key
        assert all(text.strip() for text in entry.forms), entry.key
        assert len(entry.forms) == (plurals if "msgid_plural" in entry.texts else 1), entry.key


@each_folder
def test_a_compiled_catalogue_is_the_current_one(folder: str) -> None:
    """After a change: compilemessages. It leaves out when the strings were collected."""
    expected = {entry.key: "\0".join(entry.forms) for entry in po(folder)}
    expected[""] = re.sub(r"POT-Creation-Date: .*\n", "", expected[""])
    assert compiled(folder) == expected


@each_folder
def test_the_standard_library_reads_a_compiled_catalogue(folder: str) -> None:
    catalogue = gettext.translation("django", PACKAGE / "locale", [folder])
    for entry in po(folder)[1:]:
        assert catalogue.gettext(entry.texts["msgid"]) == entry.forms[0]


@each_folder
def test_a_translation_has_the_places_of_the_original(folder: str) -> None:
    """Both kinds: those that Django fills and those that the script fills."""

    def places(text: str) -> list[str]:
        return sorted(re.findall(r"%\(\w+\)s|%%|\{\w*\}", text))

    entries = po(folder)[1:]
    assert any(places(entry.key) for entry in entries)
    for entry in entries:
        assert all(places(form) == places(entry.texts["msgid"]) for form in entry.forms), entry.key


@each_folder
def test_a_word_of_djangos_keeps_djangos_translation(folder: str) -> None:
    """Django merges the catalogues of all apps, so another word here would change it in the admin too."""
    ours, shared = compiled(folder), 0
    for path in Path(django.__file__).parent.rglob(f"locale/{folder}/LC_MESSAGES/django.mo"):
        theirs = mo(path)
        for key in (ours.keys() & theirs.keys()) - {""}:
            assert ours[key] == theirs[key], (path, key)
            shared += 1
    assert shared


def is_sentence(text: str) -> bool:
    """Tell English words for people from codes, addresses and names of headers: they begin with a capital or a number."""
    return re.match(r"[A-Z][a-z]|(\{\w+\}|\d+) [a-z]", text) is not None


class Page(HTMLParser):
    """What a person reads or hears of a page: its texts, and the attributes that may hold words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.data: dict[tuple[str | None, str], str] = {}
        """Data attributes, by the place's name for the script and their own."""
        self.html: dict[str, str | None] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "html":
            self.html = attributes
        for name, value in attributes.items():
            if name in (
                "title",
                "alt",
                "placeholder",
                "aria-label",
                "aria-description",
            ) or name.startswith("data-"):
                self.handle_data(value or "")
            if name.startswith("data-"):
                self.data[attributes.get("data-ssen"), name] = value or ""

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())


def assert_translated(english: str, other: str, folder: str) -> None:
    """Every sentence of a page is another one in the other language, unless the catalogue says the same for both."""
    same = {entry.key for entry in po(folder)[1:] if entry.forms == [entry.key]}
    sentences = [
        (old, new)
        for old, new in zip(Page(english).words, Page(other).words, strict=True)
        if is_sentence(old)
    ]
    assert sentences
    assert [old for old, new in sentences if old == new and old not in same] == []


def widget(user: User, code: str) -> str:
    request = RequestFactory().get("/")
    request.user = user
    with translation.override(code):
        return Template("{% load sse_notify %}{% sse_notify_widget desktop=True %}").render(
            RequestContext(request, {"request": request})
        )


def page_in(client: Client, code: str, path: str) -> str:
    response = client.get(path, headers={"Accept-Language": code})
    assert response.status_code == 200
    assert response.headers["Content-Language"] == code
    return response.content.decode()


@pytest.mark.django_db
@each_language
@pytest.mark.parametrize("items", [0, 2])
def test_the_widget_is_translated(alice: User, code: str, folder: str, items: int) -> None:
    for number in range(items):
        notify(alice, f"order {number}", "sent", category="orders")
    page = widget(alice, code)
    assert_translated(widget(alice, "en"), page, folder)
    texts = compiled(folder)
    assert texts["Notifications"] in Page(page).words
    assert texts["Notifications, %(count)s new"] % {"count": items} in Page(page).words


@pytest.mark.django_db
@each_language
def test_what_the_script_says_is_translated(alice: User, code: str, folder: str) -> None:
    """It takes its sentences from data attributes of the widget, and fills their places itself."""
    english, other = Page(widget(alice, "en")).data, Page(widget(alice, code)).data
    spoken = {place: text for place, text in english.items() if is_sentence(text)}
    assert {place or "" for place, _ in spoken} == {
        "bell",
        "new",
        "status",
        "live",
        "older",
        "undone",
        "stage",
    }
    assert {place: other[place] for place in spoken} == {
        place: compiled(folder)[text] for place, text in spoken.items()
    }


@pytest.mark.django_db
@each_language
@pytest.mark.parametrize(
    "query", ["", "?state=unread", "?state=archived", "?limit=1", "?before=999999"]
)
@pytest.mark.parametrize("items", [0, 3])
def test_the_list_page_is_translated(
    alice: User, client: Client, code: str, folder: str, query: str, items: int
) -> None:
    sent = [notify(alice, f"order {number}", "sent", category="orders") for number in range(items)]
    if sent:
        marks.mark_read(alice, ids=[sent[0].pk])
        marks.archive(alice, ids=[sent[1].pk])
    path = reverse("sse_notify:list") + query
    page = page_in(client, code, path)
    assert_translated(page_in(client, "en", path), page, folder)
    assert compiled(folder)["Notifications"] in Page(page).words


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("code", "direction"),
    [("en", "ltr"), *((code, direction) for code, _, _, direction in LANGUAGES)],
)
def test_the_page_names_its_language_and_direction(
    client: Client, code: str, direction: str
) -> None:
    html = Page(page_in(client, code, reverse("sse_notify:list"))).html
    assert (html["lang"], html["dir"]) == (code, direction)


@pytest.mark.django_db
@each_language
def test_the_admins_form_is_translated(client: Client, alice: User, code: str, folder: str) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True, is_superuser=True)
    words = Page(page_in(client, code, reverse("admin:sse_notify_notification_add"))).words
    texts = compiled(folder)
    for text in (
        "For one user only.",
        "Listed and counted, but not announced.",
        "Everyone",
        "Warning",
    ):
        assert texts[text] in words


@pytest.mark.django_db
@each_language
def test_a_refusal_is_translated(client: Client, code: str, folder: str) -> None:
    response = client.post(
        reverse("sse_notify:read"),
        data="{}",
        content_type="application/json",
        headers={"Accept-Language": code},
    )
    assert response.status_code == 400
    assert response.json()["message"] == compiled(folder)["Enter either ids or up_to, not both."]
