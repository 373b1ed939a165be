"""Every row of the interface's write part over HTTP: each success, each error, and what is told of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from harness.reader import revision_of
from harness.wait import eventually
from live_app import client_of, live_of_app, make_app, make_kb, write_entry
from starlette.testclient import TestClient

from pyrite_watch import create_app
from pyrite_watch.server.endpoints.writes import parse_if_match

Json = dict[str, Any]

KB_YAML = """\
name: notes
types:
  concept: {subdirectory: concepts/deep/}
  dotted: {subdirectory: ./dotted}
  here: {subdirectory: .}
  up: {subdirectory: ../outside}
  between: {subdirectory: concepts/../../outside}
  absolute: {subdirectory: ABSOLUTE}
  slash: {subdirectory: /}
  linked: {subdirectory: linked}
  hidden: {subdirectory: .secret}
  templates: {subdirectory: _templates}
  blocked: {subdirectory: a.md}
"""


@dataclass
class Bench:
    """A running app, its KBs, and every event that it told."""

    client: TestClient
    folder: Path
    events: list[Json] = field(default_factory=list)
    markers: int = 0

    @property
    def notes(self) -> Path:
        return self.folder / "kbs" / "notes"

    def ask(self, method: str, path: str, status: int = 200, **options: Any) -> Json:
        answer = self.send(method, path, **options)
        assert answer.status_code == status, answer.text
        body = answer.json()
        assert isinstance(body, dict)
        return body

    def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        answer: httpx2.Response = self.client.request(method, path, **options)
        assert answer.headers["Pyrite-Position"].startswith(self.epoch + ":")
        return answer

    def refused(self, method: str, path: str, status: int, code: str, **options: Any) -> Json:
        """Ask, and be refused in the shape of errors; the detail."""
        before = self.files()
        detail = self.ask(method, path, status, **options)["detail"]
        assert detail["code"] == code
        assert detail["message"]
        assert set(detail) <= {"code", "message", "hint", "revision"}
        assert self.files() == before, "a refused write wrote"
        return dict(detail)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Every file, also the hidden ones: a refused write leaves no trace."""
        return {
            str(path.relative_to(self.folder)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in (self.folder / "kbs").rglob("*")
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)
        }

    @property
    def epoch(self) -> str:
        return live_of_app(self.client.app).pipeline.store.position.epoch  # type: ignore[arg-type]

    @property
    def offset(self) -> int:
        return live_of_app(self.client.app).pipeline.store.position.offset  # type: ignore[arg-type]

    def put_on_disk(self, entry_id: str, text: str | bytes) -> Path:
        """Write a file as an editor does, and wait until the watcher has told it."""
        file = self.notes / f"{entry_id}.md"
        content = text.encode() if isinstance(text, str) else text
        file.write_bytes(content)
        revision = revision_of(content)
        eventually(lambda: any(event["revision"] == revision for event in self.events))
        return file

    def marked(self, start: int) -> list[Json]:
        """What was told since `start`, once the watcher has told a marker that was saved just now.

        It is of the same watcher and KB: the hints of everything written before have been looked at.
        """
        self.markers += 1
        name = f"marker-{self.markers}"
        write_entry(self.notes, name, f"{self.markers} {time.time_ns()}")
        eventually(lambda: any(event["entry_id"] == name for event in self.events))
        told = [event for event in self.events[start:] if event["entry_id"] != name]
        # The marker's own pass.
        return told[:-1] if told and told[-1]["type"] == "kb_synced" else told

    def position_of(self, answer: httpx2.Response) -> int:
        epoch, _, offset = answer.headers["Pyrite-Position"].rpartition(":")
        assert epoch == self.epoch
        return int(offset)


def bench_of(folder: Path, client: TestClient) -> Bench:
    bench = Bench(client, folder)
    live_of_app(client.app).pipeline.listeners.append(  # type: ignore[arg-type]
        lambda report: bench.events.extend(json.loads(event.message) for event in report.events)
    )
    return bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """`notes` (a, b, c) with a kb.yaml that leads everywhere, `work` (d)."""
    folder = tmp_path_factory.mktemp("writes")
    notes = make_kb(folder / "kbs" / "notes", "a", "b", "c")
    make_kb(folder / "kbs" / "work", "d")
    (folder / "outside").mkdir()
    (notes / "linked").symlink_to(folder / "outside")
    text = KB_YAML.replace("ABSOLUTE", str(folder / "outside"))
    (notes / "kb.yaml").write_text(text, encoding="utf-8")
    with client_of(make_app(folder)) as client:
        yield bench_of(folder, client)
    assert list((folder / "outside").iterdir()) == []


# -- POST ------------------------------------------------------------------------------------


