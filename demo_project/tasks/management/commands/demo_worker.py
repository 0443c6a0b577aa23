"""``manage.py demo_worker``: run the jobs of "Background tasks", and write answers of the chat."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import uuid
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.db import Error, close_old_connections, connections

from demo_project.chat.worker import work as write_answers
from demo_project.tasks.models import Job, State
from demo_project.tasks.worker import run

if TYPE_CHECKING:
    from argparse import ArgumentParser

logger = logging.getLogger(__name__)

#: Seconds between two queries for a job.
LOOK_SECONDS = 0.5
#: Seconds for the answers to end as interrupted.
STOP_SECONDS = 5.0


class Command(BaseCommand):
    """Works until a signal stops it. Unfinished jobs wait for the next worker.

    Unfinished answers end as ``interrupted``.
    """

    help = (
        "Work on the jobs and the chat's answers of the demo, several at once, until interrupted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options for the number of threads, and for when a worker counts as dead."""
        parser.add_argument("--threads", type=int, default=2, help="jobs at once; 2 by default")
        parser.add_argument(
            "--patience",
            type=float,
            default=10.0,
            help="seconds of silence after which another worker's job is begun again",
        )
        parser.add_argument(
            "--follow",
            type=int,
            metavar="PID",
            help="end with this process, which has started the worker",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Start the threads, and wait for a signal."""
        workers = [uuid.uuid4().hex for _ in range(options["threads"])]
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        for worker in workers:
            # The process ends them at any point: a result is written completely or not at all.
            threading.Thread(
                target=self._work, args=(worker, options["patience"], stop), daemon=True
            ).start()
        writing = threading.Thread(target=write_answers, args=(stop,), daemon=True)
        writing.start()
        self.stdout.write("The worker is ready.")
        self.stdout.flush()
        while not stop.wait(LOOK_SECONDS):
            if options["follow"] and os.getppid() != options["follow"]:
                break
        stop.set()
        with contextlib.suppress(Error):  # otherwise the job counts as stalled later
            Job.objects.filter(worker__in=workers, state=State.RUNNING).update(state=State.WAITING)
        connections.close_all()
        writing.join(STOP_SECONDS)

    def _work(self, worker: str, patience: float, stop: threading.Event) -> None:
        is_away = False
        while not stop.is_set():
            close_old_connections()
            try:
                job = Job.claim(worker, patience)
                is_away = False
            except Error as error:  # the database is down: log it once and try again
                if not is_away:
                    logger.warning("No job can be looked for: %s", error)
                job, is_away = None, True
            if job is None:
                stop.wait(LOOK_SECONDS)
                continue
            with contextlib.suppress(Exception):  # it is logged, and the page shows the failure
                run(job, patience=patience, hold=lambda: _hold(stop))


def _hold(stop: threading.Event) -> None:
    if stop.is_set():
        threading.Event().wait()  # the process ends this thread
