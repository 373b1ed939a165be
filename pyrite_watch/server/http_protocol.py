"""uvicorn's HTTP protocol with an end for peers that take nothing of their answer any more.

Given as `Config(http=BoundedHttpProtocol)`. uvicorn waits without end for such a peer: the answer's task (for
a stream of events that is one for ever), its buffer and its descriptor would stay for as long as it lives.
"""

from __future__ import annotations

import asyncio
import sys

from uvicorn.protocols.http.h11_impl import H11Protocol

from pyrite_watch.server.protocol import STOP_TIMEOUT_S, reset

if sys.platform == "linux":
    import fcntl
    import termios

STALL_TIMEOUT_S = 60.0
"""How long a peer may take not a byte of what waits for it; on Linux, which tells."""


class BoundedHttpProtocol(H11Protocol):
    """An HTTP connection whose peer may read as slowly as it likes, but not stop."""

    stall_timeout_s = STALL_TIMEOUT_S
    stop_timeout_s = STOP_TIMEOUT_S
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        # So that `pause_writing` is called as soon as anything is left in the buffer.
        transport.set_write_buffer_limits(high=0)

    def pause_writing(self) -> None:
        """Something is left in the buffer; nothing is added before it is empty."""
        super().pause_writing()
        self._look_after(self.stall_timeout_s)

    def resume_writing(self) -> None:
        """The buffer is empty."""
        self._stop_looking()
        super().resume_writing()

    def shutdown(self) -> None:
        """The server stops: what waits to be read must not hold it up."""
        super().shutdown()
        if self.flow.write_paused:
            self._look_after(self.stop_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._stop_looking()
        super().connection_lost(exc)

    def _look_after(self, delay_s: float) -> None:
        self._stop_looking()
        left = self._bytes_left()
        if left is not None:
            self._timer = self.loop.call_later(delay_s, self._look, delay_s, left)

    def _look(self, delay_s: float, left_before: int) -> None:
        left = self._bytes_left()
        if left is not None and left >= left_before:
            reset(self.transport)
        else:
            self._look_after(delay_s)

    def _bytes_left(self) -> int | None:
        """How much the peer has not taken yet; None where the system does not tell.

        With what the kernel holds: it says that there is room only when a third of some megabytes has gone.
        """
        own_socket = self.transport.get_extra_info("socket")
        if sys.platform != "linux" or own_socket is None:
            return None
        try:
            held = fcntl.ioctl(own_socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except OSError:
            return None  # it has ended meanwhile
        return self.transport.get_write_buffer_size() + int.from_bytes(held, sys.byteorder)

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
