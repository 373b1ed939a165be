"""Bad files, ids, links, ignore rules, lost hints, restarts: hard cases 23 to 34, 39, 47, 48."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from pyrite_watch.reconciler import Options

from .bed import BAD, Bed, MakeBed, note

# -- ids -----------------------------------------------------------------------------------


def test_the_owner_of_an_id_keeps_it(bed: Bed) -> None:
    """Row 23: a smaller path does not take it over; the second file is a problem."""
    bed.write("b.md", note("x"))
    bed.settle("b.md").told()
    bed.write("a.md", note("x", "other"))
    for _ in range(3):
        bed.settle("a.md", "b.md").sweep()
    assert bed.told() == []
    assert bed.entries()["x"][0] == "b.md"
    assert bed.problems() == {("a.md", "duplicate_id")}


def test_a_renamed_owner_is_still_the_owner(bed: Bed) -> None:
    """Row 23: U with `previous_path`."""
    bed.write("b.md", note("x"))
    bed.write("a.md", note("x", "other"))
    bed.settle("b.md").settle("a.md").told()
    os.rename(bed.path("b.md"), bed.path("c.md"))
    bed.settle("b.md", "c.md")
    assert bed.told() == ["U x c.md < b.md"]
    assert bed.problems() == {("a.md", "duplicate_id")}


def test_the_next_file_takes_over_when_the_owner_goes(bed: Bed) -> None:
    """Row 23: one U, and the problem clears; nobody named the heir."""
    bed.write("b.md", note("x"))
    bed.write("a.md", note("x", "other"))
    bed.settle("b.md").settle("a.md").told()
    bed.path("b.md").unlink()
    bed.settle("b.md")
    assert bed.told() == ["U x a.md < b.md"]
    assert bed.problems() == set()
    bed.check()


def test_an_heir_that_was_touched_meanwhile_takes_over(bed: Bed) -> None:
    """Its bytes are the same, so they were not parsed: they are for an heir."""
    bed.write("b.md", note("x"))
    bed.write("a.md", note("x", "other"))
    bed.settle("b.md").settle("a.md").told()
    bed.path("b.md").unlink()
    os.utime(bed.path("a.md"))
    bed.reconciler.sync(["kb"])
    assert bed.told() == ["U x a.md < b.md"]
    bed.check()


def test_an_heir_that_a_rule_hides_by_now_does_not_take_over(bed: Bed) -> None:
    """Told as updated, it would be told as deleted a moment later, when the rules' own hint comes."""
    bed.write("b.md", note("x"))
    bed.write("a.md", note("x", "other"))
    bed.settle("b.md").settle("a.md").told()
    bed.write(".pyriteignore", "a.md\n")
    bed.path("b.md").unlink()
    bed.settle("b.md")
    assert bed.told() == ["D x b.md"]
    assert bed.problems() == set()


def test_an_owner_that_a_rule_hides_by_now_gives_its_id_to_a_new_file(bed: Bed) -> None:
    """Only the new file is named: the rules of now count for its owner too."""
    bed.write("b.md", note("x"))
    bed.settle("b.md").told()
    bed.write(".pyriteignore", "b.md\n")
    bed.write("a.md", note("x", "other"))
    bed.settle("a.md")
    assert bed.told() == ["U x a.md < b.md"]


def test_without_history_the_smallest_path_owns(make_bed: MakeBed) -> None:
    """Row 23: rebuild from nothing."""
    bed = make_bed()
    for name in ("c.md", "a.md", "b.md"):
        bed.write(name, note("x", name))
    bed.start()
    assert bed.entries()["x"][0] == "a.md"
    assert bed.problems() == {("b.md", "duplicate_id"), ("c.md", "duplicate_id")}
    bed.check()