def test_a_new_entry_is_a_file_with_its_id(bench: Bench) -> None:
    """The answer has its path, its revision, and the offset of its one event."""
    start = len(bench.events)
    answer = bench.send(
        "POST",
        "/api/entries",
        json={
            "kb": "notes",
            "title": "OODA: Loop",
            "body": "Observe.\n\n# Orient",
            "tags": ["x", "true"],
            "importance": 7,
            "date": "2026-11-22",
            "metadata": {"status": "draft", "deep": {"n": [1, None, False, "é"]}},
        },
    )
    assert answer.status_code == 200
    body = answer.json()
    file = bench.notes / "ooda-loop.md"
    revision = revision_of(file.read_bytes())
    assert body == {
        "created": True,
        "id": "ooda-loop",
        "kb_name": "notes",
        "file_path": str(file),
        "revision": revision,
        "offset": bench.position_of(answer),
    }
    assert answer.headers["ETag"] == f'"{revision}"'
    assert file.read_text(encoding="utf-8").startswith("---\nid: ooda-loop\n")
    (event,) = bench.marked(start)
    assert event["offset"] == body["offset"]
    assert (event["type"], event["origin"]) == ("entry_created", "api")
    assert (event["path"], event["revision"]) == ("ooda-loop.md", revision)
    entry = bench.ask("GET", "/api/entries/ooda-loop")
    assert (entry["title"], entry["entry_type"], entry["importance"]) == ("OODA: Loop", "note", 7)
    assert (entry["tags"], entry["date"], entry["status"]) == (["x", "true"], "2026-11-22", "draft")
    assert entry["body"] == "Observe.\n\n# Orient"
    assert entry["metadata"]["deep"] == {"n": [1, None, False, "é"]}


@pytest.mark.parametrize(
    ("entry_type", "path"),
    [("concept", "concepts/deep/"), ("dotted", "dotted/"), ("here", ""), ("unheard-of", "")],
)
def test_a_new_entry_goes_to_its_types_folder(bench: Bench, entry_type: str, path: str) -> None:
    """As kb.yaml says, made where it is missing; else to the root."""
    entry_id = f"placed-{entry_type}"
    asked = {"kb": "notes", "title": "Placed", "entry_type": entry_type, "id": entry_id}
    body = bench.ask("POST", "/api/entries", json=asked)
    assert body["file_path"] == f"{bench.notes}/{path}{entry_id}.md"
    assert bench.ask("GET", f"/api/entries/{entry_id}")["path"] == f"{path}{entry_id}.md"
    assert bench.ask("GET", f"/api/entries/{entry_id}")["entry_type"] == entry_type


@pytest.mark.parametrize("entry_type", ["up", "between", "absolute", "slash", "linked"])
def test_no_new_entry_leads_out_of_the_root(bench: Bench, entry_type: str) -> None:
    """Bug: an absolute folder lost its slash and was made inside the KB; `a/../..` was called hidden."""
    asked = {"kb": "notes", "title": "Out", "entry_type": entry_type}
    bench.refused("POST", "/api/entries", 400, "PATH_OUTSIDE_KB", json=asked)


@pytest.mark.parametrize("entry_type", ["hidden", "templates"])
def test_no_new_entry_goes_to_a_hidden_folder(bench: Bench, entry_type: str) -> None:
    """It would be no entry."""
    asked = {"kb": "notes", "title": "Out", "entry_type": entry_type}
    bench.refused("POST", "/api/entries", 400, "INVALID_WRITE", json=asked)


def test_an_id_that_exists_is_409(bench: Bench) -> None:
    """Also where its file has another name."""
    bench.put_on_disk("other-name", "---\nid: taken-id\n---\ntext\n")
    for asked in ({"title": "A", "id": "a"}, {"title": "Taken id"}):
        bench.refused("POST", "/api/entries", 409, "ALREADY_EXISTS", json={"kb": "notes", **asked})
    # In another KB the id is free.
    bench.ask("POST", "/api/entries", json={"kb": "work", "title": "A", "id": "a"})


def test_a_path_that_exists_is_409_whatever_it_holds(bench: Bench) -> None:
    """A bad file, an ignored link, a folder, a file where the folder should be: nothing is replaced."""
    (bench.notes / "taken-bad.md").write_bytes(b"---\n[\n---\n\xff")
    (bench.notes / "taken-folder.md").mkdir()
    (bench.notes / "taken-link.md").symlink_to(bench.folder / "nowhere.md")
    os.mkfifo(bench.notes / "taken-pipe.md")
    bench.put_on_disk("taken-other", "---\nid: of-another-name\n---\n")
    for name in ("bad", "folder", "link", "pipe", "other"):
        asked = {"kb": "notes", "title": f"Taken {name}"}
        bench.refused("POST", "/api/entries", 409, "ALREADY_EXISTS", json=asked)
    assert (bench.notes / "taken-link.md").is_symlink()
    assert not (bench.folder / "nowhere.md").exists()
    asked = {"kb": "notes", "title": "Below a file", "entry_type": "blocked"}
    bench.refused("POST", "/api/entries", 409, "ALREADY_EXISTS", json=asked)


