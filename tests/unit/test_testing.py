"""What ``sse_notify.testing`` gives to a project's own tests, used as a project would use it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction
from django.test import TestCase, TransactionTestCase

from sse_notify import abroadcast, anotify, apublish, broadcast, notify, recall, topic
from sse_notify.access.receivers import disconnect
from sse_notify.exceptions import HandshakeRefused
from sse_notify.inbox import marks
from sse_notify.testing import capture_notifications, open_stream


@topic("testing.<slug:name>")
def may_watch(user: User, name: str) -> bool:
    return name == user.username


class CaptureTests(TestCase):
    def setUp(self) -> None:
        self.alice = User.objects.create_user("alice")
        self.bob = User.objects.create_user("bob")

    def test_what_is_notified_in_the_block_is_captured_and_nothing_else(self) -> None:
        notify(self.alice, "before")
        with capture_notifications() as sent:
            notify(self.alice, "to alice")
            broadcast("to all")
            broadcast("to all but alice", exclude=[self.alice])
        notify(self.alice, "after")
        assert [row.title for row in sent] == ["to alice", "to all", "to all but alice"]
        assert [row.title for row in sent.to(self.alice)] == ["to alice", "to all"]
        assert [row.title for row in sent.to(self.bob)] == ["to all", "to all but alice"]

    def test_a_repeat_under_a_key_is_captured_and_one_of_an_idempotency_key_is_not(self) -> None:
        notify(self.alice, "1 order", key="orders")
        notify(self.alice, "once", idempotency_key="x")
        with capture_notifications() as sent:
            notify(self.alice, "2 orders", key="orders")
            notify(self.alice, "once", idempotency_key="x")
        assert [(row.title, row.count) for row in sent] == [("2 orders", 2)]

    def test_a_recall_sends_nothing_and_a_repeat_after_it_does(self) -> None:
        row = notify(self.alice, "1 order", key="orders")
        with capture_notifications() as sent:
            recall(row)
        assert sent == []
        notify(self.alice, "1 order", key="orders")
        with capture_notifications() as sent:
            recall(row)
            notify(self.alice, "another order", key="orders")
        assert [(row.title, row.count) for row in sent] == [("another order", 1)]

    def test_what_was_rolled_back_was_not_sent(self) -> None:
        with capture_notifications() as sent:
            with transaction.atomic():
                notify(self.alice, "never")
                transaction.set_rollback(True)
            notify(self.alice, "sent")
        assert [row.title for row in sent] == ["sent"]

    def test_an_error_in_the_block_is_the_tests_own(self) -> None:
        with pytest.raises(ZeroDivisionError), capture_notifications():
            raise ZeroDivisionError

    async def test_it_works_in_async_tests(self) -> None:
        async with capture_notifications() as sent:
            await anotify(self.alice, "Hello")
            assert [row.title async for row in sent] == ["Hello"]
        assert [row.title for row in sent] == ["Hello"]
        assert [row.title async for row in sent] == ["Hello"]

    async def test_it_does_not_pass_for_empty_in_async_code_that_does_not_await(self) -> None:
        async with capture_notifications() as sent:
            await anotify(self.alice, "Hello")
            with pytest.raises(SynchronousOnlyOperation):
                assert sent == []

    def test_everything_is_there_inside_the_block(self) -> None:
        with capture_notifications() as sent:
            assert not sent
            assert sent == []
            row = notify(self.alice, "one")
            assert sent == [row]
            assert sent != []
            assert (len(sent), sent[0], row in sent) == (1, row, True)
            broadcast("two", exclude=[self.alice])
            assert sent.titles == ["one", "two"]
            assert sent.to(self.alice).titles == ["one"]
            assert sent.to(self.bob).titles == ["two"]
            assert "one" in repr(sent)
        notify(self.alice, "after")
        assert sent.titles == ["one", "two"]

    def test_nothing_is_captured_of_a_block_that_raised(self) -> None:
        with suppress(ZeroDivisionError), capture_notifications() as sent:
            notify(self.alice, "Hello")
            raise ZeroDivisionError
        assert sent == []


@pytest.mark.parametrize("marked", [False, True], ids=["db", "transactional"])
def test_pytest_has_a_fixture_that_is_current(marked: bool, request: pytest.FixtureRequest) -> None:
    if marked:
        request.getfixturevalue("transactional_db")
    sent = request.getfixturevalue("sent_notifications")
    assert sent == []
    alice = User.objects.create_user("alice")
    notify(alice, "Hello")
    assert sent.to(alice).titles == ["Hello"]


class StreamTests(TestCase):
    """In a transaction that never commits: the hub's poll finds what no commit announces."""

    def setUp(self) -> None:
        self.alice = User.objects.create_user("alice")
        self.bob = User.objects.create_user("bob")

    async def test_a_notification_arrives_and_another_users_does_not(self) -> None:
        async with open_stream(self.alice) as stream:
            assert (await stream.next()).event == "hello"
            await anotify(self.bob, "for bob")
            row = await anotify(self.alice, "Hello\r\n\u2028", "World")
            received = await stream.next()
        assert received.event == "notification"
        assert (received.data["id"], received.data["title"]) == (row.pk, "Hello\r\n\u2028")
        assert received.id == received.data["seq"] == 2

    async def test_marks_arrive_as_updates_with_the_counts(self) -> None:
        row = await anotify(self.alice, "Hello")
        async with open_stream(self.alice) as stream:
            await marks.amark_read(self.alice, ids=[row.pk], client="tab")
            update = await stream.next("update")
        assert update.data == {
            "set": "read",
            "ids": [row.pk],
            "client": "tab",
            "state_seq": update.id,
            "unread": 0,
            "unseen": 0,
        }

    async def test_what_was_missed_is_replayed(self) -> None:
        async with open_stream(self.alice) as stream:
            await anotify(self.alice, "first")
            cursor = (await stream.next("notification")).id
        await anotify(self.alice, "missed")
        async with open_stream(self.alice, cursor=cursor) as stream:
            assert (await stream.next("notification")).data["title"] == "missed"

    async def test_topics_are_asked_for_and_refused_as_over_http(self) -> None:
        async with open_stream(self.alice, topics=["testing.alice"]) as stream:
            await apublish("testing.alice", "text: of\ntwo lines")
            received = await stream.next("testing.alice")
            await apublish("testing.alice", 1, event="named")
            named = await stream.next("named")
        assert (received.data, received.id, received.topic) == ("text: of\ntwo lines", None, None)
        assert (named.data, named.topic) == (1, "testing.alice")
        with pytest.raises(HandshakeRefused, match="may not"):
            await open_stream(self.alice, topics=["testing.bob"]).__aenter__()
        with pytest.raises(HandshakeRefused, match="Sign in"):
            await open_stream(AnonymousUser()).__aenter__()

    async def test_nothing_comes_is_a_timeout_and_not_a_hang(self) -> None:
        async with open_stream(self.alice, timeout=0.05) as stream:
            with pytest.raises(TimeoutError):
                await stream.next("notification")


class CommittingTests(TransactionTestCase):
    async def test_it_works_where_transactions_commit(self) -> None:
        alice = await User.objects.acreate(username="alice")
        async with open_stream(alice) as one, open_stream(alice) as other:
            await abroadcast("to all")
            assert (await one.next("notification")).data["title"] == "to all"
            assert (await other.next("notification")).data["title"] == "to all"

    async def test_the_end_of_a_stream_is_an_error_of_every_read_after_it(self) -> None:
        alice = await User.objects.acreate(username="alice")
        async with open_stream(alice) as stream:
            await sync_to_async(disconnect)(alice, reason="logout")
            assert (await stream.next("bye")).data == {"reason": "logout", "retry_after": None}
            for _ in range(2):
                with pytest.raises(EOFError):
                    await stream.next()
