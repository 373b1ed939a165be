"""A reader of Server-Sent Events, in a thread, over a plain socket's HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

from harness.record import Json, Record

OPEN_TIMEOUT_S = 10.0


class EventStream:
    """What an `EventSource` is to a page.

    Each message is the event's JSON with two fields more: `sse_id` and `sse_event`, None where the stream
    gave none. `last_id` is what a browser would send as `Last-Event-ID`.
    """

    def __init__(
        self,
        url: str,
        *,
        since: str | None = None,
        kb: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        split = urlsplit(url)
        assert split.hostname is not None
        query = [("since", since)] if since is not None else []
        query += [("kb", name) for name in kb]
        path = f"{split.path}/api/events"
        self.messages = Record(f"stream (since={since}, kb={list(kb)})")
        self.last_id: str | None = None
        self.ended = threading.Event()
        self._connection = http.client.HTTPConnection(split.hostname, split.port, timeout=OPEN_TIMEOUT_S)
        self._connection.request(
            "GET", f"{path}?{urlencode(query)}" if query else path, headers=dict(headers or {})
        )
        self.response = self._connection.getresponse()
        self.status = self.response.status
        if self.status != 200:
            self.answer = json.loads(self.response.read())
            self._connection.close()
            return
        assert self._connection.sock is not None
        self._connection.sock.settimeout(None)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave; may be called twice."""
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)
            self._thread.join(5)
            self._connection.close()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            for raw in self.response:
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif "data" in fields:
                    self._dispatch(fields)
                    fields = {}
        except (OSError, ValueError, http.client.HTTPException):
            pass
        finally:
            self.messages.finish("the stream has ended")
            self.ended.set()

    def _dispatch(self, fields: dict[str, str]) -> None:
        self.last_id = fields.get("id", self.last_id)
        message: Json = json.loads(fields["data"])
        self.messages.add({**message, "sse_id": fields.get("id"), "sse_event": fields.get("event")})


def plain(message: Json) -> Json:
    """A message without what the stream said beside it."""
    return {name: value for name, value in message.items() if not name.startswith("sse_")}
