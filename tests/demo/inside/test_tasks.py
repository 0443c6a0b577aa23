"""Background tasks: real work in rows that workers share, and what their owner sees of it."""

from __future__ import annotations

import asyncio
import csv
import io
import struct
import zlib
from datetime import timedelta
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from demo_project.tasks import relay, views, work, worker
from demo_project.tasks.models import Job, Kind, Package, State, progress_of
from demo_project.tasks.topics import topic_of
from sse_notify import ProgressFailed
from sse_notify.models import Notification
from sse_notify.progress.store import cancel as cancel_work
from sse_notify.testing import open_stream
from tests.support import GUARD
from tests.support.readers import is_allowed

PATIENCE = 10.0


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files of Python, one of them broken."""
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("# a comment\nclass A:\n    def f(self):\n        return 1\n")
    bad.write_text("def (\n")
    return [good, bad]


def _job(owner: User, **values: object) -> Job:
    return Job.objects.create(owner=owner, package=Package.OURS, **values)


def _run(job: Job) -> None:
    worker.run(job, patience=PATIENCE, hold=lambda: None)


def _claimed(name: str = "a worker", patience: float = PATIENCE) -> Job:
    job = Job.claim(name, patience)
    assert job is not None
    return job


# --- the work ---


def test_a_survey_has_a_row_for_each_file(files: list[Path]) -> None:
    seen: list[Path] = []
    rows = list(csv.DictReader(io.StringIO(work.survey(files, seen.append).decode())))
    assert seen == files
    assert [(row["lines"], row["functions"], row["classes"]) for row in rows] == [
        ("4", "1", "1"),
        ("1", "0", "0"),
    ]
    assert rows[0]["file"].endswith("good.py")
    assert len(rows[0]["sha256"]) == 64


def test_a_picture_has_a_row_of_pixels_for_each_line(files: list[Path]) -> None:
    png = work.picture(files, lambda path: None)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (
            zlib.crc32(kind + content),
        )
        chunks[kind] = content
        at += 12 + length
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (rest, list(chunks)[-1]) == ([8, 0, 0, 0, 0], b"IEND")
    pixels = zlib.decompress(chunks[b"IDAT"])
    assert len(pixels) == (width + 1) * height
    lines = [pixels[n * (width + 1) + 1 : (n + 1) * (width + 1)] for n in range(6)]
    assert [len(set(line)) for line in lines] == [
        2,
        2,
        2,
        2,
        2,
        1,
    ]  # five lines of ink on paper, and none below
    assert min(lines[0]) > min(lines[1])  # a comment is paler


def test_there_is_source_code_of_each_package_to_work_on() -> None:
    for package in Package.values:
        found = work.files_of(package)
        assert len(found) > 50
        assert found == sorted(found)
    with pytest.raises(ValueError, match="no_such_package"):
        work.files_of("no_such_package")


# --- workers ---


def test_a_job_is_one_workers_and_the_oldest_comes_first(alice: User) -> None:
    first, second = _job(alice), _job(alice)
    assert [_claimed("one").pk, _claimed("two").pk] == [first.pk, second.pk]
    assert Job.claim("three", PATIENCE) is None
    first.refresh_from_db()
    assert (first.state, first.worker, first.attempts) == (State.RUNNING, "one", 1)


def test_the_job_of_a_dead_worker_is_begun_again_and_is_lost_to_it(alice: User) -> None:
    _job(alice)
    dead = _claimed("dead")
    assert Job.claim("next", PATIENCE) is None
    Job.objects.update(alive_at=timezone.now() - timedelta(seconds=PATIENCE + 1))
    again = _claimed("next")
    assert (again.pk, again.attempts) == (dead.pk, 2)
    # It was not dead after all.
    dead.alive_at = None
    with pytest.raises(ProgressFailed, match="Another worker"):
        _run(dead)
    assert not dead.end(State.DONE, b"late")
    again.refresh_from_db()
    assert (again.state, again.worker, again.result) == (State.RUNNING, "next", None)
    _run(again)
    again.refresh_from_db()
    assert again.state == State.DONE


@pytest.mark.parametrize("kind", Kind.values)
def test_a_job_that_is_done_has_a_result_and_the_bell_leads_to_it(
    kind: str, alice: User, page: Client
) -> None:
    job = _job(alice, kind=kind)
    _run(_claimed())
    job.refresh_from_db()
    assert job.state == State.DONE
    item = Notification.objects.get(key=job.key)
    assert (item.url, item.silent) == (reverse("tasks:result", args=[job.pk]), False)
    assert progress_of([job])[job.key]["state"] == "done"
    answer = page.get(item.url)
    assert answer.content == bytes(job.result or b"") != b""
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_who_cancels_a_job_ends_the_work(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    job = _job(alice)

    def endless(files: list[Path], each: work.Each) -> bytes:
        each(files[0])
        cancel_work(alice, ids=[progress_of([job])[job.key]["id"]])
        while True:  # until it hears of it, half a second later at most
            each(files[0])

    monkeypatch.setitem(worker._WORK, Kind.SURVEY, endless)
    _run(_claimed())
    job.refresh_from_db()
    assert (job.state, job.result) == (State.CANCELLED, None)
    assert progress_of([job])[job.key]["state"] == "cancelled"


def test_what_its_owner_has_cancelled_while_its_worker_was_dead_is_not_begun_again(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: object) -> bytes:
        raise KeyboardInterrupt

    job = _job(alice)
    monkeypatch.setitem(worker._WORK, Kind.SURVEY, die)
    with pytest.raises(KeyboardInterrupt):
        _run(_claimed())
    Notification.objects.filter(key=job.key).update(progress_state={"state": "cancelled"})
    Job.objects.update(state=State.WAITING)
    _run(_claimed())
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_a_job_that_fails_says_so_and_one_that_kills_its_workers_is_given_up(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> bytes:
        raise OSError("the disk is full of secrets")

    job = _job(alice)
    monkeypatch.setitem(worker._WORK, Kind.SURVEY, fail)
    with pytest.raises(OSError, match="disk"):
        _run(_claimed())
    job.refresh_from_db()
    assert job.state == State.FAILED
    progress = progress_of([job])[job.key]
    assert progress["state"] == "failed"
    assert "secrets" not in progress["message"]
    Job.objects.update(state=State.WAITING, attempts=worker.ATTEMPTS)
    with pytest.raises(ProgressFailed):
        _run(_claimed())
    assert "Given up" in progress_of([job])[job.key]["message"]


# --- the page ---


def test_jobs_are_started_by_the_form_and_only_so_many(page: Client, alice: User) -> None:
    form = {"kind": "survey", "package": "django", "number": "6"}
    assert page.post(reverse("tasks:start"), form).status_code == 302
    assert (
        "enough going on" in page.post(reverse("tasks:start"), form, follow=True).content.decode()
    )
    assert alice.jobs.count() == views.AT_ONCE
    text = page.post(reverse("tasks:start"), {**form, "package": "../../etc"}).content.decode()
    assert 'class="errorlist"' in text
    assert alice.jobs.count() == views.AT_ONCE
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(reverse("tasks:start"), form).status_code == 403


def test_the_oldest_jobs_are_dropped(page: Client, alice: User) -> None:
    for _ in range(views.SHOWN + 3):
        _job(alice, state=State.DONE)
    page.post(reverse("tasks:start"), {"kind": "survey", "package": "django", "number": "1"})
    assert alice.jobs.count() == views.SHOWN
    assert alice.jobs.filter(state=State.WAITING).exists()


def test_nobody_sees_ends_or_reads_anothers_job(
    page: Client, alice: User, people: dict[str, User], client: Client
) -> None:
    waiting, done = _job(alice), _job(alice, state=State.DONE, result=b"file\n")
    client.force_login(people["bob"])
    assert client.get(reverse("tasks:result", args=[done.pk])).status_code == 404
    assert client.get(reverse("tasks:states")).json() == {"jobs": []}
    client.post(reverse("tasks:cancel", args=[waiting.pk]))
    assert page.get(reverse("tasks:result", args=[waiting.pk])).status_code == 404
    waiting.refresh_from_db()
    assert waiting.state == State.WAITING
    assert is_allowed(alice, topic_of(alice.pk))
    assert not is_allowed(people["bob"], topic_of(alice.pk))


def test_one_that_waits_is_cancelled_by_its_row_and_one_that_runs_by_its_notification(
    page: Client, alice: User
) -> None:
    waiting, running = _job(alice), _job(alice, state=State.RUNNING, worker="a worker")
    told = {
        "state": "running",
        "percent": 40,
        "eta": 7,
        "message": "x.py",
        "id": 5,
        "cancellable": True,
    }
    assert waiting.as_dict({})["cancel"] == reverse("tasks:cancel", args=[waiting.pk])
    shown = running.as_dict(told)
    assert (shown["cancel"], shown["notification"], shown["percent"], shown["eta"]) == (
        reverse("sse_notify:cancel"),
        5,
        40,
        7,
    )
    stalled = running.as_dict({**told, "state": "stalled"})
    assert (stalled["state"], stalled["label"], stalled["eta"]) == ("stalled", "Stalled", None)
    assert stalled["cancel"] == shown["cancel"]
    page.post(reverse("tasks:cancel", args=[waiting.pk]))
    waiting.refresh_from_db()
    assert waiting.state == State.CANCELLED
    assert waiting.as_dict({})["cancel"] == ""


# --- live ---


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_what_a_worker_in_another_process_writes_reaches_the_page_while_it_is_open(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "LOOK_SECONDS", 0.01)
    told = {"key": "job:7", "state": "running", "percent": 40}
    rows = [(alice.pk, "job:7", told)]
    monkeypatch.setattr(relay, "running", lambda owners: [row for row in rows if row[0] in owners])
    async with asyncio.timeout(GUARD):
        async with open_stream(alice, topics=[topic_of(alice.pk)]) as stream:
            assert (await stream.next("progress")).data == told
            rows[:] = [(alice.pk, "job:7", {**told, "percent": 50})]
            assert (await stream.next("progress")).data["percent"] == 50
            (task,) = relay._running
        await task
        assert relay.watched == set()
        # Somebody who does not watch jobs starts nothing.
        async with open_stream(alice):
            assert relay._running == [task]


@pytest.mark.django_db(transaction=True)
def test_what_the_relay_tells_is_what_the_rows_say(alice: User) -> None:
    job = _job(alice)
    _run(_claimed())
    assert relay.running([alice.pk]) == []
    Job.objects.update(state=State.RUNNING)
    ((owner, key, progress),) = relay.running([alice.pk])
    assert (owner, key, progress["state"]) == (alice.pk, job.key, "done")
    assert relay.running([]) == []


@pytest.mark.asyncio
async def test_with_redis_nothing_is_relayed(
    settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        settings,
        "CHANNEL_LAYERS",
        {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}},
    )
    await sync_to_async(relay.somebody_came)(user_id=1, topics=(topic_of(1),))
    assert relay.watched == set()