@pytest.mark.parametrize("title", ["…", "日本", "---", " "])
def test_a_title_without_a_slug_needs_an_id(bench: Bench, title: str) -> None:
    """With one it is fine."""
    detail = bench.refused("POST", "/api/entries", 400, "INVALID_WRITE", json={"kb": "notes", "title": title})
    assert "id" in detail["hint"]
    entry_id = f"slugless-{ord(title[0])}"
    bench.ask("POST", "/api/entries", json={"kb": "notes", "title": title, "id": entry_id})


@pytest.mark.parametrize(
    "entry_id",
    ["", " ", " a", "a ", "x/y", "a\nb", "a\0b", "a\x7f", "x" * 201, "é" * 101, ".x", "readme", "README",
     ".#x"],
)  # fmt: skip
def test_a_bad_id_is_400(bench: Bench, entry_id: str) -> None:
    """Also one whose file would not be an entry; nothing is written."""
    asked = {"kb": "notes", "title": "Bad id", "id": entry_id}
    bench.refused("POST", "/api/entries", 400, "INVALID_WRITE", json=asked)


@pytest.mark.parametrize("entry_id", ["../x", "/x", "..", "a/../../x", "/"])
def test_an_id_that_leads_out_is_no_place_in_the_kb(bench: Bench, entry_id: str) -> None:
    """The same code as for every other way out; nothing is written."""
    asked = {"kb": "notes", "title": "Out", "id": entry_id}
    bench.refused("POST", "/api/entries", 400, "PATH_OUTSIDE_KB", json=asked)


def test_a_file_that_is_no_entry_is_not_replaced_either(bench: Bench) -> None:
    """An ignored file, or a README, that is there: 409, whatever it holds."""
    (bench.notes / "README.md").write_text("mine\n", encoding="utf-8")
    asked = {"kb": "notes", "title": "Mine", "id": "README"}
    bench.refused("POST", "/api/entries", 409, "ALREADY_EXISTS", json=asked)


def test_kb_yaml_is_followed_as_it_is_now(bench: Bench) -> None:
    """Where a type's entries go, and what leads out, also where it says so since a moment; the list, too."""
    types = "{concept: {subdirectory: ideas}, out: {subdirectory: ../x}}"
    text = f"name: notes\ndescription: Anew\ntypes: {types}\n"
    (bench.notes / "kb.yaml").write_text(text, encoding="utf-8")
    body = bench.ask("POST", "/api/entries", json={"kb": "notes", "title": "Idea", "entry_type": "concept"})
    assert body["file_path"] == str(bench.notes / "ideas" / "idea.md")
    asked = {"kb": "notes", "title": "Out", "entry_type": "out"}
    bench.refused("POST", "/api/entries", 400, "PATH_OUTSIDE_KB", json=asked)
    (listed,) = [kb for kb in bench.ask("GET", "/api/kbs")["kbs"] if kb["name"] == "notes"]
    assert listed["description"] == "Anew"


@pytest.mark.parametrize(
    "entry_id",
    ["2026", "true", "null", "1e3", "2026-11-22", "a: b", "é ü", "🔥", "-x", "0x1F", "~", "x" * 200, "1.10"],
)
def test_any_other_id_stays_what_it_is(bench: Bench, entry_id: str) -> None:
    """Also one that YAML would take for a number, a date or nothing."""
    body = bench.ask("POST", "/api/entries", json={"kb": "work", "title": "T", "id": entry_id})
    assert body["id"] == entry_id
    assert bench.ask("GET", f"/api/entries/{entry_id}", params={"kb": "work"})["path"] == f"{entry_id}.md"


def test_metadata_cannot_name_another_id(bench: Bench) -> None:
    """Bug: it was dropped without a word."""
    asked = {"kb": "notes", "title": "Two ids", "metadata": {"id": "other"}}
    bench.refused("POST", "/api/entries", 400, "INVALID_WRITE", json=asked)
    bench.ask("POST", "/api/entries", json={**asked, "metadata": {"id": "two-ids"}})


