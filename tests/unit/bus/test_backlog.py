"""What waits for the channel layer: bounded by bytes, the newest last."""

from __future__ import annotations

import pytest

from sse_notify.bus import backlog
from sse_notify.bus.backlog import Backlog
from sse_notify.bus.messages import Batch, Entry, Ephemeral, Message, PresenceQuery, Revocation


def rest(waiting: Backlog) -> list[Message]:
    return [waiting.take() for _ in range(len(waiting))]


def test_many_small_messages_wait_in_order() -> None:
    waiting = Backlog()
    sent: list[Message] = [Ephemeral("wall", b"%d" % number) for number in range(20_000)]
    assert sum(map(waiting.put, sent)) == 0
    assert rest(waiting) == sent


LARGE = {
    "ephemeral": Ephemeral("wall", b"x" * 5000),
    "batch": Batch(1, 2, (Entry(1, "wall", b"x" * 2500), Entry(2, "wall", b"x" * 2500))),
    "excluded users": Batch(1, 1, (Entry(1, "wall", b"", frozenset(map(str, range(1000, 2250)))),)),
    "many entries": Batch(1, 25, tuple(Entry(seq, "wall", b"") for seq in range(1, 26))),
    "revocation": Revocation(topics=tuple(f"user:{n:05}" for n in range(500)), end="x"),
    "users": Revocation(users={f"user:{number:05}": "" for number in range(500)}, again=True),
}


@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE)
def test_what_exceeds_the_bytes_makes_the_oldest_go(
    monkeypatch: pytest.MonkeyPatch, large: Message
) -> None:
    monkeypatch.setattr(backlog, "BACKLOG_BYTES", 10_000)
    waiting = Backlog()
    small = [PresenceQuery(f"replies.{number}") for number in range(10)]
    assert sum(map(waiting.put, small)) == 0
    assert waiting.put(large) == 0
    assert waiting.put(Ephemeral("wall", b"x" * 4000)) > 0
    assert rest(waiting)[-2:] == [large, Ephemeral("wall", b"x" * 4000)]
    assert waiting.put(large) == 0, "what left takes no room"


def test_one_message_waits_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "BACKLOG_BYTES", 10_000)
    waiting = Backlog()
    huge = Ephemeral("wall", b"x" * 20_000)
    assert [waiting.put(huge), waiting.put(huge)] == [0, 1]
    assert rest(waiting) == [huge]


def test_joined_revocations_take_the_room_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "BACKLOG_BYTES", 10_000)
    waiting = Backlog()
    for _ in range(1000):
        assert waiting.put(Revocation(topics=("user:5",))) == 0
    assert rest(waiting) == [Revocation(topics=("user:5",))]


@pytest.mark.parametrize("between", [[], [Revocation(users={"user:6": "a"})]])
@pytest.mark.parametrize(
    ("looks", "is_asked"), [("aa", False), ("ab", True), ("aba", True), ("bab", True)]
)
def test_a_user_who_was_saved_with_several_fingerprints_is_decided_again(
    looks: str, is_asked: bool, between: list[Message]
) -> None:
    """Two saves may be told in another order than they were committed in, so no fingerprint is the last."""
    waiting = Backlog()
    for each in looks:
        waiting.put(Revocation(users={"user:5": each}))
        for message in between:
            waiting.put(message)
    (joined,) = rest(waiting)
    assert isinstance(joined, Revocation)
    assert ("user:5" in joined.topics) == is_asked
    assert "user:6" not in joined.topics
