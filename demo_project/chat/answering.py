"""Ask, and have the answer written: by a run of this process, or by a worker's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import get_language

from demo_project.chat import documentation, model
from demo_project.chat.history import turns
from demo_project.chat.models import RUNNING, WAITING, Conversation, Message
from demo_project.chat.topics import changed
from sse_notify.contrib.runs import Run, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: How an answer may have ended that can go on.
UNFINISHED = (State.STOPPED, State.FAILED, State.STALLED, State.INTERRUPTED)


class Busy(Exception):
    """Raised when an answer is on its way, or there is none to go on with."""


def ask(conversation: Conversation, content: str, *, in_worker: bool) -> None:
    """Add a question to a conversation, and begin its answer.

    Raises:
        Busy: the answer to the last question is on its way.
    """
    with transaction.atomic():
        messages = _locked(conversation)
        if messages and messages[-1].is_on_its_way:
            raise Busy
        conversation.messages.create(is_answer=False, content=content)
        answer = Message(conversation=conversation, is_answer=True, language=get_language() or "en")
        _begin(answer, in_worker=in_worker)
    changed(conversation.owner_id)


def go_on(conversation: Conversation, *, in_worker: bool) -> None:
    """Begin the last answer again, with what is there so far.

    Raises:
        Busy: it is on its way, or complete.
    """
    with transaction.atomic():
        messages = _locked(conversation)
        if not messages or messages[-1].state not in UNFINISHED:
            raise Busy
        _begin(messages[-1], in_worker=in_worker)
    changed(conversation.owner_id)


def words(answer: Message) -> AsyncIterator[Any]:
    """Return what is still to be said of an answer, word by word. It queries the database."""
    before = turns(answer.conversation.messages.filter(pk__lt=answer.pk).order_by("pk"))
    if model.is_there():
        return model.answer(before, said=answer.content)
    return documentation.answer(before, said=answer.content, language=answer.language)


def options(conversation: Conversation) -> dict[str, Any]:
    """Return the options of the run that writes an answer."""
    return {
        "user": conversation.owner,
        "key": conversation.key,
        "stalls_after": settings.CHAT_STALLS_AFTER,
    }


def _begin(answer: Message, *, in_worker: bool) -> None:
    answer.state = WAITING  # demo_project.chat.worker looks for it
    answer.save()
    if not in_worker:
        # No answer is on its way: what may run under the key is left over from one that was stopped.
        answer.run = Run.start(words(answer), replace=True, **options(answer.conversation))
        answer.state = RUNNING
        answer.save()


def _locked(conversation: Conversation) -> list[Message]:
    """Return the messages, while no other request begins an answer."""
    Conversation.objects.select_for_update().get(pk=conversation.pk)
    return conversation.read()
