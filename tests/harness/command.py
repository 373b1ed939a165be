"""A command of the product that runs until it is stopped: its lines as they come, always with a deadline."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from harness.isolation import isolated_environment
from harness.process import STOP_TIMEOUT_S
from harness.record import Json
from harness.wait import eventually


class Command:
    """`pyrite …`, running; stdout and stderr are read by a thread each."""

    def __init__(self, *arguments: str | Path, home: Path, env: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pyrite_watch", *map(str, arguments)],
            cwd=home,
            env=isolated_environment(home, env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._threads = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in (
                (self._process.stdout, self.lines),
                (self._process.stderr, self.errors),
            )
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: IO[str] | None, lines: list[str]) -> None:
        assert stream is not None
        with contextlib.suppress(ValueError):  # closed under our hands
            for line in stream:
                lines.append(line.rstrip("\n"))

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def messages(self) -> list[Json]:
        """What it printed, as NDJSON."""
        return [json.loads(line) for line in list(self.lines)]

    def wait_line(self, text: str, timeout_s: float = 20.0) -> str:
        """Wait for a line of stdout that holds the text, and return it."""

        def found() -> str | None:
            assert self.exit_code is None or any(text in line for line in self.lines), self.describe()
            return next((line for line in list(self.lines) if text in line), None)

        line = eventually(found, timeout_s, what=f"a line with {text!r}")
        assert line is not None
        return line

    def wait_error(self, text: str, timeout_s: float = 20.0) -> str:
        """Wait for a line of stderr that holds the text, and return it."""
        line = eventually(
            lambda: next((line for line in list(self.errors) if text in line), None),
            timeout_s,
            what=f"a line on stderr with {text!r}",
        )
        assert line is not None
        return line

    def describe(self) -> str:
        """What a failure needs to be understood."""
        return f"exit code {self.exit_code}\n" + "\n".join([*self.lines[-30:], "stderr:", *self.errors[-30:]])

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, and return the exit code."""
        self._process.send_signal(number)
        return self.wait_exit()

    def wait_exit(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for its end and return the exit code."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s:g} s\n{self.describe()}") from None
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if kind is None:
            assert not any("Traceback" in line for line in self.errors), self.describe()
