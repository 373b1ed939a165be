"""A small HTTP client on the standard library: every header is ours to choose, also a wrong one."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from harness.record import Json

Key = tuple[str, str]
"""(kb_name, entry_id)"""

Place = tuple[str, str]
"""(path, revision)"""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class State:
    """What `GET /api/state` gives: all entries at a position."""

    epoch: str
    offset: int
    entries: dict[Key, Place] = field(default_factory=dict)

    @property
    def position(self) -> str:
        """EPOCH:OFFSET"""
        return f"{self.epoch}:{self.offset}"

    def of(self, kb: str) -> dict[str, Place]:
        """The entries of one KB by their ids."""
        return {entry_id: place for (name, entry_id), place in self.entries.items() if name == kb}


class Api:
    """The server's HTTP side; one connection a request."""

    def __init__(self, url: str, timeout_s: float = 20.0) -> None:
        self._address = urlsplit(url)
        self._timeout_s = timeout_s

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; `body` goes as JSON. Any status is an answer."""
        sent = dict(headers or {})
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(
            self._address.hostname or "127.0.0.1", self._address.port, timeout=self._timeout_s
        )
        try:
            connection.request(method, path, body=payload, headers=sent)
            response = connection.getresponse()
            content = response.read()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, content)
        finally:
            connection.close()

    def get(self, path: str, **query: str) -> Any:
        """Return the JSON of a GET that must succeed."""
        full = f"{path}?{urlencode(query)}" if query else path
        answer = self.request("GET", full)
        assert answer.status == 200, f"GET {full}: {answer.status} {answer.body[:500]!r}"
        return answer.json()

    def entry(self, kb: str, entry_id: str) -> Json:
        """Return one entry, which must exist."""
        found: Json = self.get(f"/api/entries/{quote(entry_id, safe='')}", kb=kb)
        return found

    def problems(self) -> list[Json]:
        """Return all problems of now."""
        found: list[Json] = self.get("/api/problems")["problems"]
        return found

    def state(self, kb: str | None = None) -> State:
        """Return the whole state at a position."""
        path = "/api/state" if kb is None else f"/api/state?{urlencode({'kb': kb})}"
        answer = self.request("GET", path)
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.body[:500]!r}"
        lines = [json.loads(line) for line in answer.body.decode("utf-8").splitlines()]
        assert lines, "an empty state has a first line all the same"
        head, rows = lines[0], lines[1:]
        entries: dict[Key, Place] = {}
        for row in rows:
            key = (row["kb_name"], row["id"])
            assert key not in entries, f"twice in the state: {key}"
            entries[key] = (row["path"], row["revision"])
        return State(head["epoch"], head["offset"], entries)
