"""Every HTTP row of the interface that exists so far, over starlette's client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from harness.wait import eventually
from live_app import BASE_URL, client_of, live_of_app, make_app, write_entry
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from pyrite_watch import __version__
from pyrite_watch.errors import EntryNotFoundError
from pyrite_watch.index.reader import Snapshot
from pyrite_watch.server.context import AnswerHead
from pyrite_watch.server.endpoints.admin import _without_paths
from pyrite_watch.service import KBService

Json = dict[str, Any]

ENTRY_FIELDS = {
    "id", "kb_name", "entry_type", "title", "body", "summary", "importance", "status", "tags", "date",
    "outlinks", "backlinks", "file_path", "path", "created_at", "updated_at", "revision", "metadata",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the KBs are."""
    return tmp_path_factory.mktemp("http")


@pytest.fixture(scope="module")
def app(folder: Path) -> FastAPI:
    """`notes` with a, b, c and a bad file, `work` with d and its own a."""
    app = make_app(folder)
    notes, work = folder / "kbs" / "notes", folder / "kbs" / "work"
    write_entry(notes, "a", "See [[b]] and [[work:d]].", "type: concept\ntags: [x, y]\nimportance: 3\n")
    write_entry(notes, "b", "See [[nowhere]].", "tags: [x]\nscore: .nan\n")
    write_entry(work, "a")
    (notes / "bad.md").write_text("---\ntitle: [\n---\n", encoding="utf-8")
    return app


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    """The running app."""
    with client_of(app) as client:
        yield client


def ask(client: TestClient, path: str, status: int = 200) -> Json:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert isinstance(body, dict)
    return body


def position_of(client: TestClient) -> str:
    return str(client.get("/api/stats").headers["Pyrite-Position"])


def error_of(body: Json) -> str:
    """The code of an answer in the shape of errors."""
    assert set(body) == {"detail"}
    assert set(body["detail"]) in ({"code", "message"}, {"code", "message", "hint"})
    assert body["detail"]["message"]
    return str(body["detail"]["code"])


# -- the position ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/kbs", 200),
        ("GET", "/api/state", 200),
        ("GET", "/api/entries", 200),
        ("GET", "/api/entries/a", 200),
        ("GET", "/api/problems", 200),
        ("GET", "/api/stats", 200),
        ("GET", "/api/events/log", 200),
        ("POST", "/api/index/sync?kb=work", 200),
        ("POST", "/api/index/sync?wait=false", 200),
        ("GET", "/api/entries/none", 404),
        ("GET", "/api/entries?kb=none", 404),
        ("GET", "/api/entries?limit=0", 422),
        ("GET", "/api/events/log?since=x", 400),
        ("GET", "/api/events/log?since=x:1", 410),
        ("GET", "/api/index/jobs/none", 404),
        ("GET", "/api/none", 404),
        ("DELETE", "/api/kbs", 405),
        ("HEAD", "/api/kbs", 200),
    ],
)
def test_every_api_answer_carries_the_position(
    client: TestClient, method: str, path: str, status: int
) -> None:
    """Refusals, too."""
    answer = client.request(method, path)
    assert answer.status_code == status
    epoch, _, offset = answer.headers["Pyrite-Position"].rpartition(":")
    assert epoch == position_of(client).rpartition(":")[0]
    assert offset.isdigit()


