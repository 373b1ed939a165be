"""`GET /api/search` over HTTP: its shape, its errors, its position, and what the description says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import example, given, settings
from hypothesis import strategies as st
from live_app import client_of, live_of_app, make_app, write_entry
from starlette.testclient import TestClient

Json = dict[str, Any]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """`notes` (a, b, c) and `work` (d); three of them are about copper."""
    folder = tmp_path_factory.mktemp("search")
    app = make_app(folder)
    write_entry(folder / "kbs" / "notes", "a", "Copper & <b>zinc</b>.", "tags: [metal]\nimportance: 3\n")
    write_entry(folder / "kbs" / "notes", "b", "No copper here.", "date: 2024-05-06\n")
    write_entry(folder / "kbs" / "work", "d", "Copper rivets.")
    return app


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    """The running app."""
    with client_of(app) as client:
        yield client


def ask(client: TestClient, status: int = 200, **params: Any) -> Json:
    answer = client.get("/api/search", params=params)
    assert answer.status_code == status, answer.text
    assert ":" in answer.headers["Pyrite-Position"]
    body: Json = answer.json()
    return body


def test_the_answer_has_the_interfaces_shape(client: TestClient) -> None:
    """With Pyrite's `date` and `importance` beside it."""
    assert ask(client, q="zinc") == {
        "query": "zinc",
        "count": 1,
        "results": [
            {
                "id": "a",
                "kb_name": "notes",
                "entry_type": "note",
                "title": "Title of a",
                "snippet": "Copper &amp; &lt;b&gt;<mark>zinc</mark>&lt;/b&gt;.",
                "tags": ["metal"],
                "date": None,
                "importance": 3,
            }
        ],
    }
    (hit,) = ask(client, q="here")["results"]
    assert hit["date"] == "2024-05-06"


def test_kb_and_limit_narrow_it_down(client: TestClient) -> None:
    """`count` is how many results there are in the answer."""
    assert ask(client, q="copper")["count"] == 3
    assert ask(client, q="copper", limit=2)["count"] == 2
    assert [hit["id"] for hit in ask(client, q="copper", kb="work")["results"]] == ["d"]


@pytest.mark.parametrize("text", ["", "  ", "!!"])
def test_no_word_finds_nothing(client: TestClient, text: str) -> None:
    """It is not an error: a search box begins empty."""
    assert ask(client, q=text) == {"query": text, "count": 0, "results": []}


def test_an_unknown_kb_is_404(client: TestClient) -> None:
    """As everywhere."""
    assert ask(client, 404, q="x", kb="nope")["detail"]["code"] == "KB_NOT_FOUND"


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x"])
def test_a_limit_out_of_range_is_422(client: TestClient, limit: str) -> None:
    """1 to 100."""
    assert ask(client, 422, q="x", limit=limit)["detail"]


@pytest.mark.parametrize("limit", [1, 100])
def test_the_limits_of_the_limit_are_allowed(client: TestClient, limit: int) -> None:
    """Both ends."""
    assert ask(client, q="copper", limit=limit)["count"] == min(3, limit)


def test_without_q_is_422(client: TestClient) -> None:
    """A misspelt parameter is told."""
    ask(client, 422, query="copper")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
@example('" OR 1')
@example("\0")
@example("NEAR(a b)")
def test_any_text_is_answered(client: TestClient, text: str) -> None:
    """Whatever is typed: 200, and the text comes back."""
    assert ask(client, q=text)["query"] == text


def test_the_position_is_the_snapshots(
    client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the hub's, which may be behind or ahead of what was read."""
    hub = live_of_app(app).manager.hub
    monkeypatch.setattr(hub, "position", "elsewhere:0")
    answer = client.get("/api/search", params={"q": "copper"})
    assert answer.headers["Pyrite-Position"] == str(live_of_app(app).pipeline.store.position)


def test_what_an_event_tells_is_found(client: TestClient, app: FastAPI) -> None:
    """The text index is committed with the event."""
    live = live_of_app(app)
    write_entry(live.service.kbs["notes"].root, "c", "Molybdenum.")
    live.service.sync_index("notes")
    assert [hit["id"] for hit in ask(client, q="molybdenum")["results"]] == ["c"]


def test_the_description_has_an_example_and_the_errors(client: TestClient) -> None:
    """Of the answer, of 404 and of 422."""
    description = client.get("/openapi.json").json()
    call = description["paths"]["/api/search"]["get"]
    assert {"200", "404", "422", "503"} <= set(call["responses"])
    assert call["responses"]["404"]["content"]["application/json"]["example"]["detail"]["code"]
    shape = description["components"]["schemas"]["SearchAnswer"]
    assert shape["examples"][0]["results"][0].keys() == {
        "id", "kb_name", "entry_type", "title", "snippet", "tags", "date", "importance",
    }  # fmt: skip
