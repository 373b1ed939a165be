"""The writer against what others do to a file at that moment, step by step, without threads of its own."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import neighbours  # noqa: F401 - it makes the others importable
import pytest
from harness.reader import revision_of
from reconcile.bed import BAD, Bed, FakeClock, failing_apply, note, short

from pyrite_watch import writer as writer_module
from pyrite_watch.disk.parse import parse_entry
from pyrite_watch.disk.write_errors import ChangedMeanwhileError, FileBusyError, PathTakenError
from pyrite_watch.errors import EntryNotFoundError
from pyrite_watch.write_requests import (
    EntryEdit,
    IndexBusyError,
    InvalidWriteError,
    NewEntry,
    NotIndexedYetError,
    UnparsableError,
)
from pyrite_watch.writer import Writer


class RealClock(FakeClock):
    """Time that passes, as the writer waits in it."""

    def __call__(self) -> float:
        return time.monotonic()


class WriterBed(Bed):
    """A bed with a writer; nothing but the test gives hints."""

    def begin(self, **files: str) -> WriterBed:
        for stem, text in files.items():
            self.write(f"{stem}.md", text)
        self.start()
        self.writer = Writer(self.reconciler, False)
        return self

    def told_by(self) -> list[str]:
        """The entry events since the last call, and by whom."""
        return [f"{short(event)} {event['origin']}" for event in self.news() if event["type"] != "kb_synced"]

    def settle_really(self) -> None:
        """Let real time pass until nothing waits."""
        deadline_s = time.monotonic() + 5
        while self.reconciler.next_due_s() is not None:
            assert time.monotonic() < deadline_s
            self.reconciler.run_due()
            time.sleep(0.005)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[WriterBed]:
    """A KB `kb` on a real clock."""
    bed = WriterBed(tmp_path)
    bed.clock = RealClock()
    yield bed
    bed.close()


WRITES: dict[str, Callable[[Writer, tuple[str, ...] | None], Any]] = {
    "update": lambda writer, match: writer.update("kb", "x", EntryEdit(body="asked"), match),
    "patch": lambda writer, match: writer.update("kb", "x", EntryEdit({"n": 1}, coerce=True), match),
    "delete": lambda writer, match: writer.delete("kb", "x", match),
}

every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


def test_a_write_to_a_file_that_was_just_moved_finds_it(bed: WriterBed) -> None:
    """Bug: a write between `mv` and its hints told a deletion and a creation instead of one update."""
    bed.begin(x=note("x"), other=note("other"))
    (bed.path("sub")).mkdir()
    bed.path("x.md").rename(bed.path("sub/y.md"))
    written = bed.writer.update("kb", "x", EntryEdit(body="asked"))
    assert written.path == "sub/y.md"
    assert bed.told_by() == ["U x sub/y.md < x.md disk", "U x sub/y.md api"]
    bed.settle_really()
    bed.check()


@every_write
def test_a_write_waits_for_a_file_that_is_being_saved_anew(bed: WriterBed, write: Any) -> None:
    """Bug: a write between an editor's delete and its create told a deletion that never was."""
    bed.begin(x=note("x"))
    bed.path("x.md").unlink()
    back = threading.Timer(0.05, lambda: bed.write("x.md", note("x", "editor")))
    back.start()
    write(bed.writer, None)
    back.join()
    assert bed.told_by()[0] == "U x x.md disk"
    bed.settle_really()
    assert not any(event.startswith("C") for event in bed.told_by())
    bed.check()


@every_write
def test_a_file_that_is_gone_is_404_once_that_is_certain(bed: WriterBed, write: Any) -> None:
    """Its deletion is the disk's, and is told before the answer."""
    bed.begin(x=note("x"))
    bed.path("x.md").unlink()
    with pytest.raises(EntryNotFoundError):
        write(bed.writer, None)
    assert bed.told_by() == ["D x x.md disk"]
    with pytest.raises(EntryNotFoundError):
        write(bed.writer, ("0" * 32,))
    assert bed.told_by() == []


@every_write
@pytest.mark.parametrize(
    ("half", "rest"),
    [("---\nid: x\n---\nha", "lf"), ("---\nid: x\nti", "tle: T\n---\n"), ("", note("x", "new"))],
)
def test_a_file_that_is_being_written_is_busy_and_its_half_is_told_to_nobody(
    bed: WriterBed, write: Any, half: str, rest: str
) -> None:
    """Bug: a refused write told the half of somebody's save, and an empty file's problem."""
    bed.begin(x=note("x"))
    with bed.path("x.md").open("w") as file:
        file.write(half)
        file.flush()
        for match in (None, (revision_of(note("x").encode()),)):
            with pytest.raises(FileBusyError) as caught:
                write(bed.writer, match)
            # What a GET returns.
            assert caught.value.current == bed.entries()["x"][1]
        assert bed.news() == []
        file.write(rest)
    bed.settle_really()
    assert bed.told_by() == ["U x x.md disk"]
    bed.check()


