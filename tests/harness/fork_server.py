"""A process that has imported the product, and becomes it in a fork of itself as often as it is asked.

    python -m harness.fork_server DESCRIPTOR

A watch takes some 0.6 s of a core to start, nearly all of it for imports; a row of the hard cases takes
less for all the rest. The fork runs the same code from its first line, with an environment, a folder, a
session and streams of its own. It ends as any interpreter does, but for the taking apart of every module:
in a fork that copies each page of memory, which is another 0.4 s.

What is asked comes over the socket: a line of JSON, with the descriptors of stdout, stderr and of the
pipe that gets the exit status. It ends when the socket is closed.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading

from pyrite_watch.server.page import _web_files

REQUEST_BYTES = 65_536

PRELOADED = (
    "anyio._backends._asyncio",
    "pyrite_watch.cli.address",
    "pyrite_watch.cli.app",
    "pyrite_watch.cli.doctor",
    "pyrite_watch.cli.explain",
    "pyrite_watch.cli.serve",
    "pyrite_watch.cli.server",
    "pyrite_watch.cli.status",
    "pyrite_watch.cli.sync",
    "pyrite_watch.cli.tail",
    "pyrite_watch.server.app",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
)


def serve(control: socket.socket) -> list[str] | None:
    """Fork on each request; returns the arguments in the fork, None where nobody asks any more."""
    statuses: dict[int, int] = {}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    while True:
        ready, _, _ = select.select([control.fileno(), reader], [], [])
        if reader in ready:
            os.read(reader, REQUEST_BYTES)
            reap(statuses)
        if control.fileno() not in ready:
            continue
        request, descriptors, _, _ = socket.recv_fds(control, REQUEST_BYTES, 3)
        if not request:
            return None
        asked = json.loads(request)
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (reader, writer, *statuses.values()):
                os.close(descriptor)
            control.close()
            become(asked["environment"], asked["folder"], descriptors)
            return list(asked["arguments"])
        *streams, statuses[child] = descriptors
        for descriptor in streams:
            os.close(descriptor)
        control.send(json.dumps(child).encode())


def reap(statuses: dict[int, int]) -> None:
    """Tell of each that has ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pipe = statuses.pop(ended[0])
            os.write(pipe, json.dumps(os.waitstatus_to_exitcode(ended[1])).encode())
            os.close(pipe)


def become(environment: dict[str, str], folder: str, descriptors: list[int]) -> None:
    """Be what `Popen` would have started: session, folder, environment, streams."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    stdout, stderr, status = descriptors
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, stream in ((nothing, 0), (stdout, 1), (stderr, 2)):
        os.dup2(descriptor, stream)
        os.close(descriptor)
    os.close(status)
    # Those of the server believe that they write to a file.
    sys.stdout = _text(1, "strict", 1 << 13)
    sys.stderr = _text(2, "backslashreplace", 1)


def _text(descriptor: int, errors: str, buffering: int) -> io.TextIOWrapper:
    return open(descriptor, "w", buffering, "utf-8", errors, closefd=False)


def main() -> None:
    """Import, serve, and be the product in each fork."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in PRELOADED:
        importlib.import_module(name)
    _web_files()  # the page's files are read, and trimmed, once
    gc.freeze()  # a collection in a fork would copy the pages of all of these
    arguments = serve(control)
    if arguments is not None:
        run(arguments)


def run(arguments: list[str]) -> None:
    """Be `pyrite`, to the end of the process."""
    sys.argv = ["pyrite", *arguments]
    code = 0
    try:
        runpy.run_module("pyrite_watch", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    # The interpreter's own last steps, in its order; what is left out is taking the modules apart.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
