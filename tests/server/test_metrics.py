"""`GET /metrics`: Prometheus's text format, read by a parser that is as strict as Prometheus's own."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_calls import METRICS, Json, code_of
from declared import Description, codes_of, examples_of
from fastapi import FastAPI
from harness.wait import eventually
from live_app import BASE_URL, client_of, live_of_app, make_app, make_kb, write_entry
from starlette.testclient import TestClient

from pyrite_watch import __version__, create_app
from pyrite_watch.live.frames import guest_frame
from pyrite_watch.server.endpoints.metrics import Family, render

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')


def parsed(text: str) -> Samples:
    """Read the text format 0.0.4: each family has HELP, TYPE and then its samples, in one place."""
    assert text.endswith("\n")
    found: Samples = {}
    kinds: dict[str, str] = {}
    helped: list[str] = []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, told = line.removeprefix("# HELP ").split(" ", 1)
            assert name not in helped, f"{name} comes twice"
            assert told
            helped.append(name)
        elif line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            assert helped[-1] == name
            assert kind in ("counter", "gauge")
            assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
            kinds[name] = kind
        else:
            match = _SAMPLE.fullmatch(line)
            assert match is not None, line
            assert match[1] == helped[-1], f"{match[1]} is not below its HELP and TYPE"
            labels = _labels(match[2] or "")
            key = match[1], frozenset(labels.items())
            assert key not in found, f"{line} comes twice"
            found[key] = float(match[3])
    assert set(kinds) == set(helped)
    return found


def _labels(text: str) -> dict[str, str]:
    labels, at = {}, 0
    while at < len(text):
        match = _LABEL.match(text, at)
        assert match is not None, text
        labels[match[1]] = re.sub(r"\\(.)", lambda one: {"n": "\n"}.get(one[1], one[1]), match[2])
        at = match.end()
    return labels


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"pyrite_watch_{name}", frozenset(labels.items())]


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    """`notes` with a, b, c; `work` with d."""
    return make_app(tmp_path)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """The running app."""
    with client_of(app) as client:
        yield client


def scrape(client: TestClient) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parsed(answer.text)


def test_what_is_true_is_told(client: TestClient, app: FastAPI) -> None:
    """Counts of each knowledge base, the log's position, the version, and that it is ready."""
    samples = scrape(client)
    position = live_of_app(app).pipeline.store.position
    assert value(samples, "entries", kb="notes") == 3
    assert value(samples, "entries", kb="work") == 1
    assert value(samples, "problems", kb="notes") == 0
    assert value(samples, "available", kb="work") == 1
    assert value(samples, "log_offset") == position.offset
    assert value(samples, "epoch_info", epoch=position.epoch) == 1
    assert value(samples, "build_info", version=__version__) == 1
    assert value(samples, "ready") == 1
    assert value(samples, "index_failing") == 0


def test_what_happens_is_counted(client: TestClient, app: FastAPI, tmp_path: Path) -> None:
    """Events, published messages and the offset rise with a change; a problem and an absence show."""
    before = scrape(client)
    write_entry(tmp_path / "kbs" / "notes", "new")
    (tmp_path / "kbs" / "notes" / "bad.md").write_text("---\nid: [\n---\n", encoding="utf-8")
    (tmp_path / "kbs" / "work").rename(tmp_path / "away")

    def told() -> bool:
        now = scrape(client)
        return (
            value(now, "entries", kb="notes") == 4
            and value(now, "problems", kb="notes") == 1
            and value(now, "available", kb="work") == 0
        )

    eventually(told, what="the change in the metrics")
    after = scrape(client)
    for name in ("events_total", "log_offset", "frames_total"):
        assert value(after, name) > value(before, name), name
    assert value(after, "last_lag_seconds") >= 0


def test_readers_are_counted(client: TestClient) -> None:
    """Those of sockets, while they are there."""
    assert value(scrape(client), "connections") == 0
    with client.websocket_connect("ws://127.0.0.1:8088/ws?since=now") as socket:
        assert socket.receive_json()["type"] == "ready"
        samples = scrape(client)
        assert (value(samples, "connections"), value(samples, "subscribers")) == (1, 1)
    eventually(lambda: value(scrape(client), "connections") == 0)