@every_write
@pytest.mark.parametrize("bad", ["", BAD, "---\nid: x\n"])
def test_a_file_that_does_not_parse_is_left_to_the_settler(bed: WriterBed, write: Any, bad: str) -> None:
    """It may be half of a save by somebody who opens the file twice: its problem waits as any does."""
    bed.begin(x=note("x"))
    bed.write("x.md", bad)
    with pytest.raises(UnparsableError):
        write(bed.writer, None)
    assert bed.path("x.md").read_text() == bad
    assert bed.news() == []
    assert bed.problems() == set()
    bed.settle_really()
    assert bed.told_by() == []
    assert len(bed.problems()) == 1
    with pytest.raises(UnparsableError):
        write(bed.writer, None)
    assert bed.news() == []


def meddle(
    monkeypatch: pytest.MonkeyPatch, name: str, before: Callable[[], Any], after: Callable[[], Any] = bool
) -> None:
    """Let somebody do something just before, or just after, the writer's step on the disk."""
    real = getattr(writer_module, name)

    def step(*args: Any) -> Any:
        before()
        try:
            return real(*args)
        finally:
            after()

    monkeypatch.setattr(writer_module, name, step)


@every_write
def test_an_editor_that_is_quicker_wins_against_a_condition(
    bed: WriterBed, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """412 names what the index has then, and the editor's bytes are where it put them."""
    bed.begin(x=note("x"))
    known = bed.entries()["x"][1]
    for name in ("replace_file", "delete_file"):
        meddle(monkeypatch, name, lambda: bed.write("x.md", note("x", "editor")))
    with pytest.raises(ChangedMeanwhileError) as caught:
        write(bed.writer, (known,))
    assert bed.path("x.md").read_text() == note("x", "editor")
    assert caught.value.current == bed.entries()["x"][1] == revision_of(note("x", "editor").encode())
    assert bed.told_by() == ["U x x.md disk"]
    bed.check()


def test_without_a_condition_a_write_begins_again_from_the_editors_bytes(
    bed: WriterBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both edits are in the file, and both are told."""
    bed.begin(x=note("x"))
    edits = iter([note("x", "editor"), note("x", "editor again")])

    def edit() -> None:
        if text := next(edits, None):
            bed.write("x.md", text)

    meddle(monkeypatch, "replace_file", edit)
    bed.writer.update("kb", "x", EntryEdit({"n": 1}, coerce=True))
    assert "editor again" in bed.path("x.md").read_text()
    assert "'n': 1" in bed.path("x.md").read_text()
    assert bed.told_by() == ["U x x.md disk", "U x x.md disk", "U x x.md api"]
    bed.check()


@every_write
def test_an_editor_that_never_rests_is_not_waited_for(
    bed: WriterBed, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some tries 412, with the editor's last bytes in place and in the index."""
    bed.begin(x=note("x"))
    count = iter(range(100))
    for name in ("replace_file", "delete_file"):
        meddle(monkeypatch, name, lambda: bed.write("x.md", note("x", f"editor {next(count)}")))
    with pytest.raises(ChangedMeanwhileError):
        write(bed.writer, None)
    assert "editor" in bed.path("x.md").read_text()
    bed.hint("x.md")
    bed.settle_really()
    bed.check()


def test_what_an_editor_saves_right_after_the_rename_is_told_after_it_as_its_own(
    bed: WriterBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: the editor's bytes were told as `api`, in the place of what was written."""
    bed.begin(x=note("x"))
    meddle(monkeypatch, "replace_file", bool, lambda: bed.write("x.md", note("x", "editor")))
    written = bed.writer.update("kb", "x", EntryEdit(body="asked"))
    assert [(event["revision"], event["offset"]) for event in bed.events] == [
        (written.revision, written.offset)
    ]
    assert bed.told_by() == ["U x x.md api"]
    bed.hint("x.md")
    bed.settle_really()
    assert bed.told_by() == ["U x x.md disk"]
    bed.check()


def test_half_of_a_save_right_after_the_rename_is_told_to_nobody(
    bed: WriterBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: an editor that was just truncating the file made it an emptied one, told as `api`."""
    bed.begin(x=note("x"))
    opened: list[Any] = []
    meddle(monkeypatch, "replace_file", bool, lambda: opened.append(bed.path("x.md").open("w")))
    written = bed.writer.update("kb", "x", EntryEdit(body="asked"))
    assert bed.entries()["x"][1] == written.revision
    opened[0].write(note("x", "editor"))
    opened[0].close()
    bed.hint("x.md")
    bed.settle_really()
    assert bed.told_by() == ["U x x.md api", "U x x.md disk"]
    assert [event["type"] for event in bed.events].count("kb_synced") == 1
    bed.check()


def test_a_file_that_comes_back_right_after_a_delete_is_told_after_it(
    bed: WriterBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both happened: the deletion by the call, and the new file by the editor."""
    bed.begin(x=note("x"))
    meddle(monkeypatch, "delete_file", bool, lambda: bed.write("x.md", note("x")))
    bed.writer.delete("kb", "x")
    bed.hint("x.md")
    bed.settle_really()
    assert bed.told_by() == ["D x x.md api", "C x x.md disk"]
    bed.check()


def test_the_time_of_a_write_is_the_files(bed: WriterBed) -> None:
    """An entry that names no time of its own shows when its content changed."""
    bed.begin(x=note("x"))
    bed.writer.update("kb", "x", EntryEdit(body="asked"))
    shown = "SELECT updated_at FROM entry WHERE entry_id = 'x'"
    (before,) = bed.store.connection.execute(shown).fetchone()
    changed_s = bed.path("x.md").stat().st_mtime
    assert before.startswith(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(changed_s)))


@pytest.mark.parametrize("kind", ["create", "update", "delete"])
def test_a_write_that_the_index_cannot_take_is_told_later_once_as_api(bed: WriterBed, kind: str) -> None:
    """Bug: it was a fault of the server, as if nothing had been written."""
    bed.begin(x=note("x"))
    full = sqlite3.OperationalError("database or disk is full")
    writes: dict[str, Callable[[Writer, Any], Any]] = {**WRITES}
    writes |= {"create": lambda writer, match: writer.create("kb", NewEntry("New"))}
    with failing_apply(bed, full), pytest.raises(NotIndexedYetError) as caught:
        writes[kind](bed.writer, None)
    assert (caught.value.status, caught.value.code) == (503, "NOT_INDEXED_YET")
    file = bed.path("new.md" if kind == "create" else "x.md")
    revision = None if kind == "delete" else revision_of(file.read_bytes())
    assert caught.value.facts == ({"revision": revision} if revision else {})
    assert bed.news() == []
    # The watcher names it, before and after the index can be written again.
    bed.hint(file.name)
    bed.settle_really()
    told = {"create": "C new new.md api", "update": "U x x.md api", "delete": "D x x.md api"}
    assert bed.told_by() == [told[kind]]
    bed.hint(file.name)
    bed.settle_really()
    assert bed.news() == []
    bed.check()


@every_write
def test_a_file_that_goes_away_again_at_once_is_not_told_as_deleted(
    bed: WriterBed, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: an editor between two saves by rename was told as a deletion: a second look found no file."""
    bed.begin(x=note("x"))
    bed.write("x.md", note("x", "editor"))
    real = parse_entry

    def parse_then_go(*args: Any) -> Any:
        monkeypatch.setattr(writer_module, "parse_entry", real)
        bed.path("x.md").rename(bed.path("x.md~"))
        threading.Timer(0.03, lambda: bed.path("x.md~").rename(bed.path("x.md"))).start()
        return real(*args)

    monkeypatch.setattr(writer_module, "parse_entry", parse_then_go)
    write(bed.writer, None)
    assert bed.told_by()[0] == "U x x.md disk"
    assert [event["type"] for event in bed.events].count("entry_created") == 0
    bed.settle_really()
    bed.check()


@every_write
def test_nothing_is_written_where_the_index_cannot_take_what_was_there(bed: WriterBed, write: Any) -> None:
    """An edit that the index has not seen, and cannot: the answer says that nothing was changed."""
    bed.begin(x=note("x"))
    bed.write("x.md", note("x", "editor"))
    busy = sqlite3.OperationalError("database is locked")
    with failing_apply(bed, busy), pytest.raises(IndexBusyError):
        write(bed.writer, None)
    assert bed.path("x.md").read_text() == note("x", "editor")
    bed.settle_really()
    assert bed.told_by() == ["U x x.md disk"]
    bed.check()


def test_a_new_entry_never_takes_the_place_of_a_file_that_comes_at_that_moment(
    bed: WriterBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The editor's file stays, and is told as the disk's."""
    bed.begin()
    meddle(monkeypatch, "create_file", lambda: bed.write("new.md", note("other", "editor")))
    with pytest.raises(PathTakenError):
        bed.writer.create("kb", NewEntry("New"))
    assert bed.path("new.md").read_text() == note("other", "editor")
    bed.hint("new.md")
    bed.settle_really()
    assert bed.told_by() == ["C other new.md disk"]


@pytest.mark.parametrize(
    "new",
    [
        NewEntry("T", body="x\0"),
        NewEntry("T", metadata={"a": float("inf")}),
        NewEntry("T", metadata={"a": {1, 2}}),
        NewEntry("T", body="\ud800"),
        NewEntry("T", body="x" * (1 << 20)),
    ],
    ids=["nul", "infinite", "no JSON", "half a pair", "too large"],
)
def test_what_no_file_can_hold_is_refused(bed: WriterBed, new: NewEntry) -> None:
    """Bug: a new entry's values that YAML cannot say were a fault of the server."""
    bed.begin()
    with pytest.raises(InvalidWriteError):
        bed.writer.create("kb", new)
    assert list(bed.path("").iterdir()) == []


def test_an_update_may_not_make_a_file_too_large(bed: WriterBed) -> None:
    """It would be a problem, and no entry any more."""
    bed.begin(x=note("x"))
    with pytest.raises(InvalidWriteError):
        bed.writer.update("kb", "x", EntryEdit(body="x" * (1 << 20)))
    assert bed.path("x.md").read_text() == note("x")
