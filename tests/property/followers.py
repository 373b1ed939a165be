"""The subscribers of the property test: each keeps a replica, drops, resumes and lags as it is told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from urllib.parse import urlsplit

from harness.api import Api, State
from harness.record import EVENT_TYPES, Json, Record
from harness.replica import Replica
from harness.socket import OPEN_TIMEOUT_S, socket_url
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

RECEIVE_BYTES = 16_384


class PausableTab:
    """A tab that can stop reading for a while; its buffers are small, so that the server feels it soon."""

    def __init__(self, url: str, since: str | None, kbs: tuple[str, ...]) -> None:
        self.messages = Record(f"tab (since={since}, kb={kbs})")
        self._may_read = threading.Event()
        self._may_read.set()
        self._stack = contextlib.ExitStack()
        address = urlsplit(url)
        line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # Before connect(): the window is negotiated there. Not smaller: with a window of a kilobyte the
        # kernel itself sends 500 bytes each 200 ms (persist timer), and a reader seems to be forgotten.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        try:
            line.settimeout(OPEN_TIMEOUT_S)
            line.connect((address.hostname, address.port))
            line.settimeout(None)
            self._socket = self._stack.enter_context(
                connect(
                    socket_url(url, since, kbs),
                    sock=line,
                    open_timeout=OPEN_TIMEOUT_S,
                    close_timeout=1.0,
                    max_queue=1,
                    max_size=None,
                )
            )
        except BaseException:
            line.close()
            raise
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def is_paused(self) -> bool:
        """Whether it reads nothing at the moment."""
        return not self._may_read.is_set()

    def pause(self) -> None:
        """Stop reading (after the message that may be on its way)."""
        self._may_read.clear()

    def go_on(self) -> None:
        """Read again."""
        self._may_read.set()

    def close(self) -> None:
        """Leave; what has not been read is lost."""
        with contextlib.suppress(OSError, ConnectionClosed):
            self._stack.close()
        self._may_read.set()
        self._thread.join(OPEN_TIMEOUT_S)

    def _read(self) -> None:
        try:
            while True:
                self._may_read.wait()
                self.messages.add(json.loads(self._socket.recv()))
        except (ConnectionClosed, OSError) as error:
            self.messages.finish(f"the socket was closed: {error}")
        finally:
            self.messages.finish("the reading thread ended")


class Follower:
    """A replica and the tab that feeds it.

    Args:
        kbs: only these KBs; all, where it is empty.
        plain: speaks Pyrite's own protocol, without `since`: it connects first and then loads the state.
    """

    def __init__(self, number: int, url: str, kbs: tuple[str, ...], plain: bool) -> None:
        self.name = f"follower {number} of {kbs or 'all'}{', plain' if plain else ''}"
        self.kbs = kbs
        self.plain = plain
        self.heard: list[Json] = []
        self._read = 0
        self._heard_here = 0
        self.tab: PausableTab | None = PausableTab(url, None, kbs) if plain else None
        state = Api(url).state()
        wanted = {key: place for key, place in state.entries.items() if self.wants(key[0])}
        self.replica = Replica(State(state.epoch, state.offset, wanted), dense=not kbs)
        self.joined = state.offset
        if self.tab is None:
            self.tab = PausableTab(url, state.position, kbs)

    def wants(self, kb: str) -> bool:
        """Whether it asked for this KB."""
        return not self.kbs or kb in self.kbs

    @property
    def is_reading(self) -> bool:
        """Whether it is connected and does not lag."""
        return self.tab is not None and not self.tab.is_paused

    def take_in(self) -> None:
        """Apply what has come to the replica, which asserts that nothing is missing or came twice."""
        if self.tab is None:
            return
        messages = self.tab.messages.since(self._read)
        self._read += len(messages)
        for message in messages:
            assert message["type"] != "resync", f"{self.name} was told to load the state again: {message}"
            if self.plain and message["type"] in EVENT_TYPES and message["offset"] <= self.joined:
                continue  # it came between the connecting and the loading
            if message["type"] == "ready":
                assert message["replayed"] == self._heard_here, f"{self.name}: {message}"
            if message["type"] in EVENT_TYPES:
                assert self.wants(message["kb_name"]), f"{self.name}: {message}"
                self.replica.apply(message)
                self.heard.append(message)
                self._heard_here += 1

    def drop(self) -> None:
        """Leave."""
        if self.tab is not None:
            self.tab.close()
            self.take_in()
            self.tab = None

    def resume(self, url: str) -> None:
        """Come back with the position of the last event that was heard."""
        assert self.tab is None
        self._read = self._heard_here = 0
        self.tab = PausableTab(url, self.replica.position, self.kbs)
        # From now on it has a position, so it resumes as one that had one from the start.
        self.plain = False

    def wait_for(self, offset: int, timeout_s: float = 15.0) -> None:
        """Wait until the event of this offset was heard, and take in all that was."""
        assert self.tab is not None
        if self.replica.offset < offset:
            self.tab.messages.wait_for(
                lambda message: message.get("type") in EVENT_TYPES and message["offset"] >= offset,
                timeout_s,
                start=self._read,
                what=f"{self.name}: offset {offset}",
            )
        self.take_in()
