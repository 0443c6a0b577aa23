"""Child processes: started with their output in a file, awaited, and ended for certain by their process id."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Protocol

from tests.support import GUARD, ROOT

#: Seconds between two looks at a port that a process has not opened yet; the wait ends at once when the process does.
_PAUSE = 0.02
# Not the seeded one, which is the same in every process of a test run.
_random = random.SystemRandom()
_EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Child(Protocol):
    """What a started process can do: the methods of ``subprocess.Popen`` that are called here."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def poll(self) -> int | None:
        """Return its exit status, ``None`` while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status, once it has ended; ``subprocess.TimeoutExpired`` if it has not in time."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it runs."""


class ProcessFailed(Exception):
    """Raised when a process ended, or did not come up, against expectation. The message holds the end of its output."""


def free_port() -> int:
    """Return a TCP port of the loopback interface on which nothing listens now.

    It is none of those that the kernel gives to outgoing connections: while a server is away, one of a thousand clients that try to
    reach it would get the server's own port, connect to itself, and keep the server from coming back.
    """
    while True:
        port = _random.randrange(10_000, _first_ephemeral_port())
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _first_ephemeral_port() -> int:
    try:
        return max(int(_EPHEMERAL_PORTS.read_text().split()[0]), 12_000)
    except OSError:  # not Linux: they begin at 49152 (RFC 6335)
        return 49_152


class Process:
    """A child process.

    It may be started again after it has ended; its output is appended to the same file.
    """

    def __init__(
        self,
        args: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        user: tuple[int, int] | None = None,
    ) -> None:
        """Prepare the process; :meth:`start` starts it.

        Args:
            args: the program and its arguments.
            log: the file that gets what it prints.
            env: added to this process's environment.
            cwd: the folder to run in.
            user: the user and group ids to run as, if not this process's own.
        """
        self.args = [str(arg) for arg in args]
        self.log = log
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._cwd = cwd
        self._user = user
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The process id of the running, or the last, process."""
        if self._child is None:
            raise ProcessFailed("not started")
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(self, *, ready: Callable[[], bool] | None = None, timeout: float = GUARD) -> None:
        """Start the process, and wait until ``ready()`` is true.

        Raises:
            ProcessFailed: it ended instead, or is not ready after ``timeout`` seconds (then it is ended).
        """
        if self.is_running:
            return
        self._child = self._spawn()
        if ready is not None:
            self.until(ready, timeout)

    def _spawn(self) -> Child:
        uid, gid = self._user or (None, None)
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self.args,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
                start_new_session=True,  # a Ctrl-C in the terminal is for pytest, which then ends this process in order; see kill()
            )

    def wait(self, timeout: float = GUARD) -> int:
        """Return the exit status of the process, once it has ended (minus the signal's number if a signal ended it).

        Raises:
            ProcessFailed: it still runs after ``timeout`` seconds.
        """
        if self._child is None:
            raise ProcessFailed("not started")
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{self} still runs after {timeout} s:\n{self.tail()}") from None

    def signal(self, number: Signals) -> None:
        """Send a signal, if the process still runs."""
        if self._child is not None:
            self._child.send_signal(number)

    def stop(self, number: Signals = SIGTERM, *, timeout: float = GUARD) -> int | None:
        """End the process with ``number``, and with SIGKILL if that does not end it within ``timeout`` seconds.

        Returns:
            Its exit status, ``None`` if it was never started.
        """
        if self._child is None:
            return None
        self.signal(number)
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._child.wait()

    def kill(self) -> None:
        """End the process, and those that it started, with SIGKILL: they get no chance to tidy up."""
        if self.is_running:
            assert self._child is not None
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(self._child.pid, SIGKILL)  # it leads a group of its own, see start()
            self._child.wait()

    def output(self) -> str:
        """Return what the process has printed, in all its runs."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 60) -> str:
        """Return the last ``lines`` of the output, for a message that shall stay readable."""
        printed = self.output().splitlines()
        left_out = [f"... {len(printed) - lines} lines more above"] if len(printed) > lines else []
        return "\n".join([*left_out, *printed[-lines:]])

    def until(self, ready: Callable[[], bool], timeout: float = GUARD) -> None:
        """Wait until ``ready()`` is true.

        Raises:
            ProcessFailed: the process ended instead, or ``timeout`` seconds went by (then it is ended).
        """
        assert self._child is not None
        deadline = time.monotonic() + timeout
        while not ready():
            try:
                status = self._child.wait(_PAUSE)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                self.kill()
                raise ProcessFailed(
                    f"{self} is not ready after {timeout} s:\n{self.tail()}"
                ) from None
            raise ProcessFailed(f"{self} ended with status {status}:\n{self.tail()}")

    def __str__(self) -> str:
        return " ".join(self.args[:4])


def listens(port: int) -> bool:
    """Return whether a connection to ``port`` of the loopback interface is accepted now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False