@pytest.mark.parametrize("path", ["/api/entries", "/api/entries/a", "/api/kbs", "/api/state", "/api/stats"])
def test_the_position_is_of_the_same_transaction_as_the_data(
    client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """What is committed between the position and the data is in neither.

    The commit happens when the snapshot has its position and has read nothing else.
    """
    before = position_of(client)
    service = live_of_app(app).service
    asked: list[str] = []
    note = Snapshot.__init__

    def commit_now(self: Snapshot, *values: Any) -> None:
        note(self, *values)
        if not asked:
            asked.append(str(self.position))
            write_entry(service.kbs["notes"].root, f"late{path.count('/')}{len(path)}")
            service.sync_index("notes")

    total = ask(client, "/api/entries")["total"]
    monkeypatch.setattr(Snapshot, "__init__", commit_now)
    answer = client.get(path)
    assert answer.headers["Pyrite-Position"] == asked[0] == before
    assert position_of(client) != before
    if path == "/api/entries":
        assert answer.json()["total"] == total
    if path == "/api/state":
        first, *lines = answer.text.splitlines()
        assert f"{json.loads(first)['epoch']}:{json.loads(first)['offset']}" == before
        assert len(lines) == total


# -- health, kbs, stats, problems ------------------------------------------------------------


def test_health_says_how_it_is_and_names_no_knowledge_base(client: TestClient, folder: Path) -> None:
    """It needs no token: who may not know what is there does not learn it here."""
    answer = client.get("/health")
    body = answer.json()
    assert body["status"] == "ok"
    assert body["timestamp"].endswith("Z")
    assert body["ready"] is True
    assert body["indexing"] is None
    assert body["version"] == __version__
    assert body["watch"]["mode"]
    assert set(body["last_sweep"]) == {"at", "duration_ms", "count", "repairs"}
    assert body["connections"] == 0
    for secret in (str(folder), "notes", "work"):
        assert secret not in answer.text
    assert "Pyrite-Position" not in answer.headers


@pytest.mark.parametrize("text", ["No such file: /home/x/notes", 'about ["C:\\notes"]'])
def test_health_repeats_no_paths_of_other_peoples_errors(text: str) -> None:
    """A watcher's error text names the folder that it is about."""
    assert _without_paths(text) == "the server's log says why"
    assert _without_paths("5,000 notifications at once") == "5,000 notifications at once"
    assert _without_paths(None) is None


def test_kbs_are_listed_in_pyrites_shape(client: TestClient, folder: Path) -> None:
    """In the order in which they were named, with what the index knows."""
    body = ask(client, "/api/kbs")
    assert body["total"] == 2
    notes, work = body["kbs"]
    assert set(notes) == {
        "name", "type", "path", "entries", "indexed", "source", "description", "read_only", "last_indexed",
        "available", "problems",
    }  # fmt: skip
    assert (notes["name"], work["name"]) == ("notes", "work")
    assert notes["path"] == str(folder / "kbs" / "notes")
    assert (work["entries"], work["problems"], notes["problems"]) == (2, 0, 1)
    assert notes["indexed"] is notes["available"] is True
    assert notes["read_only"] is False


def test_stats_are_totals(client: TestClient) -> None:
    """They agree with the list."""
    body = ask(client, "/api/stats")
    assert body["total_entries"] == ask(client, "/api/entries")["total"]
    assert body["kbs"]["work"] == {"entries": 2, "problems": 0}
    assert body["total_tags"] == 2
    assert body["total_links"] == 3
    assert body["total_problems"] == 1


def test_problems_say_where_and_what(client: TestClient) -> None:
    """With the line, where there is one."""
    (problem,) = ask(client, "/api/problems")["problems"]
    assert set(problem) == {"kb_name", "path", "kind", "message", "line", "since"}
    assert (problem["kb_name"], problem["path"], problem["kind"]) == ("notes", "bad.md", "yaml")
    assert ask(client, "/api/problems?kb=work") == {"problems": []}
    assert error_of(ask(client, "/api/problems?kb=none", 404)) == "KB_NOT_FOUND"


# -- entries ---------------------------------------------------------------------------------


def test_one_entry_has_every_field(client: TestClient, folder: Path) -> None:
    """Of Pyrite's shape, and its own path and revision."""
    body = ask(client, "/api/entries/a?kb=notes")
    assert set(body) == ENTRY_FIELDS
    assert body["file_path"] == str(folder / "kbs" / "notes" / "a.md")
    assert (body["path"], body["entry_type"], body["importance"]) == ("a.md", "concept", 3)
    assert body["tags"] == ["x", "y"]
    assert [(link["id"], link["kb_name"], link["exists"]) for link in body["outlinks"]] == [
        ("b", "notes", True),
        ("d", "work", True),
    ]
    assert [link["id"] for link in ask(client, "/api/entries/b")["backlinks"]] == ["a"]


def test_one_entry_has_its_revision_as_etag_and_is_not_stored(client: TestClient) -> None:
    """Backlinks change without it: no cache may keep the answer."""
    answer = client.get("/api/entries/a?kb=work")
    assert answer.headers["ETag"] == f'"{answer.json()["revision"]}"'
    assert answer.headers["Cache-Control"] == "no-store"


def test_without_a_knowledge_base_the_first_that_has_it_answers(client: TestClient) -> None:
    """In the order in which they were named."""
    assert ask(client, "/api/entries/a")["kb_name"] == "notes"
    assert ask(client, "/api/entries/a?kb=work")["kb_name"] == "work"
    assert ask(client, "/api/entries/d")["kb_name"] == "work"


def test_what_json_has_no_number_for_is_still_answered(client: TestClient) -> None:
    """YAML's `.nan` in somebody's front matter."""
    assert ask(client, "/api/entries/b")["metadata"]["score"] == "nan"


@pytest.mark.parametrize("entry_id", ["none", "%00", "%ff", "..%2f..%2fsecret", "a%0a", "é"])
def test_an_unknown_entry_is_404(client: TestClient, entry_id: str) -> None:
    """Whatever its name is."""
    assert error_of(ask(client, f"/api/entries/{entry_id}", 404)) == "NOT_FOUND"


def test_an_unknown_knowledge_base_is_404(client: TestClient) -> None:
    """On every call that takes one."""
    for path in (
        "/api/entries?kb=none",
        "/api/entries/a?kb=none",
        "/api/state?kb=none",
        "/api/problems?kb=x",
    ):
        assert error_of(ask(client, path, 404)) == "KB_NOT_FOUND"
    for path in ("/api/events/log?kb=notes&kb=none", "/api/entries?kb="):
        assert error_of(ask(client, path, 404)) == "KB_NOT_FOUND"
    for wait in ("true", "false"):
        answer = client.post(f"/api/index/sync?kb=none&wait={wait}")
        assert answer.status_code == 404
        assert error_of(answer.json()) == "KB_NOT_FOUND"


def test_a_page_of_entries_has_the_totals(client: TestClient) -> None:
    """`limit` and `offset` come back; the pages make up the whole."""
    body = ask(client, "/api/entries?limit=2&offset=1&sort_by=id&sort_order=asc&kb=work")
    assert {key: body[key] for key in ("total", "limit", "offset")} == {"total": 2, "limit": 2, "offset": 1}
    assert [entry["id"] for entry in body["entries"]] == ["d"]
    assert set(body["entries"][0]) == ENTRY_FIELDS
    assert ask(client, "/api/entries")["limit"] == 50


def test_fields_leave_the_rest_out(client: TestClient) -> None:
    """Blanks do no harm, nor do names that are none."""
    entries = ask(client, "/api/entries?fields=id,%20title,shoe_size")["entries"]
    assert all(set(entry) == {"id", "title"} for entry in entries)
    entries = ask(client, "/api/entries?fields=backlinks&kb=work")["entries"]
    assert all(set(entry) == {"backlinks"} for entry in entries)


def test_entries_are_filtered(client: TestClient) -> None:
    """By type, by tag, by both."""
    assert [entry["id"] for entry in ask(client, "/api/entries?entry_type=concept")["entries"]] == ["a"]
    tagged = ask(client, "/api/entries?tag=x&sort_by=id&sort_order=asc")
    assert [entry["id"] for entry in tagged["entries"]] == ["a", "b"]
    assert ask(client, "/api/entries?tag=x&entry_type=note")["total"] == 1
    assert ask(client, "/api/entries?tag=%25")["total"] == 0


@pytest.mark.parametrize(
    "column", ["updated_at", "created_at", "title", "id", "entry_type", "importance", "date", "path"]
)
def test_entries_are_sorted_both_ways(client: TestClient, column: str) -> None:
    """By each column; the list is the same one."""
    up = ask(client, f"/api/entries?sort_by={column}&sort_order=asc")["entries"]
    down = ask(client, f"/api/entries?sort_by={column}&sort_order=desc")["entries"]
    key = [entry[column] for entry in up]
    assert key == sorted(
        key, key=lambda value: (value is not None, value or 0 if column == "importance" else value or "")
    )
    assert [entry[column] for entry in down] == key[::-1]
    assert {(entry["kb_name"], entry["id"]) for entry in up} == {
        (entry["kb_name"], entry["id"]) for entry in down
    }


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "offset=-1", "offset=99999999999999999999", "sort_by=body",
     "sort_by=id;drop", "sort_order=up"],
)  # fmt: skip
def test_bad_input_is_422_as_fastapi_says_it(client: TestClient, query: str) -> None:
    """A list of what is wrong, by its place."""
    detail = ask(client, f"/api/entries?{query}", 422)["detail"]
    assert detail[0]["loc"] == ["query", query.partition("=")[0]]


