"""Every error that the API's description declares, provoked in the running app."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_calls import (
    BELOW_API,
    CALLS,
    ENTRY,
    JOB,
    STREAM,
    WRITES,
    Call,
    Json,
    checked,
    code_of,
    refused,
    varied_app,
)
from declared import Description, codes_of
from fastapi import FastAPI
from harness.wait import eventually
from live_app import BASE_URL, client_of, live_of_app, make_app, write_entry
from starlette.testclient import TestClient

PROVOKED = {
    "guard": {"UNAUTHORIZED", "HOST_NOT_ALLOWED", "ORIGIN_NOT_ALLOWED", "PROXY_WITHOUT_TOKEN",
              "READ_ONLY_TOKEN"},
    "life": {"NOT_RUNNING", "STOPPED"},
    "index": {"INDEX_BUSY", "NOT_INDEXED_YET"},
    "fault": {"INTERNAL_ERROR"},
    "asked": {"KB_NOT_FOUND", "NOT_FOUND", "POSITION_MALFORMED", "POSITION_LOST", "INVALID_WRITE",
              "PATH_OUTSIDE_KB", "ALREADY_EXISTS", "UNPARSABLE", "CONFLICT"},
    "kb": {"READ_ONLY", "KB_UNAVAILABLE"},
    "size": {"TOO_BIG"},
    "disk": {"PERMISSION_DENIED", "WRITE_FAILED", "DISK_FULL"},
}  # fmt: skip
"""The codes that the tests below bring about, by test."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the KBs are."""
    return tmp_path_factory.mktemp("openapi")


