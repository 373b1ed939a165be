"""Print from a thread of its own, so that nobody waits for who reads stdout.

A pipe that is full, or a terminal that was stopped with Ctrl-S, would else hold up the thread that
writes the index, and with it every tab and the stop.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

log = logging.getLogger(__name__)

MAX_WAITING_BYTES = 64 << 20
"""What waits for a reader that does not read; further lines are dropped, and that is told."""

CHUNK_BYTES = 256 << 10
"""About what is written at once."""

LAST_LINES_S = 1.0
"""How long the end waits for the last lines to leave: a stop takes less than 3 s in all."""


class LineWriter:
    """Writes to a stream in the order of `put`, which any thread may call and which never waits.

    A stream that fails (a pipe whose reader is gone, a full disk) gets nothing more, and that is logged
    once: whoever serves tabs does not end because nobody reads along.

    Args:
        stream: Where to; its descriptor is used where it has one.
        on_dropped: Makes the line that stands for dropped ones, from their number and the last of them.
        max_waiting_bytes: What may wait. Beyond, lines are dropped until all that waits has left.
    """

    def __init__(
        self,
        stream: TextIO,
        on_dropped: Callable[[int, str], str],
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._stream = stream
        self._on_dropped = on_dropped
        self._max_waiting_bytes = max_waiting_bytes
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._last_dropped = ""
        self._changed = threading.Condition()
        self._has_failed = False
        self._is_finished = False
        self._encoding = stream.encoding or "utf-8"
        self._descriptor = _descriptor(stream)
        # A daemon: one that is stuck in a write must not hold up the end of the process.
        threading.Thread(target=self._run, name="pyrite-print", daemon=True).start()
        # For an end by an error, which does not say goodbye.
        atexit.register(self.finish)

    def put(self, text: str, encoding: str | None = None) -> None:
        """Have a text written, sooner or later; what the encoding does not have is escaped.

        After `finish` it is dropped.
        """
        line = text.encode(encoding or self._encoding, "backslashreplace")
        with self._changed:
            if self._has_failed or self._is_finished:
                return
            if self._dropped or self._waiting_bytes + len(line) > self._max_waiting_bytes:
                self._dropped += 1
                self._last_dropped = text
                return
            self._add(line)

    def finish(self, timeout_s: float = LAST_LINES_S) -> None:
        """Wait until everything has left, but not longer than this. Idempotent."""
        atexit.unregister(self.finish)
        with self._changed:
            self._is_finished = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._has_failed or not self._waiting_bytes, timeout_s)

    def _add(self, line: bytes) -> None:
        self._waiting_bytes += len(line)
        self._lines.append(line)
        self._changed.notify_all()

    def _run(self) -> None:
        try:
            while chunk := self._take():
                self._write(chunk)
                self._note_written(len(chunk))
        except (OSError, ValueError) as error:
            self._fail(error)
        finally:
            if self._descriptor is not None:
                os.close(self._descriptor)

    def _take(self) -> bytes:
        """Wait for lines and take some of them; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._is_finished)
            chunk = bytearray()
            while self._lines and len(chunk) < CHUNK_BYTES:
                chunk += self._lines.popleft()
            return bytes(chunk)

    def _note_written(self, size: int) -> None:
        with self._changed:
            self._waiting_bytes -= size
            if self._dropped and not self._lines:
                note = self._on_dropped(self._dropped, self._last_dropped)
                self._dropped = 0
                self._add(note.encode(self._encoding, "backslashreplace"))
            self._changed.notify_all()

    def _write(self, chunk: bytes) -> None:
        if self._descriptor is None:
            buffer = getattr(self._stream, "buffer", None)
            if buffer is not None:
                buffer.write(chunk)
            else:
                self._stream.write(chunk.decode(self._encoding))
            self._stream.flush()
            return
        # Not through the stream's buffer: Python's end aborts where a stuck write holds its lock.
        while chunk:
            chunk = chunk[os.write(self._descriptor, chunk) :]

    def _fail(self, error: Exception) -> None:
        log.warning("Nothing more is printed: %s. The watch goes on.", error)
        with self._changed:
            self._has_failed = True
            self._lines.clear()
            self._changed.notify_all()


def _descriptor(stream: TextIO) -> int | None:
    if os.name == "nt" and stream.isatty():
        return None  # its console takes characters, not bytes
    try:
        stream.flush()
        # Our own: a number that the stream has closed may be another file's when it is written to.
        return os.dup(stream.fileno())
    except (OSError, ValueError):
        return None