def test_without_history_an_explicit_id_goes_before_a_derived_one(
    make_bed: MakeBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they are in different batches of the first index."""
    monkeypatch.setattr("pyrite_watch.reconciler.FIRST_INDEX_PATHS", 1)
    bed = make_bed()
    bed.write("a/x.md", note())
    bed.write("b.md", note("x"))
    bed.start()
    assert {entry_id: path for entry_id, (path, _) in bed.entries().items()} == {"x": "b.md", "a-x": "a/x.md"}
    assert bed.problems() == set()
    bed.check()


def test_many_index_files_get_the_ids_of_their_paths(make_bed: MakeBed) -> None:
    """Row 23b: 40 entries, no problem, and ids that stay when a smaller path comes."""
    bed = make_bed()
    for number in range(40):
        bed.write(f"f{number:02}/index.md", note(None, f"{number}"))
    bed.start()
    assert sorted(bed.entries()) == [f"f{number:02}-index" for number in range(40)]
    assert bed.problems() == set()
    bed.write("a/index.md", note())
    bed.settle("a")
    assert bed.told() == ["C a-index a/index.md"]
    bed.check()


def test_one_id_in_two_kbs_is_two_entries(make_bed: MakeBed) -> None:
    """Row 24: independent."""
    bed = make_bed("one", "two").start()
    for kb in ("one", "two"):
        bed.write("a.md", note("a"), kb=kb)
        bed.settle("a.md", kb=kb)
    bed.path("a.md", "one").unlink()
    bed.settle("a.md", kb="one")
    assert bed.told() == ["C a a.md", "C a a.md", "D a a.md"]
    bed.check()


# -- bad files -----------------------------------------------------------------------------


def test_bad_yaml_keeps_the_last_good_version_until_it_is_mended(bed: Bed) -> None:
    """Row 25: no entry event, a problem; mended to what it was: no entry event, the problem clears."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").news()
    bed.check()
    bed.write("a.md", BAD)
    bed.settle("a.md")
    assert [event["type"] for event in bed.news()] == ["kb_synced"]
    assert bed.problems() == {("a.md", "yaml")}
    bed.check()
    bed.write("a.md", note("a"))
    bed.settle("a.md")
    assert [event["type"] for event in bed.news()] == ["kb_synced"]
    assert bed.problems() == set()
    bed.check()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"a: \xff\n", "encoding"),
        ("text".encode("utf-16"), "encoding"),
        (b"a\0b", "encoding"),
        (b"---\n- 1\n---\n", "front_matter"),
        (b"---\na: &a [*a]\n---\n", "yaml"),
        (b"x" * 2_000_000, "too_big"),
        (b"---\nid: a\n<<<<<<< ours\n=======\n>>>>>>> x\n---\n", "conflict"),
    ],
)
@pytest.mark.parametrize("good_before", [True, False])
def test_a_bad_file_is_a_problem_and_others_are_unaffected(
    bed: Bed, content: bytes, kind: str, good_before: bool
) -> None:
    """Rows 26, 27, 29, 47: the last good version stays, the neighbour is told."""
    if good_before:
        bed.write("a.md", note("a"))
        bed.settle("a.md").told()
    bed.write("a.md", content)
    bed.write("b.md", note("b"))
    bed.settle("a.md", "b.md").sweep()
    assert bed.told() == ["C b b.md"]
    assert [path for path, _ in bed.problems()] == ["a.md"]
    if kind != "yaml":
        assert bed.problems() == {("a.md", kind)}
    assert ("a" in bed.entries()) == good_before


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf---\nid: a\n---\nx\n", b"---\r\nid: a\r\n---\r\nx\r\n"])
def test_bom_and_crlf_are_fine(bed: Bed, content: bytes) -> None:
    """Row 27."""
    bed.write("a.md", content)
    bed.settle("a.md")
    assert bed.told() == ["C a a.md"]
    assert bed.problems() == set()
    bed.check()


