"""The API's description: complete, and true of what the running app answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_calls import (
    BELOW_API,
    CALLS,
    ENTRY,
    JOB,
    METRICS,
    PAGE,
    STREAM,
    Call,
    checked,
    varied_app,
)
from declared import Description, codes_of, examples_of, parsed
from fastapi import FastAPI
from harness.wait import eventually
from live_app import client_of, make_app, make_kb, write_entry
from starlette.testclient import TestClient

from pyrite_watch import __version__, attach


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


# -- complete --------------------------------------------------------------------------------


def test_the_api_says_what_it_is(description: Description) -> None:
    """Also of the live socket, which OpenAPI cannot describe; every tag is explained."""
    info = description.document["info"]
    assert (info["title"], info["version"]) == ("Pyrite Watch", __version__)
    assert info["summary"]
    for word in ("GET /ws", "since=EPOCH:OFFSET", "Pyrite-Position", "If-Match", "Bearer", "hint"):
        assert word in info["description"]
    tags = {tag["name"] for tag in description.document["tags"] if tag["description"]}
    used = {tag for operation in description.operations.values() for tag in operation["tags"]}
    assert used == tags


def test_every_call_is_described(description: Description) -> None:
    """None is missing, and none is told that the app does not have."""
    assert set(description.operations) == {call[:2] for call in CALLS} | {STREAM, METRICS} | PAGE
    for call, operation in description.operations.items():
        assert operation["summary"], call
        assert operation["description"], call
        assert operation["summary"] != operation["operationId"], call
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description") or parameter["in"] == "path", (call, parameter["name"])


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]}")
def test_every_success_has_a_shape_and_an_example_of_it(description: Description, call: Call) -> None:
    """An example has each field that the shape requires, and no other."""
    success = description.operations[call[:2]]["responses"]["200"]
    assert success["description"] != "Successful Response"
    ((media_type, content),) = success["content"].items()
    assert media_type == ("application/x-ndjson" if call[1] == "/api/state" else "application/json")
    assert content["schema"].keys() & {"$ref", "anyOf", "prefixItems"}, content["schema"]
    examples = examples_of(content)
    assert examples
    for example in examples:
        value = parsed(media_type, example) if isinstance(example, str) else example
        assert description.faults(content["schema"], value) == []
    assert ("Pyrite-Position" in success.get("headers", {})) == (call in BELOW_API)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]}")
def test_every_error_has_its_shape_its_codes_and_an_example_of_each(
    description: Description, call: Call
) -> None:
    """The codes that the description lists are those of the examples; 422 is FastAPI's own."""
    responses = description.operations[call[:2]]["responses"]
    expected = {"200", "403", "500", "503"} | ({"401"} if call in BELOW_API else set())
    assert set(responses) >= expected
    for status, response in responses.items():
        if status in ("200", "422"):
            continue
        content = response["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}
        examples = examples_of(content)
        for example in examples:
            assert description.faults(content["schema"], example) == []
        assert [example["detail"]["code"] for example in examples] == codes_of(response) != [], status


def test_the_stream_is_declared_as_what_it_is(description: Description, client: TestClient) -> None:
    """Its answer has no end: HEAD has its headers, other tests read its events."""
    success = description.operations[STREAM]["responses"]["200"]
    assert examples_of(success["content"]["text/event-stream"])
    answer = client.head("/api/events")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Pyrite-Position"]
    assert "Pyrite-Position" in success["headers"]


def test_every_body_has_examples_that_are_accepted(description: Description, tmp_path: Path) -> None:
    """They are sent as they are."""
    garden = make_kb(tmp_path / "kbs" / "garden", "soil")
    write_entry(garden, "mulch", "Straw.", "status: draft\ntags: [soil]\n")
    with client_of(make_app(tmp_path)) as client:
        for method, path, url in (
            ("PUT", ENTRY, "/api/entries/mulch"),
            ("PATCH", ENTRY, "/api/entries/mulch"),
            ("POST", "/api/entries", "/api/entries"),
        ):
            content = description.operations[method, path]["requestBody"]["content"]["application/json"]
            examples = examples_of(content)
            assert len(examples) >= 2
            for asked in examples:
                assert description.faults(content["schema"], asked) == []
                if method == "POST":
                    client.delete("/api/entries/mulch?kb=garden")
                told = checked(description, client, (method, path, url, {"json": asked}))
                assert told["status"] == 200, (method, asked, told)


# -- true of what is answered ----------------------------------------------------------------


def test_every_answer_of_every_call_is_as_declared(
    description: Description, client: TestClient, folder: Path
) -> None:
    """No field is missing and none is more: reads, writes, syncs and jobs, each with its headers."""
    seen: set[tuple[str, str]] = set()

    def ask(method: str, path: str, url: str = "", **options: Any) -> Any:
        seen.add((method, path))
        told = checked(description, client, (method, path, url or path, options))
        assert told["status"] == 200, told
        return told["body"]

    created = ask("POST", "/api/entries", json={"kb": "notes", "title": "New", "importance": 2})
    new = f"/api/entries/{created['id']}"
    ask("PUT", ENTRY, new, json={"kb": "notes", "body": "Text. [[a]]", "tags": ["y"]})
    ask("PUT", ENTRY, new, json={"kb": "notes", "body": "Text. [[a]]"})
    ask("PATCH", ENTRY, new, json={"kb": "notes", "field": "status", "value": "done"})
    whole = {"$ref": "#/components/schemas/Entry"}
    for url in ("/api/entries/a", "/api/entries/b", new, "/api/entries/d?kb=work"):
        assert description.faults(whole, ask("GET", ENTRY, url)) == []
    # A part of an entry fits the list, too: so each is asked to be whole where nothing was left out.
    entries = ask("GET", "/api/entries")["entries"]
    assert len(entries) == 5
    assert [fault for entry in entries for fault in description.faults(whole, entry)] == []
    assert ask("GET", "/api/entries", "/api/entries?fields=id,tags&limit=1")["entries"][0].keys() == {
        "id",
        "tags",
    }
    assert len(ask("GET", "/api/state")) == 6
    assert ask("GET", "/api/search", "/api/search?q=text")["count"] == 4
    assert {"line" in problem for problem in ask("GET", "/api/problems")["problems"]} == {True, False}
    assert len(ask("GET", "/api/kbs")["kbs"]) == len(ask("GET", "/api/stats")["kbs"]) == 2
    assert ask("GET", "/health")["indexing"] is None
    assert ask("GET", "/api/events/log")["events"]
    ask("DELETE", ENTRY, f"{new}?kb=notes")
    ask("POST", "/api/index/sync")
    job = ask("POST", "/api/index/sync", "/api/index/sync?wait=false")["job_id"]
    eventually(lambda: ask("GET", JOB, f"/api/index/jobs/{job}")["status"] == "completed")
    assert seen | {STREAM, METRICS} | PAGE == set(description.operations)


def test_every_kind_of_event_is_as_declared(
    description: Description, client: TestClient, folder: Path
) -> None:
    """Created, updated, deleted, synced; moved within, and to another knowledge base."""
    notes, work = folder / "kbs" / "notes", folder / "kbs" / "work"
    write_entry(notes, "stays")
    write_entry(notes, "goes")
    client.post("/api/index/sync")
    (notes / "sub").mkdir()
    (notes / "stays.md").rename(notes / "sub" / "stays.md")
    (notes / "goes.md").rename(work / "goes.md")
    client.post("/api/index/sync")
    (notes / "sub" / "stays.md").unlink()
    (work / "goes.md").unlink()
    client.post("/api/index/sync")

    def told() -> set[str]:
        page = checked(description, client, ("GET", "/api/events/log", "/api/events/log?limit=1000", {}))
        events = page["body"]["events"]
        return {event["type"] for event in events} | {name for event in events for name in event}

    eventually(
        lambda: (
            told()
            >= {
                "entry_created",
                "entry_updated",
                "entry_deleted",
                "kb_synced",
                "moved_from",
                "moved_to",
                "previous_path",
            }
        ),
        what="an event of each kind",
    )


def test_bad_input_is_as_fastapi_declares_it(description: Description, client: TestClient) -> None:
    """422 of parameters, of bodies, and of what is no JSON."""
    for call in (
        ("GET", "/api/entries", "/api/entries?limit=0", {}),
        ("GET", "/api/search", "/api/search", {}),
        ("POST", "/api/entries", "/api/entries", {"json": {"kb": "notes", "importance": 11}}),
        ("PATCH", ENTRY, "/api/entries/a", {"content": b"{"}),
        ("DELETE", ENTRY, "/api/entries/a", {}),
    ):
        assert checked(description, client, call)["status"] == 422


# -- in somebody else's app ------------------------------------------------------------------


def test_an_app_of_ones_own_keeps_its_description(tmp_path: Path) -> None:
    """Its title is its own, and ours are described as well as in the app that we make."""
    app = FastAPI(title="Mine", version="7")
    attach(app, [make_kb(tmp_path / "kb", "a")], state_dir=tmp_path / "state")
    document = app.openapi()
    assert document["info"] == {"title": "Mine", "version": "7"}
    with client_of(app) as client:
        checked(Description(document), client, ("GET", ENTRY, "/api/entries/a", {}))
    assert set(Description(document).operations) == {call[:2] for call in CALLS} | {STREAM, METRICS}


def test_no_answer_is_validated_by_its_declared_shape(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Describing an answer costs nothing when it is given: what the index says goes out as it is."""
    monkeypatch.setattr("pyrite_watch.index.queries.load_stats", lambda connection: {"more": 1})
    monkeypatch.setattr("pyrite_watch.index.queries.load_problems", lambda connection, kb: {"less": 0})
    monkeypatch.setattr("pyrite_watch.index.search.load_hits", lambda *asked: [{"other": None}])
    assert client.get("/api/stats").json() == {"more": 1}
    assert client.get("/api/problems").json() == {"problems": {"less": 0}}
    assert client.get("/api/search?q=x").json()["results"] == [{"other": None}]