def test_metadata_may_be_sent_back_as_it_is_shown(bench: Bench) -> None:
    """Bug: an id that is a number in the file was refused as another one; so was one for a new entry."""
    (bench.notes / "year.md").write_text("---\nid: 2024\ntitle: Year\n---\n\nText.\n", encoding="utf-8")
    bench.ask("POST", "/api/index/sync", params={"kb": "notes", "wait": "true"})
    shown = bench.ask("GET", "/api/entries/2024", params={"kb": "notes"})["metadata"]
    assert shown["id"] == 2024
    bench.ask("PUT", "/api/entries/2024", json={"kb": "notes", "metadata": {**shown, "status": "done"}})
    assert "id: 2024\n" in (bench.notes / "year.md").read_text(encoding="utf-8")
    asked = {"kb": "notes", "title": "Five", "id": "5", "metadata": {"id": 5}}
    assert bench.ask("POST", "/api/entries", json=asked)["id"] == "5"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_an_unknown_kb_is_404(bench: Bench, method: str) -> None:
    """On every write."""
    asked = {"kb": "none", "title": "T", "field": "x", "value": 1}
    path = "/api/entries" if method == "POST" else "/api/entries/a"
    options: Json = {"params": {"kb": "none"}} if method == "DELETE" else {"json": asked}
    bench.refused(method, path, 404, "KB_NOT_FOUND", **options)


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        ("POST", {}),
        ("POST", {"kb": "notes"}),
        ("POST", {"kb": "notes", "title": ""}),
        ("POST", {"kb": "notes", "title": "T", "tags": "x"}),
        ("POST", {"kb": "notes", "title": "T", "importance": 11}),
        ("POST", {"kb": "notes", "title": "T", "metadata": []}),
        ("PUT", {"body": "x"}),
        ("PUT", {"kb": "notes", "tags": [1]}),
        ("PATCH", {"kb": "notes", "value": 1}),
        ("PATCH", {"kb": "notes", "field": "", "value": 1}),
        ("PATCH", {"kb": "notes", "field": "x"}),
        ("DELETE", {}),
    ],
)
def test_bad_input_is_422_as_fastapi_says_it(bench: Bench, method: str, asked: Json) -> None:
    """A list of what is wrong."""
    path = "/api/entries" if method == "POST" else "/api/entries/a"
    detail = bench.ask(method, path, 422, json=asked)["detail"]
    assert {"loc", "msg", "type"} <= set(detail[0])


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ('{"kb":"notes","title":"\\ud800"}', 422),
        ('{"kb":"\\ud800","title":"x"}', 422),
        ('{"kb":"notes","title":"x","id":"\\ud800"}', 422),
        ('{"kb":"notes","title":"x","metadata":{"\\ud800":1}}', 422),
        ('{"kb":"notes","title":"x","importance":1e999}', 422),
        ('{"kb":"notes","title":"x","body":"\\ud800"}', 400),
        ('{"kb":"notes","title":"x","tags":["\\ud800"]}', 400),
        ('{"kb":"notes","title":"x","metadata":{"n":{"\\ud800":1}}}', 400),
        ('{"kb":"notes","title":"x","metadata":{"n":1e999}}', 400),
        ("{", 422),
        ("\x00", 422),
    ],
)
def test_what_cannot_be_written_is_no_fault_of_the_server(bench: Bench, content: str, status: int) -> None:
    """Bug: half a surrogate pair and infinity were 500, in the writer and in FastAPI's own answer."""
    headers = {"Content-Type": "application/json"}
    answer = bench.send("POST", "/api/entries", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert not (bench.notes / "x.md").exists()


def test_if_match_may_come_in_two_lines(bench: Bench) -> None:
    """They mean one list; only the first was read."""
    file = bench.put_on_disk("two-lines", "---\nid: two-lines\n---\n\nText.\n")
    headers = [("If-Match", '"another"'), ("If-Match", f'"{revision_of(file.read_bytes())}"')]
    bench.ask("PUT", "/api/entries/two-lines", json={"kb": "notes", "body": "New."}, headers=headers)
    bench.refused("DELETE", "/api/entries/two-lines?kb=notes", 412, "CONFLICT", headers=headers)


# -- PUT -------------------------------------------------------------------------------------


def test_an_update_changes_what_it_names_and_not_a_byte_more(bench: Bench) -> None:
    """One event, `api`, whose offset the answer has; the watcher's hint makes no second one."""
    front = "id: put-all # mine\r\ntitle: 'Old'\r\ntags: [a,  b] # two\r\nkeep:  yes\r\n"
    text = f"---\r\n{front}---\r\n\r\nOld body"
    file = bench.put_on_disk("put-all", text)
    start = len(bench.events)
    asked = {"kb": "notes", "title": "New", "importance": 3, "metadata": {"extra": [1]}, "body": "New body"}
    answer = bench.send("PUT", "/api/entries/put-all", json=asked)
    content = file.read_bytes()
    body = answer.json()
    assert body == {
        "updated": True,
        "id": "put-all",
        "revision": revision_of(content),
        "offset": bench.position_of(answer),
    }
    assert answer.headers["ETag"] == f'"{body["revision"]}"'
    assert content.startswith(
        b"---\r\nid: put-all # mine\r\ntitle: 'New'\r\ntags: [a,  b] # two\r\nkeep:  yes\r\n"
    )
    assert content.endswith(b"\r\n---\r\n\r\nNew body")
    (event,) = bench.marked(start)
    assert (event["type"], event["origin"], event["offset"]) == ("entry_updated", "api", body["offset"])
    assert (event["revision"], event["path"]) == (body["revision"], "put-all.md")
    assert "previous_path" not in event
    entry = bench.ask("GET", "/api/entries/put-all")
    assert (entry["title"], entry["body"], entry["importance"]) == ("New", "New body", 3)
    assert entry["metadata"]["extra"] == [1]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"title": None, "body": None, "tags": None, "importance": None, "metadata": None},
        {"title": "Same"},
        {"tags": ["x", "y"], "importance": 4, "body": "Text."},
        {"metadata": {"id": "same-{n}", "nested": {"a": 1}}},
    ],
)
def test_an_update_that_changes_nothing_writes_nothing(bench: Bench, asked: Json) -> None:
    """No event, the same file to the nanosecond, and the current offset."""
    number = bench.markers
    entry_id = f"same-{number}"
    file = bench.put_on_disk(
        entry_id,
        f"---\nid: {entry_id}\ntitle: Same\ntags: [x, y]\nimportance: 4\nnested: {{a: 1}}\n---\n\nText.\n",
    )
    asked = json.loads(json.dumps(asked).replace("{n}", str(number)))
    state, start = file.stat(), len(bench.events)
    answer = bench.send("PUT", f"/api/entries/{entry_id}", json={"kb": "notes", **asked})
    assert answer.status_code == 200
    assert answer.json()["offset"] == bench.position_of(answer) == bench.offset
    assert answer.json()["revision"] == revision_of(file.read_bytes())
    after = file.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_ino) == (
        state.st_mtime_ns, state.st_ctime_ns, state.st_ino,
    )  # fmt: skip
    assert bench.marked(start) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shown-heading", "# A heading\n\ntext\n"),
        ("shown-stem", "only text\n"),
        ("shown-tags", "---\ntitle: T\ntags: x, y\nimportance: '3'\n---\ntext\n"),
    ],
)
def test_sending_back_what_an_entry_shows_changes_nothing(bench: Bench, name: str, text: str) -> None:
    """Bug: a page that saved unchanged gave a plain note front matter with `title`, `tags` and `id`."""
    file = bench.put_on_disk(name, text)
    (found,) = [
        e for e in bench.ask("GET", "/api/entries?limit=1000")["entries"] if e["path"] == f"{name}.md"
    ]
    asked = {key: found[key] for key in ("title", "body", "tags", "importance")}
    body = bench.ask("PUT", f"/api/entries/{found['id']}", json={"kb": "notes", **asked})
    assert body["revision"] == found["revision"]
    assert file.read_text() == text