def test_conflict_markers_in_the_body_are_an_update_and_a_problem(bed: Bed) -> None:
    """Row 47."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()
    bed.write("a.md", note("a", "<<<<<<< ours\none\n=======\ntwo\n>>>>>>> theirs"))
    bed.settle("a.md")
    assert bed.told() == ["U a a.md"]
    assert bed.problems() == {("a.md", "conflict")}
    bed.check()


def test_a_deleted_bad_file_leaves_no_problem(bed: Bed) -> None:
    """Nor an event, where it never was an entry."""
    bed.write("a.md", BAD)
    bed.settle("a.md").news()
    bed.path("a.md").unlink()
    bed.settle("a.md")
    assert bed.told() == []
    assert bed.problems() == set()


def test_strange_names_are_entries(bed: Bed) -> None:
    """Row 28: newline, dash, emoji, 255 bytes; NFD beside NFC is a problem."""
    names = ["a\nb.md", "-dash.md", "🪨 stone.md", "n" * 252 + ".md", "caf\u00e9.md", "cafe\u0301.md"]
    for name in names:
        bed.write(name, note(None, name))
        bed.settle(name)
    assert len(bed.told()) == 5
    assert bed.problems() == {("cafe\u0301.md", "duplicate_id")}
    assert {path for path, _ in bed.entries().values()} == set(names[:-1])
    before = len(bed.events)
    bed.sweep()
    assert len(bed.events) == before


def test_a_name_that_is_not_utf_8_is_a_problem_however_it_is_found(bed: Bed) -> None:
    """Row 28. Bug: a hint with such a name reached SQLite, which refuses it, and ended the writing."""
    name = os.fsdecode(b"caf\xe9.md")
    bed.write(name, note("a"))
    bed.write("b.md", note("b"))
    bed.settle(name)
    assert bed.told() == ["C b b.md"]
    assert bed.problems() == {("caf\\xe9.md", "name")}
    os.rename(bed.path(name), bed.path("a.md"))
    bed.settle("a.md").sweep()
    assert bed.told() == ["C a a.md"]
    assert bed.problems() == set()
    bed.check()


def test_what_is_no_file_is_a_problem_and_never_blocks(bed: Bed) -> None:
    """Row 29: FIFO, socket, a huge sparse file; a folder `dir.md` is none."""
    os.mkfifo(bed.path("fifo.md"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(bed.path("socket.md")))
    with open(bed.path("huge.md"), "wb") as file:
        file.truncate(2 << 30)
    bed.path("dir.md").mkdir()
    bed.settle("fifo.md", "socket.md", "huge.md", "dir.md").sweep()
    assert bed.told() == []
    assert bed.problems() == {
        ("fifo.md", "not_a_file"),
        ("socket.md", "not_a_file"),
        ("huge.md", "too_big"),
    }


def test_a_bad_file_is_not_read_again_by_each_sweep(bed: Bed) -> None:
    """Its state is remembered, though it is no entry."""
    bed.write("a.md", BAD)
    os.mkfifo(bed.path("fifo.md"))
    bed.settle("a.md", "fifo.md")
    while _differing(bed):
        bed.sweep()  # until it is no more racy
    assert _differing(bed) == []


def _differing(bed: Bed) -> list[str]:
    reconciler = bed.reconciler
    return reconciler._differing(reconciler.roots["kb"])


# -- what may not be read -------------------------------------------------------------------


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Absolute paths that may not be opened or listed; root may do everything, so this is played."""
    denied: set[str] = set()
    real_open, real_scandir = os.open, os.scandir

    def check(path: str) -> None:
        if any(path == one or path.startswith(f"{one}/") for one in denied):
            raise PermissionError(13, "Permission denied", path)

    def open_file(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        full = os.fspath(path)
        if dir_fd is not None:
            full = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), full)
        check(full)
        return real_open(path, flags, mode, dir_fd=dir_fd)

    def scandir(path: str) -> object:
        check(os.fspath(path))
        return real_scandir(path)

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "scandir", scandir)
    return denied