def test_a_cut_off_subscriber_is_counted(client: TestClient, app: FastAPI) -> None:
    """One that never asks for its frames, and falls off the hub's log."""
    hub, loop = live_of_app(app).manager.hub, live_of_app(app).manager.loop
    assert loop is not None

    def flood() -> None:
        hub.subscribe()
        for _ in range(20):
            hub.publish([guest_frame({"text": "x" * (1 << 20)})])

    loop.call_soon_threadsafe(flood)
    eventually(lambda: value(scrape(client), "subscribers_cut_off_total") == 1)
    samples = scrape(client)
    assert value(samples, "frames_kept") < value(samples, "frames_total")


def test_trouble_with_the_index_shows(client: TestClient, app: FastAPI, tmp_path: Path) -> None:
    """Somebody holds the index locked: that is to wake a person, and it passes."""
    pipeline = live_of_app(app).pipeline
    # Else SQLite waits for a second each time.
    pipeline.call(lambda reconciler: pipeline.store.connection.execute("PRAGMA busy_timeout = 20")).result()
    other = sqlite3.connect(tmp_path / "state" / "index.sqlite", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        write_entry(tmp_path / "kbs" / "notes", "late")
        eventually(lambda: value(scrape(client), "index_failing") == 1, what="the trouble")
        assert value(scrape(client), "index_retries_total") >= 1
        other.execute("ROLLBACK")
    finally:
        other.close()
    eventually(lambda: value(scrape(client), "index_failing") == 0, what="its end")
    assert value(scrape(client), "entries", kb="notes") == 4


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "ünï →", "a{b},c"])
def test_any_name_of_a_knowledge_base_is_a_label(tmp_path: Path, name: str) -> None:
    """Quotes and backslashes are escaped, so that a name cannot make samples of its own."""
    root = make_kb(tmp_path / "kb", "a")
    with client_of(create_app([f"{name}={root}"], state_dir=tmp_path / "state")) as client:
        assert value(scrape(client), "entries", kb=name) == 1


def test_line_ends_are_escaped_everywhere() -> None:
    """Else a text could end its line and begin another."""
    family = Family("x", "gauge", "one\ntwo \\", [({"a": 'b\n"c"\\'}, 0.25)])
    assert render([family, Family("y", "gauge", "none yet", [])]) == (
        '# HELP x one\\ntwo \\\\\n# TYPE x gauge\nx{a="b\\n\\"c\\"\\\\"} 0.25\n'
    )


def test_a_token_is_needed_where_there_is_one(tmp_path: Path) -> None:
    """It names knowledge bases, as `/health` does not; the reading token is enough."""
    app = make_app(tmp_path, token="t0ken-t0ken", read_token="r0ken-r0ken")
    with client_of(app) as client:
        assert client.get("/health").status_code == 200
        refused = client.get("/metrics")
        assert refused.status_code == 401
        assert "notes" not in refused.text
        allowed = client.get("/metrics", headers={"Authorization": "Bearer r0ken-r0ken"})
        assert value(parsed(allowed.text), "entries", kb="notes") == 3


def test_it_is_declared_as_what_it_is(app: FastAPI, client: TestClient) -> None:
    """With an example that is of the format, and the errors of every read."""
    description = Description(client.get("/openapi.json").json())
    operation = description.operations[METRICS]
    assert operation["summary"]
    assert operation["description"]
    ((media_type, content),) = operation["responses"]["200"]["content"].items()
    assert media_type == "text/plain"
    (example,) = examples_of(content)
    live = {name for name, _ in scrape(client)}
    assert {name for name, _ in parsed(example)} <= live
    responses: Json = operation["responses"]
    assert set(responses) == {"200", "401", "403", "500", "503"}
    assert "UNAUTHORIZED" in codes_of(responses["401"])


def test_its_errors_are_json(app: FastAPI) -> None:
    """As of every other call: before the app runs, and when the watch was stopped."""
    before = TestClient(app, base_url=BASE_URL).get("/metrics")
    with client_of(app) as client:
        live_of_app(app).pipeline.stop()
        after = client.get("/metrics")
    for answer, code in ((before, "NOT_RUNNING"), (after, "STOPPED")):
        assert answer.status_code == 503
        assert code_of({"body": answer.json()}) == code


def test_head_has_the_headers_alone(client: TestClient) -> None:
    """As wherever GET is answered."""
    answer = client.head("/metrics")
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
