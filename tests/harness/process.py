"""The product as a process of its own: start it, read what it prints, stop it, always with a deadline.

The environment is isolated: HOME and the XDG folders lie in the test's own folder, no PYRITE_* variable
of the user gets in. stdout and stderr are read by a thread each, so a full pipe never blocks the product.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from harness.forks import CAN_FORK, Forked, fork_server
from harness.isolation import isolated_environment
from harness.record import Json, Record, only_events

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0

PROGRAM = (sys.executable, "-m", "pyrite_watch", "watch")


def run_pyrite(
    *arguments: str | Path,
    home: Path,
    timeout_s: float = 30.0,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the product to its end, within the deadline; as a fork where that can be."""
    command = [sys.executable, "-m", "pyrite_watch", *map(str, arguments)]
    environment = isolated_environment(home, env)
    if CAN_FORK and env is None:
        return _run_forked(command, home, environment, timeout_s)
    return subprocess.run(
        command,
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout_s,
        check=False,
    )


def _run_forked(
    command: list[str], home: Path, environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    process = fork_server().start(command[3:], home, environment)
    with process.stdout, process.stderr, ThreadPoolExecutor(2) as pool:
        texts = [pool.submit(stream.read) for stream in (process.stdout, process.stderr)]
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        stdout, stderr = (text.result() for text in texts)
    return subprocess.CompletedProcess(command, code, stdout, stderr)


class WatchProcess:
    """`pyrite watch` with given paths.

    Args:
        home: the HOME of the process; must exist.
        state_dir: given as `--state-dir`; None leaves it to the product (below `home`).
        options: further options; `--port 0` is added where none names a port and none says `--no-serve`.
        json_lines: run with `--json` and parse stdout; otherwise stdout is kept as text.
        program: what is run instead of `python -m pyrite_watch watch` (tests of the harness itself).
        forked: be a fork of a process that has imported the product already, where there are forks: three
            times faster. Not where an environment or a program is given.
    """

    def __init__(
        self,
        *paths: Path | str,
        home: Path,
        state_dir: Path | None = None,
        options: Sequence[str] = (),
        json_lines: bool = True,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
        forked: bool = False,
    ) -> None:
        command = [*program, *map(str, paths), *options]
        if "--port" not in options and "--no-serve" not in options:
            command += ["--port", "0"]
        if json_lines:
            command.append("--json")
        if state_dir is not None:
            command += ["--state-dir", str(state_dir)]
        self.command = command
        self.home = home
        self.state_dir = state_dir
        self.json_lines = json_lines
        self.messages = Record("stdout of pyrite watch")
        self.bad_lines: list[str] = []
        self._stdout: list[str] = []
        self._stderr: list[str] = []
        self.started_s = time.perf_counter()
        environment = isolated_environment(home, env)
        self._process: subprocess.Popen[str] | Forked
        if forked and CAN_FORK and env is None and program is PROGRAM:
            arguments = command[len(PROGRAM) - 1 :]
            self._process = fork_server().start(arguments, home, environment)
        else:
            self._process = _start_fresh(command, home, environment)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._threads = [
            threading.Thread(target=self._read_stdout, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_stderr, args=(self._process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What it says

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that killed it."""
        return self._process.poll()

    @property
    def stdout(self) -> str:
        """Everything printed so far."""
        return "".join(self._stdout)

    @property
    def stderr(self) -> str:
        """Every log line so far."""
        return "".join(self._stderr)

    @property
    def output(self) -> str:
        """stdout, then stderr."""
        return self.stdout + self.stderr

    @property
    def ready(self) -> Json:
        """The `ready` line; fails if it does not come in time."""
        return self.wait_ready()

    @property
    def url(self) -> str:
        """Where it serves, without a slash at the end."""
        return str(self.ready["url"]).rstrip("/")

    @property
    def position(self) -> str:
        """EPOCH:OFFSET of the `ready` line."""
        return f"{self.ready['epoch']}:{self.ready['offset']}"

    @property
    def events(self) -> list[Json]:
        """A copy of the events printed so far."""
        return only_events(self.messages.since())

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> Json:
        """Return the `ready` line, which must be the first line of all."""
        with self._explained():
            index, ready = self.messages.wait_for_index(
                lambda message: message.get("type") == "ready", timeout_s, what="the ready line"
            )
        if index != 0:
            raise AssertionError(f"'ready' is not the first line\n{self.describe()}")
        return ready

    def wait_for(
        self,
        predicate: Callable[[Json], bool],
        timeout_s: float = 15.0,
        *,
        start: int = 0,
        what: str = "an event",
    ) -> Json:
        """Return the first printed message behind `start` that the predicate accepts."""
        with self._explained():
            return self.messages.wait_for(predicate, timeout_s, start=start, what=what)

    def describe(self) -> str:
        """What a failure text needs: the command, how it stands, and the ends of both outputs."""
        state = "running" if self.exit_code is None else f"ended with {self.exit_code}"
        return (
            f"$ {' '.join(self.command)}\n[{state}]\n"
            f"stdout:\n{_tail(self._stdout)}stderr:\n{_tail(self._stderr)}"
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None

    # How it ends

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone, not to its children."""
        self._process.send_signal(number)

    def stop(self, sig: signal.Signals = signal.SIGINT, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Send the signal, wait for the end and return the exit code.

        Raises:
            AssertionError: it did not end in time; it is then killed.
        """
        if self._process.poll() is None:
            self._process.send_signal(sig)
        return self.wait_exit(timeout_s)

    def wait_exit(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for its end and return the exit code; kill it at the deadline and fail."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            text = self.describe()
            self.kill()
            raise AssertionError(f"still running after {timeout_s:g} s\n{text}") from None
        self._collect()
        return code

    def kill(self) -> None:
        """SIGKILL to the process and what it started; returns when it is gone."""
        # The session is ours (start_new_session), so the group holds nothing else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_TIMEOUT_S)
        self._collect()

    def close(self) -> None:
        """End it whatever its state: first politely, then by force. Never raises for a slow end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._collect()

    def _collect(self) -> None:
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    # Threads

    def _read_stdout(self, stream: IO[str]) -> None:
        with contextlib.suppress(ValueError):  # closed under our hands
            for line in stream:
                self._stdout.append(line)
                if not self.json_lines:
                    continue
                try:
                    message = json.loads(line)
                except ValueError:
                    self.bad_lines.append(line)
                    continue
                if isinstance(message, dict):
                    self.messages.add(message)
                else:
                    self.bad_lines.append(line)
        self.messages.finish("stdout was closed")

    def _read_stderr(self, stream: IO[str]) -> None:
        with contextlib.suppress(ValueError):
            for line in stream:
                self._stderr.append(line)


def _start_fresh(command: Sequence[str], home: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def _tail(lines: list[str], limit: int = 40) -> str:
    kept = lines[-limit:]
    return "".join(f"  | {line.rstrip()[:400]}\n" for line in kept) or "  (nothing)\n"