def test_an_unreadable_file_is_a_problem_and_no_deletion(bed: Bed, unreadable: set[str]) -> None:
    """Row 30: siblings are still heard."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()
    unreadable.add(os.fspath(bed.path("a.md")))
    bed.path("a.md").chmod(0)
    bed.write("b.md", note("b"))
    bed.settle("a.md", "b.md").sweep()
    assert bed.told() == ["C b b.md"]
    assert bed.problems() == {("a.md", "unreadable")}
    unreadable.clear()
    bed.path("a.md").chmod(0o644)
    bed.settle("a.md")
    assert bed.told() == []
    assert bed.problems() == set()
    bed.check()


def test_what_could_not_be_read_for_a_moment_is_told_by_the_next_sweep(
    bed: Bed, unreadable: set[str]
) -> None:
    """Bug: its state was remembered as if it had been read (an I/O error, another program's lease), so the
    problem stayed and the change was never told."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()
    unreadable.add(os.fspath(bed.path("a.md")))
    bed.write("a.md", note("a", "new"))
    bed.settle("a.md")
    assert bed.problems() == {("a.md", "unreadable")}
    unreadable.clear()
    bed.sweep()
    assert bed.told() == ["U a a.md"]
    assert bed.problems() == set()
    bed.check()


def test_a_file_that_stays_unreadable_is_told_once(bed: Bed, unreadable: set[str]) -> None:
    """Each sweep looks at it again, and repairs nothing; neither does a sync or a start."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()
    unreadable.add(os.fspath(bed.path("a.md")))
    bed.write("a.md", note("a", "new"))
    bed.settle("a.md")
    assert [(event["type"], event["problems"]) for event in bed.news()] == [("kb_synced", 1)]
    reports = len(bed.reports)
    bed.sweep().sweep().restart()
    bed.sweep()
    assert bed.news() == []
    assert len(bed.reports) == reports


def test_a_file_that_was_too_big_is_an_entry_once_more_is_allowed(bed: Bed) -> None:
    """Bug: started again with a higher limit, it was still a problem; meanwhile it is told once."""
    bed.options = Options(max_entry_bytes=100)
    bed.restart()
    bed.write("a.md", note("a", "x" * 200))
    bed.settle("a.md").sweep().restart()
    assert [event["problems"] for event in bed.news()] == [1]
    bed.options = Options(max_entry_bytes=1000)
    bed.restart()
    assert bed.told() == ["C a a.md"]
    assert bed.problems() == set()
    bed.check()


@pytest.mark.parametrize("hints", [["f"], [], ["f/a.md"], ["f/g/x.txt"], ["f", "f/g", "f/a.md"]])
def test_an_unreadable_folder_hides_and_deletes_nothing(
    bed: Bed, unreadable: set[str], hints: list[str]
) -> None:
    """Row 30: whatever is named, also only by the sweep; then it is back."""
    bed.write("f/a.md", note("a"))
    bed.write("f/g/b.md", note("b"))
    bed.settle("f").told()
    unreadable.add(os.fspath(bed.path("f")))
    bed.write("c.md", note("c"))
    bed.settle(*hints, "c.md").sweep()
    assert bed.told() == ["C c c.md"]
    named = {("f/a.md", "unreadable")} if "f/a.md" in hints else set()
    assert bed.problems() == {("f", "unreadable"), *named}
    assert {"a", "b"} <= bed.entries().keys()
    unreadable.clear()
    bed.write("f/a.md", note("a", "new"))
    bed.settle("f").sweep()
    assert bed.told() == ["U a f/a.md"]
    assert bed.problems() == set()
    bed.check()


# -- links and nested KBs ---------------------------------------------------------------------


def test_links_are_never_entries_and_nothing_outside_is_read(bed: Bed) -> None:
    """Row 33: loops, the parent, out of the KB, a file inside."""
    outside = bed.folder / "outside"
    outside.mkdir()
    (outside / "secret.md").write_text(note("secret"))
    bed.write("f/a.md", note("a"))
    os.symlink(".", bed.path("loop"))
    os.symlink("..", bed.path("f/parent"))
    os.symlink(outside, bed.path("out"))
    os.symlink(outside / "secret.md", bed.path("secret.md"))
    os.symlink("f/a.md", bed.path("inside.md"))
    os.symlink("nowhere", bed.path("dangling.md"))
    names = ["loop", "f/parent", "out", "out/secret.md", "secret.md", "inside.md", "dangling.md"]
    bed.settle("f", "loop/f/a.md", *names).sweep()
    assert bed.told() == ["C a f/a.md"]
    assert bed.problems() == set()
    bed.check()


def test_a_file_that_becomes_a_link_is_deleted(bed: Bed) -> None:
    """Row 33: and a folder that becomes one, with all below it."""
    bed.write("a.md", note("a"))
    bed.write("f/b.md", note("b"))
    bed.settle("a.md", "f").told()
    os.rename(bed.path("a.md"), bed.folder / "a.md")
    os.rename(bed.path("f"), bed.folder / "f")
    os.symlink(bed.folder / "a.md", bed.path("a.md"))
    os.symlink(bed.folder / "f", bed.path("f"))
    bed.settle("a.md", "f", "f/b.md")
    assert bed.told() == ["D a a.md", "D b f/b.md"]


def test_a_kb_inside_a_kb_has_its_files_alone(tmp_path: Path) -> None:
    """Row 34: events in the innermost only; named no more, its files belong to the outer one."""
    roots = {"outer": tmp_path / "outer", "inner": tmp_path / "outer" / "in" / "ner"}
    roots["inner"].mkdir(parents=True)
    bed = Bed(tmp_path, roots=roots).start()
    try:
        bed.write("a.md", note("a"), kb="inner")
        bed.settle("a.md", kb="inner").settle("in", "in/ner/a.md", kb="outer").sweep()
        assert [(event["kb_name"], event["type"]) for event in bed.news()] == [
            ("inner", "entry_created"),
            ("inner", "kb_synced"),
        ]
        bed.restart("outer")
        assert bed.told() == ["C a in/ner/a.md"]
        bed.restart()
        assert sorted(bed.told()) == ["C a a.md", "D a in/ner/a.md"]
    finally:
        bed.close()


# -- ignore rules -----------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [True, False])
def test_changed_ignore_rules_give_the_difference(bed: Bed, lost: bool) -> None:
    """Row 48: D of what the rule hides, C of what it shows."""
    bed.write("a.md", note("a"))
    bed.write("f/b.md", note("b"))
    bed.settle("").told()
    for rule, expected in (("f/\n", ["D b f/b.md"]), ("*.md\n!b.md\n", ["D a a.md", "C b f/b.md"])):
        bed.write(".pyriteignore", rule)
        if lost:
            bed.sweep()
        else:
            bed.settle(".pyriteignore")
        assert bed.told() == expected
    bed.path(".pyriteignore").unlink()
    bed.settle(".pyriteignore")
    assert bed.told() == ["C a a.md"]
    bed.check()


@pytest.mark.parametrize("path", ["f/.pyriteignore", ".gitignore", "f/.gitignore", ".git/x/.gitignore"])
def test_an_ignore_file_without_a_say_costs_no_sweep(bed: Bed, path: str) -> None:
    """Only the root's `.pyriteignore` counts, and `.gitignore` only with `--gitignore`."""
    bed.hint(path)
    assert bed.reconciler.next_due_s() is None


def test_what_was_hidden_is_deleted_without_waiting(bed: Bed) -> None:
    """The file is there: nothing can come back."""
    bed.write("a.md", note("a"))
    bed.settle("a.md").told()
    bed.write(".pyriteignore", "a.md\n")
    bed.run(".pyriteignore")
    assert bed.told() == ["D a a.md"]


# -- lost hints, restarts -----------------------------------------------------------------------


def test_a_sweep_finds_what_no_hint_told(bed: Bed) -> None:
    """Row 17: the full difference, with origin `sweep`, counted as repairs."""
    for name in ("keep", "gone", "changed", "moved"):
        bed.write(f"{name}.md", note(name))
    bed.settle("").told()
    bed.path("gone.md").unlink()
    bed.write("changed.md", note("changed", "new"))
    os.rename(bed.path("moved.md"), bed.path("to.md"))
    bed.write("f/new.md", note("new"))
    before = len(bed.reports)
    bed.sweep()
    news = bed.news()
    assert {event["origin"] for event in news} == {"sweep"}
    assert sorted(event["type"] + " " + event["entry_id"] for event in news) == [
        "entry_created new",
        "entry_deleted gone",
        "entry_updated changed",
        "entry_updated moved",
        "kb_synced ",
        "kb_synced ",
    ]
    assert sum(report.repairs for report in bed.reports[before:]) == 4
    bed.check()


def test_changes_while_stopped_are_told_at_the_start(bed: Bed) -> None:
    """Row 39: the difference, origin `sweep`, then S, in the same epoch."""
    for name in ("keep", "gone", "changed", "moved"):
        bed.write(f"{name}.md", note(name))
    bed.settle("").told()
    epoch = bed.store.position.epoch
    bed.store.close()
    bed.path("gone.md").unlink()
    bed.write("changed.md", note("changed", "new"))
    os.rename(bed.path("moved.md"), bed.path("to.md"))
    bed.open().reconciler.first_pass()
    news = bed.news()
    assert {event["origin"] for event in news} == {"sweep"}
    assert [event["type"] for event in news] == [
        "entry_updated",
        "entry_deleted",
        "entry_updated",
        "kb_synced",
    ]
    assert bed.store.position.epoch == epoch
    bed.check()


def test_a_storm_of_files_is_told_in_batches(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 16, small: all C, once each, however small a batch is."""
    monkeypatch.setattr("pyrite_watch.index.gather.MAX_BATCH_PATHS", 10)
    for number in range(95):
        bed.write(f"f/{number:02}.md", note(f"n{number:02}"))
    bed.settle("f", *(f"f/{number:02}.md" for number in range(0, 95, 2)))
    assert bed.told() == [f"C n{number:02} f/{number:02}.md" for number in range(95)]
    bed.check()
    shutil.rmtree(bed.path("f"))
    bed.settle(*(f"f/{number:02}.md" for number in range(95)))
    assert bed.told() == [f"D n{number:02} f/{number:02}.md" for number in range(95)]
    bed.check()


@pytest.mark.parametrize("passed", ["hint", "sync"])
def test_a_batch_ends_where_its_bytes_are_many(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, passed: str
) -> None:
    """What the batch has no room for is told in the next, not forgotten."""
    monkeypatch.setattr("pyrite_watch.index.gather.MAX_BATCH_BYTES", 1000)
    for number in range(20):
        bed.write(f"{number:02}.md", note(f"n{number:02}", "x" * 300))
    if passed == "hint":
        bed.settle("")
    else:
        bed.reconciler.sync(["kb"])
    assert len(bed.told()) == 20
    assert len(bed.reports) > 3
    bed.check()


def test_kb_yaml_is_followed(bed: Bed) -> None:
    """What is wrong with it is a problem from when it is seen to be so, by a hint or by a sweep."""
    kb = bed.reconciler.roots["kb"]
    bed.write("kb.yaml", "description: Mine\ntypes: {plant: {subdirectory: plants}}\n")
    bed.settle("kb.yaml")
    assert (kb.kb.description, kb.kb.subdirectories) == ("Mine", {"plant": "plants"})
    assert bed.news() == []
    bed.write("kb.yaml", "types: [\n")
    bed.settle("kb.yaml")
    assert ("kb.yaml", "kb_yaml") in bed.problems()
    assert [event["problems"] for event in bed.news()] == [1]
    bed.write("kb.yaml", "description: Yours\n")
    bed.sweep()
    assert bed.problems() == set()
    assert kb.kb.description == "Yours"
    assert [event["problems"] for event in bed.news()] == [0]


def test_a_kb_yaml_that_could_not_be_read_for_a_while_is_read_again(bed: Bed, unreadable: set[str]) -> None:
    """Bug: its state was remembered as if it had been read, so that the problem stayed for good."""
    kb = bed.reconciler.roots["kb"]
    bed.write("kb.yaml", "types: {plant: {subdirectory: plants}}\n")
    bed.settle("kb.yaml")
    os.utime(bed.path("kb.yaml"), (1, 1))
    unreadable.add(os.fspath(bed.path("kb.yaml")))
    bed.settle("kb.yaml").sweep()
    assert [event["problems"] for event in bed.news()] == [1]
    bed.sweep()
    assert bed.news() == []
    unreadable.clear()
    bed.sweep()
    assert kb.kb.subdirectories == {"plant": "plants"}
    assert [event["problems"] for event in bed.news()] == [0]
    assert bed.problems() == set()


def test_a_kb_yaml_that_changed_while_nothing_ran_is_told_at_the_start(bed: Bed) -> None:
    """Bug: its problem came and went in the index without a `kb_synced`; unchanged it says nothing."""
    for text, told in (("types: [\n", [1]), ("description: Mine\n", [0])):
        bed.store.close()
        bed.write("kb.yaml", text)
        for problems in (told, []):
            bed.open().reconciler.first_pass()
            assert [event["problems"] for event in bed.news()] == problems
            bed.store.close()
        bed.open()


def test_of_a_kb_that_is_away_at_the_start_nothing_is_said_but_that(bed: Bed) -> None:
    """What its kb.yaml says is known when it is back."""
    bed.write("kb.yaml", "types: [\n")
    bed.settle("kb.yaml").news()
    bed.store.close()
    os.rename(bed.roots["kb"], bed.folder / "aside")
    bed.open().reconciler.first_pass()
    assert [(event["available"], event["problems"]) for event in bed.news()] == [(False, 2)]
    os.rename(bed.folder / "aside", bed.roots["kb"])
    bed.write("kb.yaml", "description: Mine\n")
    bed.sweep()
    assert [(event["available"], event["problems"]) for event in bed.news()] == [(True, 1), (True, 0)]
    assert bed.reconciler.roots["kb"].kb.description == "Mine"


def test_a_kb_yaml_that_is_broken_at_the_first_index_is_no_event(make_bed: MakeBed) -> None:
    """It is part of the state at the first position."""
    bed = make_bed()
    bed.write("kb.yaml", "types: [\n")
    bed.start()
    assert bed.events == []
    assert bed.problems() == {("kb.yaml", "kb_yaml")}


@pytest.mark.parametrize("half", ["", "types: [\n", None])
def test_half_of_kb_yaml_is_not_believed(bed: Bed, half: str | None) -> None:
    """While it is written anew, or is away, it says what it said; then what is there is true."""
    kb = bed.reconciler.roots["kb"]
    bed.write("kb.yaml", "description: Mine\n")
    bed.settle("kb.yaml")
    if half is None:
        bed.path("kb.yaml").unlink()
    else:
        bed.write("kb.yaml", half)
    bed.run("kb.yaml").advance(0.3)
    assert kb.kb.description == "Mine"
    assert bed.problems() == set()
    bed.advance(0.2)
    assert kb.kb.description == ""