# -- the state -------------------------------------------------------------------------------


def test_the_state_is_the_position_then_a_line_an_entry(client: TestClient) -> None:
    """As NDJSON; the line's fields are what a replica needs."""
    answer = client.get("/api/state")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.text.endswith("\n")
    first, *lines = [json.loads(line) for line in answer.text.splitlines()]
    assert f"{first['epoch']}:{first['offset']}" == answer.headers["Pyrite-Position"]
    assert len(lines) == ask(client, "/api/stats")["total_entries"]
    assert set(lines[0]) == {
        "kb_name", "id", "path", "title", "entry_type", "tags", "revision", "updated_at",
    }  # fmt: skip
    (line,) = [line for line in lines if (line["kb_name"], line["id"]) == ("notes", "a")]
    entry = ask(client, "/api/entries/a")
    assert line == {key: entry[key] for key in line}


def test_the_state_of_one_knowledge_base(client: TestClient) -> None:
    """Has the same first line."""
    first, *lines = client.get("/api/state?kb=work").text.splitlines()
    assert set(json.loads(first)) == {"epoch", "offset"}
    assert [json.loads(line)["id"] for line in lines] == ["a", "d"]


# -- the log ---------------------------------------------------------------------------------


def test_the_log_is_read_in_pages_without_a_gap(client: TestClient) -> None:
    """`offset` is where the next page begins; `more` says whether there is one."""
    since = position_of(client)
    for kb in ("notes", "work", "notes", "notes", "work"):
        assert client.post(f"/api/index/sync?kb={kb}").status_code == 200
    seen: list[Json] = []
    position, pages = since, 0
    while True:
        page = ask(client, f"/api/events/log?since={position}&limit=2")
        assert set(page) == {"events", "epoch", "offset", "more", "compacted"}
        assert page["compacted"] is False
        seen += page["events"]
        position, pages = f"{page['epoch']}:{page['offset']}", pages + 1
        if not page["more"]:
            break
    first = int(since.rpartition(":")[2]) + 1
    assert [event["offset"] for event in seen] == list(range(first, first + 5))
    assert pages == 3
    assert position == position_of(client)