@pytest.fixture(scope="module")
def app(folder: Path) -> FastAPI:
    """Two KBs with all kinds of entries and problems."""
    return varied_app(folder)


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    """The running app."""
    with client_of(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def description(client: TestClient) -> Description:
    """What it says of itself."""
    return Description(client.get("/openapi.json").json())


def test_no_declared_error_is_left_out_below(description: Description) -> None:
    """A code that is new to the description needs a place in a test."""
    declared = {
        code
        for operation in description.operations.values()
        for status, response in operation["responses"].items()
        if status not in ("200", "422")
        for code in codes_of(response)
    }
    assert declared == set().union(*PROVOKED.values())


def provoke(test: str, description: Description, client: TestClient, *asked: tuple[Call, str, Json]) -> None:
    """Ask each; all codes of this test must have come."""
    for call, code, more in asked:
        refused(description, client, call, code, **more)
    assert {code for _, code, _ in asked} == PROVOKED[test]


def test_a_body_larger_than_an_entry_is_as_declared(description: Description, tmp_path: Path) -> None:
    """On every call that has one. (That of a preview is in test_render_api.py.)"""
    with client_of(make_app(tmp_path, max_entry_bytes=100)) as small:
        bodies = [call for call in WRITES if "json" in call[3]]
        asked: Json = {"json": {"kb": "notes", "title": "x", "body": "x" * 100_000}}
        provoke("size", description, small, *((call, "TOO_BIG", asked) for call in bodies))


def test_the_guards_errors_are_as_declared(description: Description, tmp_path: Path) -> None:
    """On every call; `/health` needs no token."""
    client = TestClient(make_app(tmp_path), base_url=BASE_URL)
    locked = TestClient(make_app(tmp_path, token="t0ken-t0ken", read_token="r0ken-r0ken"), base_url=BASE_URL)
    seen = set()
    for call in CALLS:
        for headers, code in (
            ({"Host": "box.lan"}, "HOST_NOT_ALLOWED"),
            ({"Host": "a b"}, "HOST_NOT_ALLOWED"),
            ({"Origin": "https://example.com"}, "ORIGIN_NOT_ALLOWED"),
            ({"Origin": "null"}, "ORIGIN_NOT_ALLOWED"),
            ({"Via": "1.1 proxy"}, "PROXY_WITHOUT_TOKEN"),
        ):
            refused(description, client, call, code, headers=headers)
            seen.add(code)
        if call in BELOW_API:
            refused(description, locked, call, "UNAUTHORIZED")
        if call in WRITES:
            refused(description, locked, call, "READ_ONLY_TOKEN", headers={"X-API-Key": "r0ken-r0ken"})
    assert seen | {"UNAUTHORIZED", "READ_ONLY_TOKEN"} == PROVOKED["guard"]


def test_the_streams_errors_are_as_declared(description: Description, client: TestClient) -> None:
    """They are JSON, though the stream is not."""
    for url, code, headers in (
        ("/api/events?kb=none", "KB_NOT_FOUND", {}),
        ("/api/events?since=x", "POSITION_MALFORMED", {}),
        ("/api/events", "HOST_NOT_ALLOWED", {"Host": "box.lan"}),
    ):
        refused(description, client, (*STREAM, url, {}), code, headers=headers)


def test_an_app_that_does_not_run_answers_as_declared(description: Description, tmp_path: Path) -> None:
    """Before its start on every call; after its watch was stopped on every one but `/health`."""
    app = make_app(tmp_path)
    before = TestClient(app, base_url=BASE_URL)
    for call in CALLS:
        refused(description, before, call, "NOT_RUNNING")
    with client_of(app) as client:
        live_of_app(app).pipeline.stop()
        for call in BELOW_API:
            refused(description, client, call, "STOPPED")
        assert checked(description, client, CALLS[0])["status"] == 200


@pytest.mark.parametrize("call", WRITES, ids=lambda call: f"{call[0]} {call[1]}")
def test_what_waits_when_the_watch_stops_is_told(
    description: Description, tmp_path: Path, call: Call
) -> None:
    """Bug: it was 500, as the future that it waited for was cancelled."""
    app = make_app(tmp_path)
    with client_of(app, raise_server_exceptions=False) as client:
        pipeline = live_of_app(app).pipeline
        go_on = threading.Event()
        pipeline.call(lambda reconciler: go_on.wait(20))
        told: list[Json] = []
        asking = threading.Thread(target=lambda: told.append(checked(description, client, call)))
        asking.start()
        # The blocking call, and the one that waits behind it.
        eventually(lambda: len(pipeline._calls) == 2)
        stopping = threading.Thread(target=pipeline.stop)
        stopping.start()
        eventually(pipeline._stopping.is_set)
        go_on.set()
        asking.join(20)
        stopping.join(20)
        assert [code_of(each) for each in told] == ["STOPPED"]


def test_reads_of_an_index_that_cannot_be_opened_are_as_declared(
    description: Description, tmp_path: Path
) -> None:
    """Real: the file is away before the first read of it."""
    app = make_app(tmp_path)
    with client_of(app, raise_server_exceptions=False) as client:
        index = tmp_path / "state" / "index.sqlite"
        index.rename(tmp_path / "away")
        try:
            for call in BELOW_API:
                if call[0] == "GET":
                    refused(description, client, call, "INDEX_BUSY")
        finally:
            (tmp_path / "away").rename(index)


def test_what_a_locked_index_makes_of_calls_is_as_declared(description: Description, tmp_path: Path) -> None:
    """A sync is refused, a job fails, a write is told to be on the disk, and `/health` says it."""
    app = make_app(tmp_path)
    with client_of(app, raise_server_exceptions=False) as client:
        pipeline = live_of_app(app).pipeline
        # Else SQLite waits for five seconds each time.
        pipeline.call(
            lambda reconciler: pipeline.store.connection.execute("PRAGMA busy_timeout = 20")
        ).result()
        other = sqlite3.connect(tmp_path / "state" / "index.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            refused(description, client, ("POST", "/api/index/sync", "/api/index/sync", {}), "INDEX_BUSY")
            job = client.post("/api/index/sync?wait=false").json()["job_id"]

            def job_status() -> str:
                told = checked(description, client, ("GET", JOB, f"/api/index/jobs/{job}", {}))
                return str(told["body"]["status"])

            eventually(lambda: job_status() == "failed")
            for call in WRITES[-2:-1]:
                refused(description, client, call, "NOT_INDEXED_YET")

            def health() -> Json:
                body = checked(description, client, CALLS[0])["body"]
                assert isinstance(body, dict)
                return body

            eventually(lambda: health()["status"] == "degraded")
        finally:
            other.execute("ROLLBACK")
            other.close()
        eventually(lambda: health()["status"] == "ok")


def test_a_fault_of_ours_is_as_declared(
    description: Description, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a bug is, in any call."""

    def fail(*_: Any) -> None:
        raise ValueError("secret")

    monkeypatch.setattr("pyrite_watch.server.endpoints.admin._without_paths", fail)
    monkeypatch.setattr("pyrite_watch.index.reader.Reader.snapshot", fail)
    monkeypatch.setattr("pyrite_watch.pipeline.Pipeline.write", fail)
    monkeypatch.setattr("pyrite_watch.pipeline.Pipeline.sync", fail)
    for call in CALLS:
        refused(description, client, call, "INTERNAL_ERROR")


def test_what_cannot_be_done_is_refused_as_declared(
    description: Description, client: TestClient, folder: Path
) -> None:
    """What is asked for is not there, is there already, is another, or leads outside."""
    notes = folder / "kbs" / "notes"
    epoch = client.get("/api/stats").headers["Pyrite-Position"].partition(":")[0]
    good = write_entry(notes, "spoilt")
    client.post("/api/index/sync")
    good.write_text("---\nid: [\n---\n", encoding="utf-8")
    other = {"headers": {"If-Match": '"other"'}}
    asked: list[tuple[Call, str, Json]] = []

    def ask(code: str, method: str, path: str, url: str, more: Json | None = None, **body: Any) -> None:
        asked.append(((method, path, url, {"json": body} if body else {}), code, more or {}))

    for path, url in (
        ("/api/problems", "/api/problems?kb=x"),
        ("/api/state", "/api/state?kb=x"),
        ("/api/entries", "/api/entries?kb=x"),
        (ENTRY, "/api/entries/a?kb=x"),
        ("/api/search", "/api/search?q=a&kb=x"),
        ("/api/events/log", "/api/events/log?kb=x"),
    ):
        ask("KB_NOT_FOUND", "GET", path, url)
    ask("KB_NOT_FOUND", "POST", "/api/index/sync", "/api/index/sync?kb=x")
    ask("KB_NOT_FOUND", "POST", "/api/entries", "/api/entries", kb="x", title="T")
    ask("KB_NOT_FOUND", "PUT", ENTRY, "/api/entries/a", kb="x", body="T")
    ask("KB_NOT_FOUND", "PATCH", ENTRY, "/api/entries/a", kb="x", field="f", value=1)
    ask("KB_NOT_FOUND", "DELETE", ENTRY, "/api/entries/a?kb=x")
    ask("NOT_FOUND", "GET", ENTRY, "/api/entries/none")
    ask("NOT_FOUND", "GET", JOB, "/api/index/jobs/none")
    ask("NOT_FOUND", "PUT", ENTRY, "/api/entries/none", kb="notes", body="T")
    ask("NOT_FOUND", "PATCH", ENTRY, "/api/entries/none", kb="notes", field="f", value=1)
    ask("NOT_FOUND", "DELETE", ENTRY, "/api/entries/none?kb=notes")
    ask("POSITION_MALFORMED", "GET", "/api/events/log", "/api/events/log?since=x")
    ask("POSITION_LOST", "GET", "/api/events/log", "/api/events/log?since=other:1")
    ask("POSITION_LOST", "GET", "/api/events/log", f"/api/events/log?since={epoch}:999999")
    ask("INVALID_WRITE", "POST", "/api/entries", "/api/entries", kb="notes", title="!!!")
    ask("INVALID_WRITE", "PUT", ENTRY, "/api/entries/a", kb="notes", metadata={"id": "z"})
    ask("INVALID_WRITE", "PATCH", ENTRY, "/api/entries/a", kb="notes", field="id", value="z")
    ask("PATH_OUTSIDE_KB", "POST", "/api/entries", "/api/entries", kb="notes", title="T", entry_type="up")
    ask("ALREADY_EXISTS", "POST", "/api/entries", "/api/entries", kb="notes", title="A")
    ask("UNPARSABLE", "PUT", ENTRY, "/api/entries/spoilt", kb="notes", body="T")
    ask("UNPARSABLE", "PATCH", ENTRY, "/api/entries/spoilt", kb="notes", field="f", value=1)
    ask("UNPARSABLE", "DELETE", ENTRY, "/api/entries/spoilt?kb=notes")
    ask("CONFLICT", "PUT", ENTRY, "/api/entries/b", other, kb="notes", body="T")
    ask("CONFLICT", "PATCH", ENTRY, "/api/entries/b", other, kb="notes", field="f", value=1)
    ask("CONFLICT", "DELETE", ENTRY, "/api/entries/b?kb=notes", other)
    try:
        provoke("asked", description, client, *asked)
    finally:
        good.unlink()


def test_knowledge_bases_that_cannot_be_written_refuse_as_declared(
    description: Description, tmp_path: Path
) -> None:
    """By the option, and while their folder is away."""
    with client_of(make_app(tmp_path / "1", read_only=True)) as client:
        for call in WRITES[1:]:
            refused(description, client, call, "READ_ONLY")
    with client_of(make_app(tmp_path / "2")) as client:
        notes = tmp_path / "2" / "kbs" / "notes"
        notes.rename(tmp_path / "away")
        for call in WRITES[1:]:
            refused(description, client, call, "KB_UNAVAILABLE")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, "PERMISSION_DENIED"),
        (errno.EROFS, "READ_ONLY"),
        (errno.EIO, "WRITE_FAILED"),
        (errno.ENOSPC, "DISK_FULL"),
    ],
)
def test_what_the_disk_refuses_is_as_declared(
    description: Description,
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: str,
) -> None:
    """A disk that is full or broken cannot be had here: the system call fails in its stead."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("pyrite_watch.disk.write.os.fsync", fail)
        for call in WRITES[1:-1]:
            refused(description, client, call, code)
        patch.setattr("pyrite_watch.disk.write._rename_own", fail)
        refused(description, client, WRITES[-1], code)
