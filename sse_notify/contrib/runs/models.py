"""``Run`` and its parts: what the database knows of work that has a stream of its own.

    Run ─┬─ Part 1..32 ─┬─ Part 33..40 ─┬─ Part 41, the end
         └ state         └ blocks of SSE  └ made by whoever ends the run

A part is only ever added. The number of its first event is unique within the run, so only one
writer can continue it, and none after its end: see `sse_notify.contrib.runs.storing`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any, ClassVar, TypedDict, Unpack

from django.conf import settings  # noqa: TID251  (AUTH_USER_MODEL is Django's)
from django.db import models
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sse_notify.concurrency.threadpool import twin
from sse_notify.contrib.runs import driving, responding, storing, writing
from sse_notify.contrib.runs.blocks import text_of
from sse_notify.contrib.runs.opening import Opened
from sse_notify.contrib.runs.states import KEY_LENGTH, State
from sse_notify.models.fields import ExactCharField
from sse_notify.sse.format import Event


class Options(TypedDict, total=False):
    """The options of :meth:`Run.start` and :meth:`Run.open`, which are explained there."""

    replace: bool
    end: Event | str | None
    ends: Mapping[str, Any]
    max_bytes: int
    max_seconds: float
    stalls_after: float


class RunQuerySet(models.QuerySet["Run"]):
    """A queryset of runs."""

    def active_for(self, user: Any) -> RunQuerySet:
        """Return the runs of ``user`` that go on, for a page that was opened anew, newest first."""
        return self.filter(user_id=user.pk, state=State.RUNNING).order_by("-pk")


class Run(models.Model):
    """Work of one user with a stream of its own, which goes on without its client.

    Its events are in the database before anybody gets them. So a page that was reloaded, a second
    tab and a client that lost its connection read all of them, from any process, and then go on
    live. :meth:`start` drives an iterator in this process; :meth:`open` is for a worker that writes
    the events itself.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = ExactCharField(max_length=KEY_LENGTH)
    running_key = ExactCharField(max_length=KEY_LENGTH, null=True, editable=False)
    state = models.CharField(max_length=20, choices=State.choices, default=State.RUNNING)
    reason = models.CharField(max_length=100, blank=True)
    ends = models.JSONField(default=dict, editable=False)
    stalls_after = models.FloatField(default=120.0)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = RunQuerySet.as_manager()

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                fields=["user", "running_key"], name="sse_notify_runs_one_running"
            )
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["user", "key", "id"], name="sse_notify_runs_by_key"),
            models.Index(fields=["state", "ended_at"], name="sse_notify_runs_by_state"),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.get_state_display()})"

    @property
    def is_running(self) -> bool:
        """Whether the run went on when this row was read."""
        return self.state == State.RUNNING

    # --- the writer's side ---

    @classmethod
    def start(
        cls,
        source: AsyncIterable[Any] | Iterable[Any],
        *,
        user: Any,
        key: str,
        **options: Unpack[Options],
    ) -> Run:
        """Start a run that this process drives, after the commit of the current transaction.

        If a run of this user goes on under ``key``, return that one, and leave ``source`` alone: a
        double click starts one.

        The iterator goes on when the request has ended and its client has left. It has the
        language, the time zone and the context variables of the caller. A sync iterator runs in a
        thread of its own. An async one runs on the server's event loop, under
        :class:`sse_notify.asgi.app.EventStreams`, and elsewhere on one that all runs of the process
        share. When the run ends early, the iterator is closed: a ``CancelledError`` is raised where
        an async one waits; a sync one is closed after its next event.

        Args:
            source: yields :class:`sse_notify.Event` without an id, text, or a JSON value.
            user: the owner, a saved user.
            key: the name of the run among those of its user, such as ``"chat:7"``.
            options: all optional.

                - ``replace``: whether to stop a run that goes on under ``key``, and to start this
                  one. What the other still writes is refused.
                - ``end``: the last event of a run that is done, such as ``"[DONE]"``. ``None``: an
                  event ``done``.
                - ``ends``: the last events of runs that end otherwise, by state: ``failed``,
                  ``stopped``, ``stalled``, ``interrupted``. By default, events of these names.
                - ``max_bytes``: the size of all events, 10 MiB by default. Beyond it, the run
                  fails.
                - ``max_seconds``: the time in all, an hour by default. Beyond it, the run fails.
                - ``stalls_after``: seconds without an event after which the run counts as stalled,
                  120 by default.

        Returns:
            The run. If the process shuts down, it is interrupted at once.

        Raises:
            TypeError, ValueError: an argument is invalid. The message names it. Nothing is started.
            RuntimeError: an async iterator in a worker of gevent.
        """
        run: Run = driving.start(source, user=user, key=key, **options)
        return run

    @classmethod
    def open(cls, *, user: Any, key: str, **options: Unpack[Options]) -> Opened:
        """Return a context manager for work that writes its events itself, in a worker or a thread.

        ::

            with Run.open(user=user, key="chat:7") as run:
                for word in model.answer(question):
                    run.write({"word": word})

        ``async with`` works as well, with ``await run.awrite(...)``. At the end of the block, the
        run is done; after an exception, it has failed. Once the run was stopped, :meth:`write`
        raises :class:`RunEnded`, which ends the block and does not propagate past it. An ``async
        with`` block is also cancelled where it waits. The arguments are those of :meth:`start`.

        Raises:
            TypeError, ValueError: an argument is invalid. The message names it.
            RunExists: on entering: a run goes on under ``key``, and ``replace`` is false.
            RuntimeError: on entering: a transaction is open.
        """
        return Opened(user=user, key=key, **options)

    def write(self, item: Any) -> None:
        """Add an event, inside of :meth:`open`. Wait while many are not stored yet.

        Raises:
            RunEnded: the run was stopped, replaced, or has ended in another way.
            TypeError, ValueError: the event cannot be sent.
            RuntimeError: the run was not opened here.
        """
        self._writing().write(item)

    async def awrite(self, item: Any) -> None:
        """Do what :meth:`write` does, from async code."""
        await self._writing().awrite(item)

    def _writing(self) -> Any:
        feed = self.__dict__.get("_feed")
        if feed is None:
            raise RuntimeError("Write inside of 'with Run.open(...) as run:'.")
        return feed

    @classmethod
    def stop(cls, user: Any, key: str) -> bool:
        """Stop the run of ``user`` that goes on under ``key``, wherever it is driven.

        In a transaction, it is stopped after the commit.

        Its iterator is closed within a second, and readers get the end at once.

        Returns:
            Whether there was one.
        """
        return writing.stop(user, key)

    # --- the readers' side ---

    def response(
        self, user: Any = None, *, can_read: Callable[[Any, Run], bool] | None = None
    ) -> HttpResponseBase:
        """Return the stream of this run, from its beginning, then live.

        Args:
            user: who reads it. ``None``: its owner. The stream ends with this user's session.
            can_read: as for :meth:`response_for`.
        """
        return responding.respond(self, user or self.user, can_read=can_read)

    @classmethod
    def response_for(
        cls,
        request: HttpRequest,
        key: str,
        *,
        owner: Any = None,
        can_read: Callable[[Any, Run], bool] | None = None,
    ) -> HttpResponseBase:
        """Return the stream of the newest run under ``key``, after what the client has.

        That is what ``Last-Event-ID`` says, or ``?after=``: the id of an event, or its number. A
        client that has read another run of the key gets the rest of that one first.

        Args:
            request: the request of the reader.
            key: the name of the run among those of its owner.
            owner: whose run it is. ``None``: that of the request's user.
            can_read: called with the user and the run if the user is not its owner; whether the
                user may read it. It is called in a thread: when the stream opens, whenever it reads
                the database, and in each ``RECHECK_INTERVAL``. ``None``: only the owner may.

        Returns:
            The stream; 204 without a body if there is nothing (more) to read, or the user may not
            read it; 400 if what the client says it has is malformed.
        """
        return responding.respond_for(request, key, owner=owner, can_read=can_read)

    def events(self) -> list[Event]:
        """Return the events that the run has written so far, without its end."""
        return storing.events(self.pk)

    def text(self, field: str | None = None) -> str:
        """Return the text of all events so far, joined, for the project's own tables.

        Args:
            field: the key of the text in events that are JSON objects, such as ``"word"``; events
                without it add nothing. ``None``: the data of events without a name, as sent.
        """
        return text_of(storing.events(self.pk), field)

    astart = classmethod(twin(start.__func__))  # type: ignore[attr-defined]
    astop = classmethod(twin(stop.__func__))  # type: ignore[attr-defined]
    aresponse_for = classmethod(twin(response_for.__func__))  # type: ignore[attr-defined]
    aevents = twin(events)
    atext = twin(text)


class Part(models.Model):
    """Some events of a run, in a row. Written once."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="parts")
    first = models.PositiveIntegerField()
    last = models.PositiveIntegerField()
    blocks = models.BinaryField()
    is_end = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["run", "first"], name="sse_notify_runs_one_writer")
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.first} to {self.last}"