def test_the_log_of_one_knowledge_base_ends_at_the_logs_own_position(client: TestClient) -> None:
    """Who goes on from there does not read the others' events again."""
    since = position_of(client)
    for kb in ("notes", "work", "notes"):
        client.post(f"/api/index/sync?kb={kb}")
    page = ask(client, f"/api/events/log?since={since}&kb=work")
    assert [event["kb_name"] for event in page["events"]] == ["work"]
    assert f"{page['epoch']}:{page['offset']}" == position_of(client)
    both = ask(client, f"/api/events/log?since={since}&kb=work&kb=notes")
    assert len(both["events"]) == 3
    part = ask(client, f"/api/events/log?since={since}&kb=notes&limit=1")
    assert (part["more"], part["offset"]) == (True, int(since.rpartition(":")[2]) + 1)


def test_the_log_begins_at_its_beginning(client: TestClient) -> None:
    """Without `since`; and at its end nothing is left."""
    assert ask(client, "/api/events/log?limit=1")["events"][0]["offset"] == 1
    page = ask(client, f"/api/events/log?since={position_of(client)}")
    assert (page["events"], page["more"]) == ([], False)


def test_positions_that_are_none_or_lost_are_refused(client: TestClient) -> None:
    """400 for what is malformed, 410 for another epoch and for the future."""
    for since in ("x", "", "a:b", "a:-1", ":1"):
        assert error_of(ask(client, f"/api/events/log?since={since}", 400)) == "POSITION_MALFORMED"
    epoch, _, offset = position_of(client).rpartition(":")
    for since in ("other:0", f"{epoch}:{int(offset) + 1}"):
        assert error_of(ask(client, f"/api/events/log?since={since}", 410)) == "POSITION_LOST"
    assert client.get("/api/events/log?limit=1001").status_code == 422