def test_a_title_that_goes_with_its_heading_is_written(bench: Bench) -> None:
    """The body that is sent no longer gives the title that is sent with it."""
    bench.put_on_disk("heading-goes", "# Kept title\n\ntext\n")
    asked = {"kb": "notes", "title": "Kept title", "body": "# Another\n"}
    bench.ask("PUT", "/api/entries/heading-goes", json=asked)
    entry = bench.ask("GET", "/api/entries/heading-goes")
    assert (entry["title"], entry["body"]) == ("Kept title", "# Another")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("text", ["---\ntitle: Derived {m}\n---\ntext\n", "plain {m}\n", "# Head {m}\n"])
def test_a_new_title_of_a_derived_id_writes_the_id(bench: Bench, method: str, text: str) -> None:
    """Links go on meaning this entry."""
    name = f"derived-{method}-{len(text)}".lower()
    file = bench.put_on_disk(name, text.replace("{m}", name))
    (entry,) = [
        e for e in bench.ask("GET", "/api/entries?limit=1000")["entries"] if e["path"] == f"{name}.md"
    ]
    start = len(bench.events)
    asked = {"title": "Quite another"} if method == "PUT" else {"field": "title", "value": "Quite another"}
    body = bench.ask(method, f"/api/entries/{entry['id']}", json={"kb": "notes", **asked})
    assert body["id"] == entry["id"]
    assert f"id: {entry['id']}\n" in file.read_text()
    (event,) = bench.marked(start)
    assert (event["type"], event["entry_id"]) == ("entry_updated", entry["id"])
    assert bench.ask("GET", f"/api/entries/{entry['id']}")["title"] == "Quite another"


def test_a_change_of_body_leaves_a_derived_id_unwritten(bench: Bench) -> None:
    """Only a change of title concerns the id."""
    file = bench.put_on_disk("derived-body", "---\ntitle: Derived body\n---\ntext\n")
    bench.ask("PUT", "/api/entries/derived-body", json={"kb": "notes", "body": "more"})
    assert file.read_text() == "---\ntitle: Derived body\n---\nmore\n"


def test_an_update_of_no_entry_is_404(bench: Bench) -> None:
    """Whatever else is asked."""
    for method in ("PUT", "PATCH"):
        asked = {"kb": "notes", "body": "x", "field": "x", "value": 1}
        bench.refused(method, "/api/entries/none", 404, "NOT_FOUND", json=asked)
        bench.refused(method, "/api/entries/d", 404, "NOT_FOUND", json=asked, headers={"If-Match": "*"})


