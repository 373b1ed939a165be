"""A program of the benchmark, a process of its own: lines in, JSON lines out, a deadline for each answer."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.measure import memory_mb, tree

STOP_TIMEOUT_S = 5.0

Answer = dict[str, Any]


class ProgramError(Exception):
    """A program failed, or did not answer in time."""


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of a process and its descendants, to the microsecond.

    /proc/PID/stat holds the same in hundredths of a second, which is a tenth of what a whole storm takes.
    """
    total = 0.0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~one << 3) | 2)  # as clock_getcpuclockid(3) makes it
    return total


def cores() -> tuple[set[int], set[int]]:
    """The core for servers and the one for all else; the same sets where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return ({allowed[0]}, {allowed[1]}) if len(allowed) > 1 else (set(allowed), set(allowed))


@contextlib.contextmanager
def _on_core(chosen: set[int]) -> Iterator[None]:
    """What is started here runs there, with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Program:
    """A running program.

    Args:
        core: Where it runs, as of `cores`.
        environment: What is added to that of the bench.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        core: set[int],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+b")  # noqa: SIM115 (closed in `close`)
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        with _on_core(core):
            self._process = subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    @property
    def cpu_s(self) -> float:
        """CPU seconds that it used so far."""
        return cpu_s(self.pid)

    @property
    def memory_mb(self) -> float:
        """Its resident memory now."""
        return memory_mb(self.pid)

    def say(self, line: str) -> None:
        """Give it a command."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ProgramError(f"{self.name} has ended\n{self._tail()}") from error

    def wait(self, key: str, timeout_s: float) -> Answer:
        """Return its next line that has this key; others are passed over.

        Raises:
            ProgramError: None came in time, it has ended, or it answered with an error.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ProgramError(
                    f"{self.name} did not answer within {timeout_s:g} s\n{self._tail()}"
                ) from None
            if answer is None:
                raise ProgramError(f"{self.name} has ended\n{self._tail()}")
            if "error" in answer:
                raise ProgramError(f"{self.name}: {answer['error']}\n{self._tail()}")
            if key in answer:
                return answer

    def close(self) -> None:
        """End it and what it started: politely, then by force."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        # The session is ours (start_new_session), so the group holds nothing else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_TIMEOUT_S)
        self._thread.join(STOP_TIMEOUT_S)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # closed under our hands
            for line in self._process.stdout:
                with contextlib.suppress(ValueError):
                    answer = json.loads(line)
                    if isinstance(answer, dict):
                        self._answers.put(answer)
        self._answers.put(None)

    def _tail(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            self._errors.flush()
            return (
                Path(f"/proc/self/fd/{self._errors.fileno()}").read_bytes().decode(errors="replace")[-1500:]
            )
        return ""
