"""`pyrite explain`: an entry or not, and why."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from harness.process import run_pyrite
from harness.record import Json
from harness.wait import eventually

from .conftest import Starter, make_small_kb, write_entry

pytestmark = pytest.mark.timeout(120)


def explain(home: Path, file: Path | str, *more: str | Path, code: int = 0) -> Json:
    """What it says as JSON; and it says the same for people without a traceback."""
    shown = run_pyrite("explain", file, *more, home=home)
    done = run_pyrite("explain", file, "--json", *more, home=home)
    assert (done.returncode, shown.returncode) == (code, code), done.stdout + done.stderr + shown.stderr
    assert "Traceback" not in shown.stderr + done.stderr
    assert "\x1b" not in shown.stdout
    said = json.loads(done.stdout)
    assert isinstance(said, dict)
    assert said["why"] is None or said["why"] in shown.stdout
    return said


@pytest.fixture
def kb(home: Path) -> Path:
    """With what there is to explain."""
    root = make_small_kb(home / "notes")
    (root / ".pyriteignore").write_text("# not yet\ndrafts/\n", encoding="utf-8")
    (root / "drafts").mkdir()
    (root / "drafts" / "a.md").write_text("x\n", encoding="utf-8")
    write_entry(root / "second.md", "entry-1", "The id is another's.")
    (root / "bad.md").write_text("---\ntitle: x\ny: [\n---\n", encoding="utf-8")
    (root / "titled.md").write_text("---\ntitle: Hello, World!\n---\nText.\n", encoding="utf-8")
    (root / "plain.md").write_text("Only text.\n", encoding="utf-8")
    (root / "README.md").write_text("x\n", encoding="utf-8")
    (root / "picture.png").write_bytes(b"x")
    (root / "link.md").symlink_to(root / "plain.md")
    (root / "big.md").write_bytes(b"x" * 2000)
    os.mkfifo(root / "pipe.md")
    return root


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("drafts/a.md", "it is ignored: .pyriteignore line 2: drafts/"),
        ("README.md", "it is a README, which is ignored"),
        ("picture.png", "it is not a .md file"),
        ("link.md", "it is a link, and links are not followed"),
        ("pipe.md", "it is not a regular file"),
        ("drafts", "it is ignored: .pyriteignore line 2: drafts/"),
        (".", "it is the folder of the knowledge base"),
        (".pyriteignore", "it is ignored: hidden"),
    ],
)
def test_what_is_no_entry_says_why(home: Path, kb: Path, name: str, why: str) -> None:
    """Also where nothing was ever watched: by the kb.yaml above it. That is no failure."""
    said = explain(home, kb / name)
    assert (said["is_entry"], said["why"]) == (False, why)
    assert (said["kb_name"], said["root_is"]) == ("notes", "kb.yaml")


@pytest.mark.parametrize(
    ("name", "entry_id", "source"),
    [
        ("entry-1.md", "entry-1", "the front matter's id"),
        ("titled.md", "hello-world", "the title"),
        ("plain.md", "plain", "the file's name"),
    ],
)
def test_an_entry_says_its_id_and_revision(
    home: Path, kb: Path, name: str, entry_id: str, source: str
) -> None:
    """From the bytes alone."""
    said = explain(home, kb / name)
    assert (said["is_entry"], said["id"], said["id_from"]) == (True, entry_id, source)
    assert said["revision"] == hashlib.blake2b((kb / name).read_bytes(), digest_size=16).hexdigest()
    assert said["watched_by"] is None


def test_a_bad_file_says_what_and_where(home: Path, kb: Path) -> None:
    """The line of the file; the size that is too much."""
    said = explain(home, kb / "bad.md")
    assert (said["is_entry"], said["why"]) == (False, "it cannot be read as one")
    assert said["problems"][0]["kind"] == "yaml"
    assert said["problems"][0]["line"] == 4
    assert "the limit is 1,000" in explain(home, kb / "big.md", "--max-entry-bytes", "1000")["why"]


@pytest.mark.parametrize("running", [True, False])
def test_history_comes_from_the_index(start: Starter, home: Path, kb: Path, running: bool) -> None:
    """The last events, who owns a duplicate id, the last good version: while it runs, and afterwards."""
    watch = start(kb, own_state=False)
    watch.wait_ready()
    for number in range(7):
        write_entry(kb / "entry-2.md", "entry-2", f"Version {number}.")
        eventually(lambda: len(watch.events) == 2 * (number + 1))  # noqa: B023
    write_entry(kb / "entry-1.md", "entry-1", "Its rival has the same id, and no event.")
    watch.wait_for(lambda message: message["entry_id"] == "entry-1", start=1)
    (kb / "entry-3.md").write_text("---\nid: [\n---\n", encoding="utf-8")
    (kb / "entry-4.md").unlink()
    watch.wait_for(lambda message: message["type"] == "entry_deleted")
    watch.wait_for(lambda message: message.get("problems") == 4)
    if not running:
        assert watch.stop() == 0
    said = explain(home, kb / "entry-2.md")
    assert said["root_is"] == ("watched" if running else "known")
    assert (said["watched_by"] or {}).get("pid") == (watch.pid if running else None)
    assert len(said["events"]) == 5
    assert {event["type"] for event in said["events"]} == {"entry_updated"}
    assert said["events"][-1]["revision"] == said["revision"] == said["indexed_revision"]
    second = explain(home, kb / "second.md")
    assert (second["is_entry"], second["owner_of_id"]) == (False, "entry-1.md")
    assert [problem["kind"] for problem in second["problems"]] == ["duplicate_id"]
    assert second["events"] == []
    bad = explain(home, kb / "entry-3.md")
    assert bad["why"] == "it cannot be read as one; its last good version stays readable"
    assert bad["id"] == "entry-3"
    gone = explain(home, kb / "entry-4.md", code=1)
    assert (gone["why"], gone["events"][-1]["type"]) == ("there is no such file", "entry_deleted")


def test_an_id_of_its_path_is_explained(start: Starter, home: Path) -> None:
    """Of several files with one derived id, only the index knows which has it."""
    root = make_small_kb(home / "kb")
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / "page.md").write_text("Text.\n", encoding="utf-8")
    start(root).wait_ready()
    assert explain(home, root / "a" / "page.md")["id"] == "page"
    said = explain(home, root / "b" / "page.md")
    assert (said["is_entry"], said["id"]) == (True, "b-page")
    assert said["id_from"].startswith("its path")


def test_the_innermost_watched_root_counts(start: Starter, home: Path) -> None:
    """A KB in a KB that is not named belongs to the outer one, whatever its kb.yaml says."""
    outer = make_small_kb(home / "outer")
    inner = make_small_kb(outer / "inner", entries=1)
    start(f"big={outer}").wait_ready()
    said = explain(home, inner / "entry-1.md")
    assert (said["kb_name"], said["path"]) == ("big", "inner/entry-1.md")


def test_the_config_names_the_kb(home: Path) -> None:
    """A folder without kb.yaml that nobody has watched yet."""
    root = home / "plain"
    root.mkdir()
    (root / "a.md").write_text("x\n", encoding="utf-8")
    assert explain(home, root / "a.md")["why"].startswith("it lies in no knowledge base")
    (home / ".pyrite").mkdir()
    (home / ".pyrite" / "config.yaml").write_text(f"knowledge_bases: [{{name: mine, path: {root}}}]\n")
    said = explain(home, root / "a.md")
    assert (said["kb_name"], said["is_entry"]) == ("mine", True)


def test_links_on_the_way_are_resolved(home: Path, kb: Path, tmp_path: Path) -> None:
    """A link to the root leads into the KB; one in the KB that leads out does not."""
    (home / "way").symlink_to(kb)
    assert explain(home, home / "way" / "plain.md")["path"] == "plain.md"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.md").write_text("x\n", encoding="utf-8")
    (kb / "out").symlink_to(outside)
    assert "by a link" in explain(home, kb / "out" / "a.md")["why"]


@pytest.mark.parametrize("name", ["no-such.md", "no/such/folder.md"])
def test_a_missing_file_is_1(home: Path, kb: Path, name: str) -> None:
    """Of which nothing is known: one sentence on stderr."""
    done = run_pyrite("explain", kb / name, home=home)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"There is no file {kb / name}." in done.stderr


def test_it_changes_nothing(home: Path, kb: Path) -> None:
    """Neither the KB nor the state folder."""
    before = sorted(home.rglob("*"))
    explain(home, kb / "plain.md")
    assert sorted(home.rglob("*")) == before


def test_a_damaged_state_is_said_and_the_rest_told(start: Starter, home: Path, kb: Path) -> None:
    """What the disk says is still true."""
    watch = start(kb)
    watch.wait_ready()
    assert watch.stop() == 0
    for name in ("index.sqlite-wal", "index.sqlite-shm"):
        (start.state_dir / name).unlink(missing_ok=True)
    (start.state_dir / "index.sqlite").write_bytes(b"SQLite format 3\0" + b"\xa5" * 5000)
    said = explain(home, kb / "plain.md", "--state-dir", start.state_dir)
    assert said["is_entry"]
    assert said["index_error"]
    shutil.rmtree(start.state_dir)
    assert explain(home, kb / "plain.md", "--state-dir", start.state_dir)["is_entry"]


def test_it_is_explained_as_it_is_watched(start: Starter, home: Path, kb: Path) -> None:
    """Bug: what the watch was told by its options, `explain` did not know."""
    (kb / ".gitignore").write_text("build/\n", encoding="utf-8")
    (kb / "build").mkdir()
    write_entry(kb / "build" / "x.md", "x", "Made.")
    start(kb, options=("--gitignore", "--max-entry-bytes", "1500")).wait_ready()
    assert explain(home, kb / "build" / "x.md")["why"] == "it is ignored: .gitignore line 1: build/"
    assert [problem["kind"] for problem in explain(home, kb / "big.md")["problems"]] == ["too_big"]
    assert explain(home, kb / "big.md", "--max-entry-bytes", "5000")["is_entry"]