def test_a_body_that_would_empty_the_file_is_400(bench: Bench) -> None:
    """With front matter it may be empty."""
    bench.put_on_disk("no-front", "text\n")
    asked = {"kb": "notes", "body": " \n"}
    bench.refused("PUT", "/api/entries/no-front", 400, "INVALID_WRITE", json=asked)
    bench.put_on_disk("with-front", "---\nid: with-front\n---\ntext\n")
    bench.ask("PUT", "/api/entries/with-front", json=asked)


def test_metadata_cannot_change_the_id(bench: Bench) -> None:
    """To what it is already, it may."""
    bench.put_on_disk("keeps-id", "---\nid: keeps-id\n---\ntext\n")
    path = "/api/entries/keeps-id"
    bench.refused("PUT", path, 400, "INVALID_WRITE", json={"kb": "notes", "metadata": {"id": "x"}})
    bench.ask("PUT", path, json={"kb": "notes", "metadata": {"id": "keeps-id", "x": 1}})


@pytest.mark.parametrize(
    "bad",
    [b"---\nid: [\n---\n", b"", b"\xff\xfe", b"---\nid: bad-now\n", b"<<<<<<< a\n=======\n>>>>>>> b\n---\n"],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_file_that_is_no_entry_now_is_409(bench: Bench, method: str, bad: bytes) -> None:
    """Bytes that nobody has read are never written over; not even by a delete, nor with If-Match."""
    if bad.startswith(b"<<<"):
        bad = b"---\n" + bad
    entry_id = f"bad-{method}-{len(bad)}".lower()
    file = bench.put_on_disk(entry_id, f"---\nid: {entry_id}\n---\ngood\n")
    good = revision_of(file.read_bytes())
    file.write_bytes(bad)
    options: Json = {
        "json": {"kb": "notes", "body": "x", "field": "x", "value": 1},
        "params": {"kb": "notes"},
    }
    for _ in range(2):
        for headers in ({}, {"If-Match": f'"{good}"'}):
            detail = bench.refused(
                method, f"/api/entries/{entry_id}", 409, "UNPARSABLE", headers=headers, **options
            )
            assert detail["hint"]
        eventually(
            lambda: any(p["path"] == f"{entry_id}.md" for p in bench.ask("GET", "/api/problems")["problems"])
        )
    assert file.read_bytes() == bad
    assert bench.ask("GET", f"/api/entries/{entry_id}")["revision"] == good


# -- If-Match --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_stale_revision_is_412_with_the_present_one(bench: Bench, method: str) -> None:
    """And a write with the present one succeeds; of several any will do."""
    entry_id = f"match-{method}".lower()
    file = bench.put_on_disk(entry_id, f"---\nid: {entry_id}\n---\none\n")
    revision = revision_of(file.read_bytes())
    options: Json = {
        "json": {"kb": "notes", "body": "x", "field": "x", "value": 1},
        "params": {"kb": "notes"},
    }
    path = f"/api/entries/{entry_id}"
    for stale in (f'"{"0" * 32}"', f'W/"{revision}"', revision, '""', "nonsense"):
        answer = bench.send(method, path, headers={"If-Match": stale}, **options)
        assert answer.status_code == 412
        detail = answer.json()["detail"]
        assert (detail["code"], detail["revision"]) == ("CONFLICT", revision)
        assert answer.headers["ETag"] == f'"{revision}"'
    assert file.read_bytes().endswith(b"one\n")
    bench.ask(method, path, headers={"If-Match": f'"x", "{revision}"'}, **options)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_edit_that_the_index_has_not_seen_is_412_too(
    bench: Bench, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path is reconciled first: a GET then returns what the 412 names. No hint came of it here."""
    entry_id = f"unseen-{method}".lower()
    file = bench.put_on_disk(entry_id, f"---\nid: {entry_id}\n---\none\n")
    old = revision_of(file.read_bytes())
    pipeline = live_of_app(bench.client.app).pipeline  # type: ignore[arg-type]
    monkeypatch.setattr(pipeline, "_sort_hints", lambda paths: None)
    start = len(bench.events)
    file.write_text(f"---\nid: {entry_id}\n---\ntwo\n")
    options: Json = {
        "json": {"kb": "notes", "body": "x", "field": "x", "value": 1},
        "params": {"kb": "notes"},
    }
    detail = bench.refused(
        method, f"/api/entries/{entry_id}", 412, "CONFLICT", headers={"If-Match": f'"{old}"'}, **options
    )
    now = revision_of(file.read_bytes())
    assert detail["revision"] == now
    assert bench.ask("GET", f"/api/entries/{entry_id}")["revision"] == now
    told = [(event["type"], event["origin"]) for event in bench.events[start:]]
    assert told == [("entry_updated", "disk"), ("kb_synced", "disk")]
    monkeypatch.undo()
    # Without a condition, or with the present revision, the write starts from the bytes on the disk.
    bench.ask(method, f"/api/entries/{entry_id}", headers={"If-Match": f'"{now}"'}, **options)


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"a"', ("a",)),
        ('"a", "b"', ("a", "b")),
        ('"a" ,W/"b","c"', ("a", "c")),
        ('W/"a"', ()),
        ("a", ()),
        ("", ()),
        ('"a', ()),
    ],
)
def test_if_match_is_read_strictly(header: str | None, allowed: tuple[str, ...] | None) -> None:
    """What is malformed or weak matches nothing: then nothing is written."""
    assert parse_if_match(header) == allowed


# -- PATCH -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "value", "after"),
    [
        ("num: 3", "5", "num: 5"),
        ("num: 3", 5, "num: 5"),
        ("num: 2.5", "4", "num: 4.0"),
        ("num: 3", "abc", "num: abc"),
        ("num: true", "no", "num: false"),
        ("num: false", "true", "num: true"),
        ("num: 2024-01-31", "2024-02-01", "num: 2024-02-01"),
        ("num: '3'", "5", "num: '5'"),
        ("num: text", "5", "num: '5'"),
        ("num: text", None, "num: null"),
        ("num: text", [1, "2"], None),
        ("num: text", {"a": {"b": []}}, None),
        ("num: [1, 2]", "x", "num: x"),
        ("other: 1", "5", "num: '5'"),
        ("other: 1", 5.5, "num: 5.5"),
        ("num: 3 # why", "4", "num: 4 # why"),
    ],
)
def test_one_field_is_changed_and_keeps_its_type(
    bench: Bench, line: str, value: object, after: str | None
) -> None:
    """A string takes the type of what was there; any JSON is itself; an unknown field is added."""
    entry_id = f"patch-{bench.markers}"
    bench.markers += 1
    file = bench.put_on_disk(entry_id, f"---\nid: {entry_id}\n{line}\n---\n\ntext\n")
    body = bench.ask(
        "PATCH", f"/api/entries/{entry_id}", json={"kb": "notes", "field": "num", "value": value}
    )
    assert body["updated"] is True
    if after is not None:
        kept = "" if line.startswith("num:") else f"{line}\n"
        assert file.read_text() == f"---\nid: {entry_id}\n{kept}{after}\n---\n\ntext\n"
    else:
        assert bench.ask("GET", f"/api/entries/{entry_id}")["metadata"]["num"] == value


def test_body_and_title_are_patched(bench: Bench) -> None:
    """`body` is no field of the front matter."""
    bench.put_on_disk("patch-body", "---\nid: patch-body\ntitle: T\n---\n\ntext\n")
    path = "/api/entries/patch-body"
    bench.ask("PATCH", path, json={"kb": "notes", "field": "body", "value": "New."})
    bench.ask("PATCH", path, json={"kb": "notes", "field": "title", "value": "New: title"})
    entry = bench.ask("GET", path)
    assert (entry["body"], entry["title"]) == ("New.", "New: title")
    assert "body" not in entry["metadata"]
    bench.refused("PATCH", path, 400, "INVALID_WRITE", json={"kb": "notes", "field": "body", "value": 1})


def test_the_id_is_never_patched(bench: Bench) -> None:
    """Not even to what it is."""
    for value in ("a", "z", None):
        asked = {"kb": "notes", "field": "id", "value": value}
        bench.refused("PATCH", "/api/entries/a", 400, "INVALID_WRITE", json=asked)


# -- DELETE ----------------------------------------------------------------------------------


def test_a_delete_is_told_at_once(bench: Bench) -> None:
    """It does not wait for the file to come back; one event, `api`."""
    file = bench.put_on_disk("goes", "---\nid: goes\n---\ntext\n")
    start = len(bench.events)
    began_s = time.perf_counter()
    answer = bench.send("DELETE", "/api/entries/goes", params={"kb": "notes"})
    took_s = time.perf_counter() - began_s
    assert answer.json() == {"deleted": True, "id": "goes", "offset": bench.position_of(answer)}
    assert "ETag" not in answer.headers
    assert not file.exists()
    assert took_s < live_of_app(bench.client.app).pipeline.settings.settle_s  # type: ignore[arg-type]
    bench.ask("GET", "/api/entries/goes", 404)
    (event,) = bench.marked(start)
    assert (event["type"], event["origin"], event["revision"]) == ("entry_deleted", "api", None)
    assert event["offset"] == answer.json()["offset"]
    bench.refused("DELETE", "/api/entries/goes", 404, "NOT_FOUND", params={"kb": "notes"})


def test_deleting_the_owner_of_an_id_lets_the_other_file_take_over(bench: Bench) -> None:
    """Told as an update by `api`; the problem clears, which is a `kb_synced`."""
    bench.put_on_disk("twin-a", "---\nid: twin\n---\none\n")
    waiting = bench.notes / "twin-b.md"
    waiting.write_text("---\nid: twin\n---\ntwo\n")
    eventually(lambda: any(p["path"] == "twin-b.md" for p in bench.ask("GET", "/api/problems")["problems"]))
    start = len(bench.events)
    body = bench.ask("DELETE", "/api/entries/twin", params={"kb": "notes"})
    event, synced = bench.marked(start)
    assert (event["type"], event["origin"], event["entry_id"]) == ("entry_updated", "api", "twin")
    assert (event["path"], event["previous_path"]) == ("twin-b.md", "twin-a.md")
    assert event["offset"] == body["offset"]
    assert (synced["type"], synced["origin"]) == ("kb_synced", "api")
    assert bench.ask("GET", "/api/entries/twin")["body"] == "two"


def test_a_write_tells_kb_synced_only_where_problems_changed(bench: Bench) -> None:
    """Conflict markers in a body are an entry and a problem: coming and going each is told."""
    bench.put_on_disk("marks", "---\nid: marks\n---\ntext\n")
    start = len(bench.events)
    path = "/api/entries/marks"
    for body in (
        "<<<<<<< a\nx\n=======\ny\n>>>>>>> b",
        "<<<<<<< a\nz\n=======\ny\n>>>>>>> b",
        "mended",
        "more",
    ):
        bench.ask("PUT", path, json={"kb": "notes", "body": body})
    told = [event["type"] for event in bench.marked(start)]
    assert told == [
        "entry_updated",
        "kb_synced",
        "entry_updated",
        "entry_updated",
        "kb_synced",
        "entry_updated",
    ]
    assert {event["origin"] for event in bench.events[start : start + 6]} == {"api"}


# -- who may not write -----------------------------------------------------------------------

WRITES: list[tuple[str, str, Json]] = [
    ("POST", "/api/entries", {"json": {"kb": "notes", "title": "T"}}),
    ("PUT", "/api/entries/a", {"json": {"kb": "notes", "body": "x"}}),
    ("PATCH", "/api/entries/a", {"json": {"kb": "notes", "field": "x", "value": 1}}),
    ("DELETE", "/api/entries/a", {"params": {"kb": "notes"}}),
]


def test_read_only_refuses_every_write(tmp_path: Path) -> None:
    """By the option."""
    with client_of(make_app(tmp_path, read_only=True)) as client:
        bench = bench_of(tmp_path, client)
        for method, path, options in WRITES:
            bench.refused(method, path, 403, "READ_ONLY", **options)


def test_a_read_only_kb_refuses_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Pyrite's own config; the other one can be written."""
    notes, work = make_kb(tmp_path / "kbs" / "notes", "a"), make_kb(tmp_path / "kbs" / "work", "d")
    (tmp_path / "config.yaml").write_text(
        "knowledge_bases:\n"
        f"- {{name: notes, path: {notes}, read_only: true}}\n- {{name: work, path: {work}}}\n"
    )
    monkeypatch.setenv("PYRITE_DATA_DIR", str(tmp_path))
    with client_of(create_app([], state_dir=tmp_path / "state")) as client:
        bench = bench_of(tmp_path, client)
        for method, path, options in WRITES:
            bench.refused(method, path, 403, "READ_ONLY", **options)
        bench.ask("PUT", "/api/entries/d", json={"kb": "work", "body": "x"})


def test_a_kb_whose_root_is_away_is_503(tmp_path: Path) -> None:
    """Nothing is made in its place; reads go on; it can be written when it is back."""
    with client_of(make_app(tmp_path)) as client:
        bench = bench_of(tmp_path, client)
        away = bench.notes.rename(tmp_path / "away")
        for method, path, options in WRITES:
            bench.refused(method, path, 503, "KB_UNAVAILABLE", **options)
        assert not bench.notes.exists()
        bench.ask("GET", "/api/entries/a")
        bench.ask("PUT", "/api/entries/d", json={"kb": "work", "body": "x"})
        away.rename(bench.notes)
        bench.ask("PUT", "/api/entries/a", json={"kb": "notes", "body": "x"})


def test_the_description_tells_the_errors_of_each_write(bench: Bench) -> None:
    """In the shape that they have."""
    paths = bench.client.get("/openapi.json").json()["paths"]
    for method, path, more in (
        ("post", "/api/entries", {"409"}),
        ("put", "/api/entries/{entry_id}", {"409", "412"}),
        ("patch", "/api/entries/{entry_id}", {"409", "412"}),
        ("delete", "/api/entries/{entry_id}", {"409", "412"}),
    ):
        assert {"200", "400", "403", "404", "422", "503"} | more <= set(paths[path][method]["responses"])
