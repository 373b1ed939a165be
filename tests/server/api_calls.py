"""Every call of the API, and asking one so that its answer is held against what is declared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx2
from declared import Description
from fastapi import FastAPI
from live_app import make_app, make_kb, write_entry
from starlette.testclient import TestClient

Json = dict[str, Any]
Call = tuple[str, str, str, Json]

ENTRY = "/api/entries/{entry_id}"
JOB = "/api/index/jobs/{job_id}"

CALLS: list[Call] = [
    ("GET", "/health", "/health", {}),
    ("GET", "/api/kbs", "/api/kbs", {}),
    ("GET", "/api/problems", "/api/problems", {}),
    ("GET", "/api/stats", "/api/stats", {}),
    ("GET", "/api/state", "/api/state", {}),
    ("GET", "/api/entries", "/api/entries", {}),
    ("GET", ENTRY, "/api/entries/a", {}),
    ("GET", "/api/search", "/api/search?q=text", {}),
    ("GET", "/api/events/log", "/api/events/log", {}),
    ("GET", JOB, "/api/index/jobs/none", {}),
    ("POST", "/api/index/sync", "/api/index/sync", {}),
    ("POST", "/api/entries", "/api/entries", {"json": {"kb": "notes", "title": "Z"}}),
    ("PUT", ENTRY, "/api/entries/a", {"json": {"kb": "notes", "body": "x"}}),
    ("PATCH", ENTRY, "/api/entries/a", {"json": {"kb": "notes", "field": "x", "value": 1}}),
    ("DELETE", ENTRY, "/api/entries/a?kb=notes", {}),
]
"""Every call that ends, once, in its simplest form."""

STREAM = ("GET", "/api/events")
"""The one that does not end: no test may wait for the end of its answer."""

METRICS = ("GET", "/metrics")
"""The one whose answer is neither JSON nor a stream of it: `test_metrics.py` has it."""

PAGE = {("GET", "/render/{kb}/{entry_id}"), ("POST", "/render/{kb}"), ("GET", "/files/{kb}/{path}")}
"""Those of the page, whose answers are no JSON either: `test_render_api.py` has them."""

WRITES = [call for call in CALLS if call[0] != "GET"]
BELOW_API = [call for call in CALLS if call[1] != "/health"]


def varied_app(folder: Path) -> FastAPI:
    """`notes` with links, a bad file, a pipe and a type that leads outside; `work` with d."""
    notes = make_kb(folder / "kbs" / "notes", "a", "b", "c")
    make_kb(folder / "kbs" / "work", "d")
    (notes / "kb.yaml").write_text("name: notes\ntypes:\n  up: {subdirectory: ../outside}\n")
    front = "type: concept\ntags: [x]\nimportance: 3\nstatus: draft\ndate: 2024-05-06\nsummary: S.\n"
    write_entry(notes, "a", "See [[b]] and [[nowhere]].", front)
    (notes / "bad.md").write_text("---\ntitle: [\n---\n", encoding="utf-8")
    os.mkfifo(notes / "pipe.md")
    return make_app(folder)


def checked(description: Description, client: TestClient, call: Call, **more: Any) -> Json:
    """Ask; the answer is as declared, whatever it is."""
    method, path, url, options = call
    answer: httpx2.Response = client.request(method, url, **{**options, **more})
    body = description.check(method, path, answer)
    assert isinstance(body, dict | list)
    return {"status": answer.status_code, "body": body}


def code_of(told: Json) -> str:
    return str(told["body"]["detail"]["code"])


def refused(description: Description, client: TestClient, call: Call, code: str, **more: Any) -> None:
    told = checked(description, client, call, **more)
    assert told["status"] >= 400, f"{call[:3]} was not refused: {told}"
    assert code_of(told) == code, call[:3]
