"""Texts that are compared are equal only to themselves, on every database."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection, models

from sse_notify import mark_read, mute, muted_categories, notify, unmute, unread_count
from sse_notify.models import Mute, Notification
from sse_notify.models.fields import ExactCharField

pytestmark = pytest.mark.django_db

# What the usual collations of MySQL and MariaDB do not tell apart: case, accents, ligatures, spaces, and all emoji from each other.
ALIKE = [
    *("a", "A", "\u00e1", "\uff41", "a ", " a", "a\t", "a\u200b"),
    *("ss", "\u00df", "ff", "\ufb00", "i", "\u0131", "\u0130", "🙂", "🙃"),
]


@pytest.mark.parametrize("name", ["key", "idempotency_key"])
def test_keys_that_look_alike_are_other_keys(alice: User, name: str) -> None:
    contents: list[Any] = [{name: text} for text in ALIKE]
    rows = [notify(alice, "Hi", **content) for content in contents]
    assert len({row.pk for row in rows}) == len(ALIKE)
    assert [notify(alice, "Again", **content).pk for content in contents] == [
        row.pk for row in rows
    ]


def test_categories_that_look_alike_are_muted_one_by_one(alice: User) -> None:
    for text in ALIKE:
        notify(alice, "Hi", category=text)
    for number, text in enumerate(ALIKE, start=1):
        mute(alice, text)
        rows: Any = Notification.objects.visible_to(alice)
        muted = rows.filter(is_muted=True)
        assert muted.count() == number
        assert unread_count(alice) == len(ALIKE) - number
    assert muted_categories(alice) == sorted(ALIKE)
    unmute(alice, "A")
    assert muted_categories(alice) == sorted({*ALIKE} - {"A"})
    assert Mute.objects.count() == len(ALIKE) - 1


def test_users_whose_keys_look_alike_read_their_own(alice: User) -> None:
    """A user model may have a text for its key: the topics of such users differ no more than their keys."""
    for text in ALIKE:
        Notification.objects.create(topic=f"user:{text}", title=text, event=text)
    for text in ALIKE:
        rows = Notification.objects.filter(topic=f"user:{text}", event=text)
        assert [row.title for row in rows] == [text]
        assert Notification.objects.filter(topic__in=[f"user:{text}", "user:z"]).count() == 1
    notify(alice, "Hi")
    mark_read(alice, ids=list(Notification.objects.values_list("pk", flat=True)))
    assert unread_count(alice) == 0


def test_every_text_that_is_unique_indexed_or_a_key_is_exact() -> None:
    compared = 0
    for model in apps.get_app_config("sse_notify").get_models():
        options: Any = model._meta
        named = {
            name
            for each in [*options.indexes, *options.total_unique_constraints]
            for name in each.fields
        }
        for field in options.concrete_fields:
            if isinstance(field, models.CharField) and (
                field.unique or getattr(field, "db_index", False) or field.name in named
            ):
                assert isinstance(field, ExactCharField), field
                compared += 1
    assert compared >= 5


@pytest.mark.mariadb
def test_the_tables_columns_have_the_collation() -> None:
    """A migration gives it to the columns that were there before it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT CONCAT(table_name, '.', column_name) FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND collation_name = 'utf8mb4_nopad_bin'"
        )
        found = {name for (name,) in cursor}
    wanted = {
        f"{model._meta.db_table}.{field.column}"
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, ExactCharField)
    }
    assert found == wanted
