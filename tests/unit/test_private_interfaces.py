"""What the engine uses of Django's and asgiref's insides, each named: a release that changes one fails here and not in production."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from weakref import WeakKeyDictionary

import pytest
from asgiref.sync import SyncToAsync, iscoroutinefunction
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.db import transaction
from django.test import TestCase

from sse_notify.concurrency import threadpool


def test_asgiref_keeps_the_thread_of_a_context_where_it_is_looked_for() -> None:
    assert isinstance(SyncToAsync.context_to_thread_executor, WeakKeyDictionary)
    assert isinstance(SyncToAsync.thread_sensitive_context, ContextVar)


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
