"""Starts watches as forks of a process that has imported the product already (see `fork_server`).

PYRITE_TEST_FRESH=1 starts a fresh interpreter for each instead, as Windows does.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.isolation import REPOSITORY, isolated_environment

CAN_FORK = hasattr(os, "fork") and not os.environ.get("PYRITE_TEST_FRESH")


class Forked:
    """One that was started: as much of `subprocess.Popen` as is wanted of it."""

    def __init__(self, pid: int, status: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self._status = status
        self._code: int | None = None
        self._lock = threading.Lock()
        self.stdout = os.fdopen(stdout, encoding="utf-8", errors="replace")
        self.stderr = os.fdopen(stderr, encoding="utf-8", errors="replace")

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._wait(0)

    def wait(self, timeout: float) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: It runs still.
        """
        code = self._wait(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("pyrite watch", timeout)
        return code

    def _wait(self, timeout_s: float) -> int | None:
        with self._lock:
            if self._code is None and select.select([self._status], [], [], timeout_s)[0]:
                told = os.read(self._status, 64)
                os.close(self._status)
                assert told, "the fork server has died"
                self._code = int(json.loads(told))
            return self._code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkServer:
    """The process that forks; one for all tests of a test process. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.fork_server", str(other.fileno())],
                # Not where the caller happens to be: that may be a folder which is taken away.
                cwd=REPOSITORY,
                env=isolated_environment(
                    REPOSITORY, {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])}
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,
            )
        atexit.register(self.close)

    def start(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Forked:
        """Run `pyrite` with these arguments."""
        pipes = [os.pipe() for _ in range(3)]
        (stdout, told), (stderr, complained), (status, ended) = pipes
        request = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        with self._lock:
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], [told, complained, ended])
            finally:
                for descriptor in (told, complained, ended):
                    os.close(descriptor)
            answer = self._control.recv(64)
        assert answer, "the fork server has died"
        return Forked(int(json.loads(answer)), status, stdout, stderr)

    def close(self) -> None:
        """End it; what it started runs on."""
        self._control.close()
        self._process.wait(10)


@functools.cache
def fork_server() -> ForkServer:
    """The one of this process."""
    return ForkServer()
