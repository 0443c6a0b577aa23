"""Runs one server on a listening socket that the parent made, pinned to one core. A process of its own."""

from __future__ import annotations

import argparse
import os
import resource
import socket


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", choices=["uvicorn", "daphne"], required=True)
    parser.add_argument("--app", required=True, help="module:attribute")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    parser.add_argument("--core", type=int, default=None)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.server == "uvicorn":
        _uvicorn(options.app, options.fd)
    else:
        _daphne(options.app, options.fd)


def _uvicorn(app: str, fd: int) -> None:
    import uvicorn  # noqa: PLC0415 - only the server that is asked for is loaded: its memory is measured

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        loop="uvloop",
        http="httptools",
        backlog=4096,
    )
    # Given the socket, not its number: uvicorn would take a number for a Unix socket, and leave TCP_NODELAY unset.
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd)])


def _daphne(app: str, fd: int) -> None:
    from daphne.cli import CommandLineInterface  # noqa: PLC0415 - see above

    CommandLineInterface().run(["--fd", str(fd), "-v", "0", app])


if __name__ == "__main__":
    main()