# -- sync ------------------------------------------------------------------------------------


def test_a_sync_tells_what_differs(client: TestClient, folder: Path) -> None:
    """It answers when that is committed: a read after it sees it."""
    root = folder / "kbs" / "work"
    write_entry(root, "e")
    body = client.post("/api/index/sync?kb=work").json()
    assert set(body) == {"synced", "added", "updated", "removed"}
    assert body["synced"] is True
    assert ask(client, "/api/entries/e?kb=work")["id"] == "e"
    (root / "e.md").unlink()
    client.post("/api/index/sync")
    assert ask(client, "/api/entries/e?kb=work", 404)


def test_a_sync_that_is_not_waited_for_is_a_job(client: TestClient) -> None:
    """Asked for by its id, it is completed in the end, with its counts."""
    body = client.post("/api/index/sync?wait=false").json()
    assert body == {"job_id": body["job_id"], "status": "submitted"}

    def completed() -> Json:
        job = ask(client, f"/api/index/jobs/{body['job_id']}")
        assert job["status"] in ("submitted", "running", "completed")
        return job if job["status"] == "completed" else {}

    assert eventually(completed) == {
        "job_id": body["job_id"],
        "status": "completed",
        "added": 0,
        "updated": 0,
        "removed": 0,
    }
    assert error_of(ask(client, "/api/index/jobs/none", 404)) == "NOT_FOUND"


def test_many_syncs_at_once_leave_threads_for_others(client: TestClient, app: FastAPI) -> None:
    """Each held one of the forty threads in which all other calls are answered."""
    go_on = threading.Event()
    blocking = live_of_app(app).pipeline.call(lambda reconciler: go_on.wait(20))
    threads = [threading.Thread(target=client.post, args=("/api/index/sync",)) for _ in range(45)]
    try:
        for thread in threads:
            thread.start()
        done: list[int] = []
        asking = threading.Thread(target=lambda: done.append(client.get("/health").status_code))
        asking.start()
        asking.join(10)
        assert done == [200]
    finally:
        go_on.set()
        blocking.result(20)
        for thread in threads:
            thread.join(20)


# -- shapes ----------------------------------------------------------------------------------


def test_unknown_routes_and_methods_have_the_shape_of_errors(client: TestClient) -> None:
    """Below /api and beside it."""
    assert error_of(ask(client, "/api/none", 404)) == "NOT_FOUND"
    assert error_of(ask(client, "/none", 404)) == "NOT_FOUND"
    answer = client.put("/api/kbs")
    assert answer.status_code == 405
    assert error_of(answer.json()) == "METHOD_NOT_ALLOWED"
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/health", "/api/kbs", "/api/state", "/api/entries/a"])
def test_head_answers_as_get_without_the_body(client: TestClient, path: str) -> None:
    """It was 405 everywhere."""
    get, head = client.get(path), client.head(path)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert head.headers.get("Pyrite-Position") == get.headers.get("Pyrite-Position")
    assert client.head("/api/entries/none").status_code == 404


