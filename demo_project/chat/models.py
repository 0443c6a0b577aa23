"""Conversations and their messages. A run writes an answer; its row gets the text when it ends."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from sse_notify.contrib.runs import Run, State

#: States of an answer beside those of a run that has ended.
WAITING, RUNNING = "waiting", "running"


class Conversation(models.Model):
    """One conversation of a user."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        """The key of its runs."""
        return f"chat:{self.pk}"

    def read(self) -> list[Message]:
        """Return the messages, the oldest first. Answers whose run has ended are settled."""
        messages = list(self.messages.select_related("run").order_by("pk"))
        for message in messages:
            message.settle()
        return messages

    def stop(self) -> None:
        """Stop the answer that is being written, or that a worker has not begun."""
        self.messages.filter(state=WAITING).update(state=State.STOPPED)
        Run.stop(self.owner, self.key)

    def as_dict(self) -> dict[str, Any]:
        """Return what the page shows."""
        return {"pk": self.pk, "messages": [message.as_dict() for message in self.read()]}


class Message(models.Model):
    """A question, or the answer to the question before it."""

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    is_answer = models.BooleanField()
    #: Of an answer: what the runs before the current one have said.
    content = models.TextField(blank=True)
    links = models.JSONField(default=list)
    #: Of an answer: waiting for a worker, running, or how its last run has ended.
    state = models.CharField(max_length=20, blank=True)
    run = models.ForeignKey(Run, models.SET_NULL, null=True, related_name="+")
    #: The language that an answer is in, as a worker has no request.
    language = models.CharField(max_length=10, blank=True)

    class Meta:
        indexes = (models.Index(fields=["state"], name="demo_chat_to_do"),)

    def __str__(self) -> str:
        return self.content[:40]

    @property
    def is_on_its_way(self) -> bool:
        """Whether something is still to come."""
        return self.state in (WAITING, RUNNING)

    def settle(self) -> None:
        """If the run has ended, write what it has said and how it ended into this row."""
        if self.state != RUNNING or (self.run is not None and self.run.is_running):
            return
        mine = Message.objects.filter(pk=self.pk, state=RUNNING, run=self.run)
        if self.run is None:  # nobody has read it for so long that the run is gone
            self.state = State.STALLED
        else:
            sources = [event for event in self.run.events() if event.event == "sources"]
            self.links = [link for event in sources for link in json.loads(event.data)["links"]]
            self.content += self.run.text("text")
            self.state, self.run = self.run.state, None
        said = {"content": self.content, "links": self.links, "state": self.state, "run": None}
        if not mine.update(**said):  # another reader has done so, and it may go on already
            self.refresh_from_db()

    def as_dict(self) -> dict[str, Any]:
        """Return what the page shows. What the run says, the page reads from the run."""
        return {
            "pk": self.pk,
            "is_answer": self.is_answer,
            "content": self.content,
            "links": self.links,
            "state": self.state,
            "run": self.run_id,
        }
