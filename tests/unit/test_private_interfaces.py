"""What the engine uses of Django's and asgiref's insides, each named: a release that changes one fails here and not in production."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from asgiref.local import Local
from asgiref.sync import AsyncToSync, SyncToAsync, iscoroutinefunction
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.db import transaction
from django.db.models.sql.subqueries import InsertQuery
from django.test import TestCase
from django.test.utils import setup_test_environment, teardown_test_environment

from sse_notify.concurrency import threadpool


def test_asgiref_keeps_the_thread_of_a_context_where_it_is_looked_for() -> None:
    assert isinstance(SyncToAsync.context_to_thread_executor, WeakKeyDictionary)
    assert isinstance(SyncToAsync.thread_sensitive_context, ContextVar)


def test_asgiref_moves_what_a_local_holds_to_another_thread() -> None:
    local: Any = Local()
    local.language = "de"
    AsyncToSync.executors.current = object()
    context = copy_context()
    AsyncToSync.executors.current = None

    def seen() -> tuple[str, Any, bool]:
        has_context = SyncToAsync.thread_sensitive_context.get(None) is not None
        return local.language, AsyncToSync.executors.current, has_context

    with ThreadPoolExecutor(1) as elsewhere:
        moved = elsewhere.submit(threadpool.move, context, own_thread=True).result()
        assert elsewhere.submit(moved.run, seen).result() == ("de", None, True)


def test_an_insert_is_told_what_to_do_with_a_row_that_is_there() -> None:
    """What ``insert_missing()`` writes on MySQL, and ``bulk_create()`` does not offer for primary keys."""
    parameters = inspect.signature(InsertQuery).parameters
    assert {"on_conflict", "update_fields", "unique_fields"} <= set(parameters)
    assert list(inspect.signature(InsertQuery.insert_values).parameters)[1:3] == ["fields", "objs"]


def test_django_says_whether_it_is_set_up_for_tests() -> None:
    assert threadpool.in_tests()
    teardown_test_environment()
    try:
        assert not threadpool.in_tests()
    finally:
        setup_test_environment()


def test_a_block_says_whether_it_is_a_test_cases() -> None:
    assert transaction.atomic()._from_testcase is False  # type: ignore[attr-defined]


@pytest.mark.django_db(transaction=True)
def test_a_projects_own_transaction_is_no_test_cases() -> None:
    with transaction.atomic():
        assert not threadpool.in_test_transaction()


class InATestCase(TestCase):
    """Django marks the blocks that it opens here."""

    def test_its_transaction_is_known(self) -> None:
        assert threadpool.in_test_transaction()
        with transaction.atomic():
            assert threadpool.in_test_transaction()


def test_a_handler_of_djangos_runs_an_asgi_request_through_a_synchronous_chain() -> None:
    assert list(inspect.signature(BaseHandler.load_middleware).parameters) == ["self", "is_async"]
    assert list(inspect.signature(BaseHandler.get_response).parameters) == ["self", "request"]
    assert list(inspect.signature(ASGIRequest.__init__).parameters) == [
        "self",
        "scope",
        "body_file",
    ]
    assert list(inspect.signature(get_script_prefix).parameters) == ["scope"]
    handler = BaseHandler()
    handler.load_middleware(is_async=False)
    assert not iscoroutinefunction(handler._middleware_chain)  # type: ignore[attr-defined]