def test_head_sends_no_part_of_the_body(client: TestClient) -> None:
    """Also of one that comes in parts, whatever the server in front would leave out by itself."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["method"] == "GET"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"a", b"b"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"c"})

    assert client.portal is not None
    client.portal.call(AnswerHead(stream), {"type": "http", "method": "HEAD"}, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1] == {"type": "http.response.body", "body": b""}


def test_a_fault_of_ours_has_the_shape_of_errors(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says nothing of the inside."""

    def fail(*_: Any) -> None:
        raise ValueError("secret")

    monkeypatch.setattr("pyrite_watch.index.queries.load_stats", fail)
    quiet = TestClient(app, base_url=BASE_URL, raise_server_exceptions=False)
    answer = quiet.get("/api/stats")
    assert answer.status_code == 500
    assert error_of(answer.json()) == "INTERNAL_ERROR"
    assert "secret" not in answer.text


def test_the_description_of_the_api_is_there_and_honest(client: TestClient) -> None:
    """Every path in it answers; the state is no JSON; errors are of their shape."""
    schema = ask(client, "/openapi.json")
    assert (schema["info"]["title"], schema["info"]["version"]) == ("Pyrite Watch", __version__)
    paths = schema["paths"]
    assert set(paths) >= {
        "/health", "/api/kbs", "/api/state", "/api/entries", "/api/entries/{entry_id}", "/api/problems",
        "/api/stats", "/api/events/log", "/api/index/sync", "/api/index/jobs/{job_id}",
    }  # fmt: skip
    assert not any(path.startswith("/web") or path == "/" for path in paths)
    assert set(paths["/api/state"]["get"]["responses"]["200"]["content"]) == {"application/x-ndjson"}
    refused = paths["/api/entries/{entry_id}"]["get"]["responses"]["404"]["content"]["application/json"]
    assert refused["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}
    assert {"400", "404", "410"} <= set(paths["/api/events/log"]["get"]["responses"])
    for path, calls in paths.items():
        assert all(call["description"] for call in calls.values()), path


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/entries", "GET, HEAD, POST"),
        ("/api/entries/a", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/api/index/sync", "POST"),
    ],
)
def test_405_names_every_method_of_the_path(client: TestClient, path: str, allowed: str) -> None:
    """The router names those of the first route only."""
    answer = client.request("PROPFIND", path)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["/api/kbs/", "/health/", "/api/entries/"])
def test_a_slash_too_many_leads_nowhere(client: TestClient, path: str) -> None:
    """It was answered with where the server believes to be: of another scheme, and out of the sub-path."""
    answer = client.get(path, follow_redirects=False)
    assert answer.status_code == 404, answer.headers
    assert answer.json()["detail"]["code"] == "NOT_FOUND"


def test_an_error_has_the_position_at_which_it_was_found(
    folder: Path, app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who follows from there must hear of an entry that came between the look and the answer."""
    live = live_of_app(app)
    find = KBService.get_entry

    def find_late(service: KBService, *arguments: Any) -> Any:
        try:
            return find(service, *arguments)
        except EntryNotFoundError:
            write_entry(folder / "kbs" / "work", "late")
            live.service.sync_index("work")
            eventually(lambda: live.manager.hub.position == live.pipeline.store.position)
            raise

    before = live.pipeline.store.position
    monkeypatch.setattr(KBService, "get_entry", find_late)
    answer = client.get("/api/entries/late")
    assert answer.status_code == 404
    assert answer.headers["Pyrite-Position"] == str(before)
    assert live.manager.hub.position.offset > before.offset
    monkeypatch.undo()
    assert client.get("/api/entries/late").status_code == 200
