"""What is stored of runs: begun, continued, ended, read, pruned.

    begin      INSERT run; one goes on under a key, by a unique constraint
    append     INSERT part; its first number is unique in its run
    end        INSERT the last part, which nobody can continue; UPDATE the run's state
    read       SELECT parts after a number

So it takes one statement to append, and no lock, to be sure that nobody else writes: a writer that
was stopped or replaced finds that the number it would write is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from django.apps import apps
from django.db import DataError, IntegrityError, OperationalError, connections, router, transaction
from django.db.models import Max, Subquery
from django.db.models.expressions import OuterRef
from django.db.models.functions import Coalesce
from django.utils import timezone

from sse_notify.conf import get_settings
from sse_notify.contrib.runs.blocks import (
    Appended,
    after_number,
    encoded_ends,
    end_of,
    events_of,
    tell,
)
from sse_notify.contrib.runs.signals import run_ended
from sse_notify.contrib.runs.states import KEY_LENGTH, State
from sse_notify.inbox.marks import check_number
from sse_notify.sse.format import Event, clean, shown

#: Parts that one query reads.
PAGE = 32
#: Seconds that a run may be silent beyond ``stalls_after`` before another process ends it.
GRACE_SECONDS = 5.0
#: The largest limit of a run.
MOST = 2**31 - 1
#: Ended runs that one transaction deletes.
BATCH = 200
#: Attempts to end a run whose writer appends, and to begin one where another is. In a transaction
#: at a high isolation level, none may see what the other has written.
ATTEMPTS = 20
#: The error of MariaDB and MySQL for two that end a run at the same time: each holds its row.
DEADLOCK = 1213


class Plan(NamedTuple):
    """A run that is to be begun."""

    user: Any
    key: str
    replace: bool
    ends: dict[str, Any]
    limits: dict[str, Any]


def database() -> str:
    """Return the alias of the database that holds runs."""
    return router.db_for_write(_model("Run"))


def runs(**filters: Any) -> Any:
    """Return these runs."""
    return _model("Run").objects.using(database()).filter(**filters)


def parts_of(*pks: int) -> Any:
    """Return the parts of these runs."""
    return _model("Part").objects.using(database()).filter(run_id__in=pks)


def _model(name: str) -> Any:
    # The models have the methods that use this module.
    return apps.get_model("sse_notify_runs", name)


def plan(
    *,
    user: Any,
    key: Any,
    replace: bool = False,
    end: Event | str | None = None,
    ends: Mapping[str, Any] | None = None,
    max_bytes: int = 10 * 1024 * 1024,
    max_seconds: float = 3600.0,
    stalls_after: float = 120.0,
) -> Plan:
    """Return what is to be begun, checked.

    Raises:
        TypeError, ValueError: an argument is invalid. The message names it.
    """
    if getattr(user, "pk", None) is None:
        raise ValueError(f"user must be a saved user, not {shown(user)}.")
    if not isinstance(key, str) or not 0 < len(key) <= KEY_LENGTH or clean(key) != key:
        raise ValueError(f"key must be a text of 1 to {KEY_LENGTH} characters, not {shown(key)}.")
    check_number("max_bytes", max_bytes, 1, MOST, is_whole=True)
    check_number("max_seconds", max_seconds, 1, MOST)
    check_number("stalls_after", stalls_after, 1, MOST)
    if not isinstance(ends, (Mapping, type(None))):
        raise TypeError(f"ends must be a dict of states, not {shown(ends)}.")
    limits = {"max_bytes": max_bytes, "max_seconds": max_seconds, "stalls_after": stalls_after}
    return Plan(user, key, replace, encoded_ends(end, ends or {}), limits)


def begin(planned: Plan) -> tuple[Any, bool]:
    """Return the run that goes on under the key, and whether it is a new one."""
    using, user, key = database(), planned.user, planned.key
    in_block = transaction.get_connection(using).in_atomic_block
    unseen = 0
    while True:
        running = runs(user_id=user.pk, running_key=key).first()
        if running is not None and not (_may_be_stalled(running) and stalled(pk=running.pk)):
            unseen = 0
            if not planned.replace:
                running.user = user  # as loaded: a response asks no database
                return running, False
            finish(running.pk, State.STOPPED, "replaced")
        made = _model("Run")(user=user, key=key, running_key=key, ends=planned.ends)
        made.stalls_after = planned.limits["stalls_after"]
        try:
            with transaction.atomic(using) if in_block else nullcontext():  # else one statement
                made.save(using=using)
        except IntegrityError:  # another process has begun one at this moment, or the user is gone
            unseen += 1
            users = _model("Run")._meta.get_field("user").related_model._base_manager
            if unseen == ATTEMPTS or not users.using(using).filter(pk=user.pk).exists():
                raise
        else:
            return made, True


def append(parts: Sequence[Appended]) -> set[int]:
    """Store ``parts``, in one transaction, and tell readers. Return the runs that refused theirs.

    A run refuses a part, and all after it, if it has ended, was continued by another writer, or is
    gone.

    Raises:
        django.db.Error: the database failed. Nothing is stored.
    """
    using = database()
    refused: set[int] = set()
    try:
        with transaction.atomic(using):
            _insert(parts, using)
    except (IntegrityError, DataError):
        for part in parts:
            if part.run_id in refused:  # its number is free: the part before it is missing
                continue
            try:
                with transaction.atomic(using):
                    _insert([part], using)
            except (IntegrityError, DataError):
                refused.add(part.run_id)
    tell([part for part in parts if part.run_id not in refused])
    return refused


def finish(pk: int, state: State, reason: str = "") -> bool:
    """End a run, if it goes on, tell readers, and send :data:`run_ended`. Return whether it did.

    Raises:
        django.db.Error: the database failed. The run has not ended.
    """
    using = database()
    running = runs(pk=pk, state=State.RUNNING)
    for attempt in range(ATTEMPTS):
        if (run := running.first()) is None:
            break
        number = last_number(pk) + 1
        end = Appended(pk, number, number, end_of(run, state, reason, number), is_end=True)
        try:
            # In this order: a writer that appends at this moment holds its number, not the run.
            with transaction.atomic(using):
                _insert([end], using)
                ended = {"state": state, "reason": reason, "ended_at": timezone.now()}
                is_ours: bool = running.update(running_key=None, **ended) == 1
                if not is_ours:  # somebody has ended it since, and this end came behind that
                    transaction.set_rollback(True, using)  # noqa: FBT003
        except IntegrityError:  # a part came first, or another end
            if attempt + 1 == ATTEMPTS:
                raise
            continue
        except OperationalError as error:
            is_last = attempt + 1 == ATTEMPTS or connections[using].in_atomic_block
            if is_last or error.args[:1] != (DEADLOCK,):
                raise
            continue
        if is_ours:
            transaction.on_commit(partial(tell, [end]), using=using, robust=True)
            for name, value in ended.items():
                setattr(run, name, value)
            send = partial(run_ended.send_robust, type(run), run=run)
            transaction.on_commit(send, using=using, robust=True)
        return is_ours
    return False


def read(pk: int, after: int) -> tuple[bytes, int, bool, bool]:
    """Return blocks after a number, the number of the last, and whether they hold the end, or all.

    Raises:
        ObjectDoesNotExist: the run is gone.
    """
    parts = parts_of(pk).filter(last__gt=after).order_by("first")[:PAGE]
    found = list(parts.values_list("first", "last", "blocks", "is_end"))
    if not found:
        runs().only("pk").get(pk=pk)
        return b"", after, False, True
    chunk = b"".join(after_number(bytes(blocks), first, after) for first, _, blocks, _ in found)
    return chunk, found[-1][1], found[-1][3], len(found) < PAGE


def last_number(pk: int) -> int:
    """Return the number of the last stored event; 0 if there is none."""
    return parts_of(pk).aggregate(last=Max("last"))["last"] or 0


def stalled(**filters: Any) -> list[int]:
    """End those of the runs that are silent for too long, as if killed, and return them."""
    newest = _model("Part").objects.using(database()).filter(run=OuterRef("pk")).order_by("-first")
    heard = Coalesce(Subquery(newest.values("created_at")[:1]), "started_at")
    running = runs(state=State.RUNNING, **filters).annotate(heard=heard)
    now = timezone.now()
    silent = [
        pk
        for pk, after, since in running.values_list("pk", "stalls_after", "heard")
        if (now - since).total_seconds() > after + GRACE_SECONDS
    ]
    return [pk for pk in silent if finish(pk, State.STALLED)]


def _may_be_stalled(run: Any) -> bool:
    """Return whether a run is old enough to be silent for too long."""
    age = (timezone.now() - run.started_at).total_seconds()
    return bool(age > run.stalls_after + GRACE_SECONDS)


def prune(before: datetime | None = None) -> int:
    """Delete the runs that ended more than ``RUN_RETENTION`` minutes ago; return how many."""
    deleted = 0
    if before is None:
        before = timezone.now() - timedelta(minutes=get_settings().RUN_RETENTION)
    old = runs(ended_at__lt=before).exclude(state=State.RUNNING)
    while pks := list(old.values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic(database()):
            parts_of(*pks).delete()
            deleted += runs(pk__in=pks).delete()[0]
    return deleted


def events(pk: int) -> list[Event]:
    """Return the events of a run without its end."""
    parts = parts_of(pk).filter(is_end=False).order_by("first")
    return [
        event
        for stored in parts.values_list("blocks", flat=True)
        for event in events_of(bytes(stored))
    ]


def _insert(parts: Sequence[Appended], using: str) -> None:
    now = timezone.now()
    model = _model("Part")
    rows = [model(**part._asdict(), created_at=now) for part in parts]
    model.objects.using(using).bulk_create(rows)
