"""What a request may hold: a body of the size of an entry, and faults that are told in few words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from live_app import client_of, make_app, make_kb
from starlette.testclient import TestClient
from starlette.types import Message, Receive

from pyrite_watch import attach
from pyrite_watch.server import bodies

Json = dict[str, Any]

MAX_ENTRY_BYTES = 100_000
MOST = 6 * MAX_ENTRY_BYTES + bodies.OVERHEAD_BYTES
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An app whose entries are small."""
    with client_of(make_app(tmp_path_factory.mktemp("bodies"), max_entry_bytes=MAX_ENTRY_BYTES)) as client:
        yield client


def post(client: TestClient, **asked: Any) -> httpx2.Response:
    answer: httpx2.Response = client.post("/api/entries", json={"kb": "notes", "title": "x", **asked})
    return answer


def faults(answer: httpx2.Response) -> list[Json]:
    assert answer.status_code == 422, answer.text[:200]
    assert len(answer.content) < 50_000
    told: list[Json] = answer.json()["detail"]
    return told


def refused(answer: httpx2.Response, status: int = 413) -> str:
    assert answer.status_code == status, answer.text[:200]
    code: str = answer.json()["detail"]["code"]
    return code


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "entries"), ("PUT", "entries/a"), ("PATCH", "entries/a")]
)
def test_a_body_that_says_it_is_too_big_is_not_read(client: TestClient, method: str, path: str) -> None:
    """It was read and parsed, 100 MB in 4 s, while nobody else was served."""

    def body() -> Iterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    headers = {**JSON, "Content-Length": str(MOST + 1)}
    assert refused(client.request(method, f"/api/{path}", content=body(), headers=headers)) == "TOO_BIG"


def ask_bare(app: FastAPI, receive: Receive) -> tuple[int, Json]:
    """POST to the running app without a server: a status and a body."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/entries",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8088"), (b"content-type", b"application/json")],
    }
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_a_body_without_a_length_is_read_as_far_as_an_entry_may_go(client: TestClient) -> None:
    """In chunks it may be endless."""
    read = 0

    async def receive() -> Message:
        nonlocal read
        read += 1000
        return {"type": "http.request", "body": b" " * 1000, "more_body": True}

    assert isinstance(client.app, FastAPI)
    status, told = ask_bare(client.app, receive)
    assert (status, told["detail"]["code"]) == (413, "TOO_BIG")
    assert MOST < read <= MOST + 1000


def test_a_body_that_is_broken_off_is_no_fault_of_the_server(client: TestClient) -> None:
    """Whoever sent it is gone."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    assert isinstance(client.app, FastAPI)
    assert ask_bare(client.app, receive)[0] == 400


def test_what_is_too_big_without_its_escapes_is_not_parsed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parsing is what takes long: 95 MB would still be let through by their length."""
    body = {"kb": "notes", "title": "x", "body": "x" * (MAX_ENTRY_BYTES + bodies.OVERHEAD_BYTES)}
    monkeypatch.setattr("starlette.requests.Request.json", None)
    assert refused(client.post("/api/entries", json=body)) == "TOO_BIG"


def test_what_has_too_many_values_is_not_parsed(tmp_path: Path) -> None:
    """Eight million fit into 16 MB, and took 5 s. Commas in a text are no values."""
    many = "," * (bodies.MAX_VALUES + 1)
    with client_of(make_app(tmp_path)) as client:
        content = f'{{"kb": "notes", "title": "x", "tags": [1{many.replace(",", ",1")}]}}'.encode()
        assert refused(client.post("/api/entries", content=content, headers=JSON)) == "TOO_BIG"
        answer = post(client, body=f'a "quoted\\" text{many}')
        assert answer.status_code == 200, answer.text


def test_an_entry_of_the_full_size_fits_however_it_is_escaped(client: TestClient) -> None:
    """As a Python program sends it, for one."""
    text = "\u00e9\n" * (MAX_ENTRY_BYTES // 3 - 100)
    for number, whole in enumerate((True, False)):
        asked = {"kb": "notes", "title": f"Big {number}", "body": text}
        content = json.dumps(asked, ensure_ascii=whole).encode()
        answer = client.post("/api/entries", content=content, headers=JSON)
        assert answer.status_code == 200, answer.text[:200]
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in "letters ") * (MAX_ENTRY_BYTES // 8 - 100)
    content = f'{{"kb": "notes", "title": "Odd", "body": "{escaped}"}}'.encode()
    assert client.post("/api/entries", content=content, headers=JSON).status_code == 200
    assert refused(post(client, body="x" * (MAX_ENTRY_BYTES + 1)), 400) == "INVALID_WRITE"


def test_of_wrong_tags_one_is_told(client: TestClient) -> None:
    """Of 200,001 in 400 KB each was: 20 MB, for which nobody was served for 11 s."""
    (fault,) = faults(post(client, tags=[1] * 40_000))
    assert fault["loc"] == ["body", "tags", 0]
    assert fault["input"] == 1
    (fault,) = faults(post(client, tags=["x"] * 30_000))
    assert (fault["type"], fault["loc"], fault["input"]) == ("too_long", ["body", "tags"], None)
    (fault,) = faults(client.put("/api/entries/a", json={"kb": "notes", "tags": [1] * 40_000}))
    assert fault["loc"] == ["body", "tags", 0]


def test_only_the_first_faults_are_told_and_no_long_input(client: TestClient) -> None:
    """Each would repeat the whole body, or a name of a megabyte."""
    told = faults(post(client, metadata={f"{number:01500}": 1 for number in range(60)}))
    assert len(told) == bodies.MAX_FAULTS
    answer = client.post("/api/entries", json={"body": "x" * 50_000})
    assert [(fault["loc"], fault["input"]) for fault in faults(answer)] == [
        (["body", "kb"], None),
        (["body", "title"], None),
    ]
    deep = "[" * 500 + "]" * 500
    content = f'{{"kb": {deep}, "title": "x"}}'.encode()
    (fault,) = faults(client.post("/api/entries", content=content, headers=JSON))
    assert fault["loc"] == ["body", "kb"]


@pytest.mark.parametrize(
    "asked", [{"tags": ["x" * 1000] * 300}, {"tags": ["x"] * 10_000}, {"metadata": {"x": [1] * 10_000}}]
)
def test_front_matter_that_no_entry_can_hold_is_refused_before_it_is_written(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, asked: Json
) -> None:
    """20 MB of tags were written and read back for half a minute, and then refused."""
    monkeypatch.setattr("pyrite_watch.disk.edit_yaml.new_front", None)
    monkeypatch.setattr("pyrite_watch.disk.edit_yaml.changed_fields", None)
    monkeypatch.setattr(bodies, "OVERHEAD_BYTES", 1 << 20)
    assert refused(post(client, **asked), 400) == "INVALID_WRITE"
    assert refused(client.put("/api/entries/a", json={"kb": "notes", **asked}), 400) == "INVALID_WRITE"


def test_in_somebody_elses_app_only_our_routes_have_a_limit(tmp_path: Path) -> None:
    """The others may take what they like."""
    app = FastAPI()

    @app.post("/mine")
    def take(body: list[int]) -> int:
        return len(body)

    attach(app, [make_kb(tmp_path / "notes", "a")], state_dir=tmp_path / "state", max_entry_bytes=1000)
    with client_of(app) as client:
        assert client.post("/mine", json=[1] * 100_000).json() == 100_000
        assert refused(client.post("/api/entries", json=[1] * 100_000)) == "TOO_BIG"
