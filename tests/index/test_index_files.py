"""Rows about KBs, files and problems, over real SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from index_builders import BAD, change, explicit, on_disk, titled

from pyrite_watch.index import files
from pyrite_watch.index.files import ProblemScope, apply_problems
from pyrite_watch.index.owners import FileRecord
from pyrite_watch.index.store import Store
from pyrite_watch.model.entry import EntryId, FileState, Problem


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """One KB, `a`, whose `kb_id` is 1."""
    with closing(Store(tmp_path, ["a"], "boot")) as opened:
        opened.name_kbs()
        opened.complete_first_pass(["a"])
        yield opened


def note(
    store: Store, path: str, *problems: Problem, scope: ProblemScope = "file", ts: str = "t"
) -> tuple[list[Problem], list[str], bool]:
    return apply_problems(store.connection, 1, scope, {path: problems}, ts)


def shown(connection: sqlite3.Connection) -> list[tuple[str, str, str, str]]:
    return connection.execute("SELECT path, kind, message, since FROM problem ORDER BY 1, 2, 3").fetchall()


def test_a_record_comes_back_as_it_was_written(store: Store) -> None:
    """So that a pass over what did not change writes nothing."""
    change(store, "a", {"x.md": explicit("x"), "w.md": explicit("x", "2"), "bad.md": BAD})
    found = files.load_records(store.connection, 1, ["x.md", "w.md", "bad.md", "none.md"])
    assert found.keys() == {"x.md", "w.md", "bad.md"}
    owners = {path: (record.entry_id, record.claim) for path, record in found.items()}
    assert owners == {"x.md": (None, "x"), "w.md": ("x", "x"), "bad.md": (None, None)}
    file = on_disk("w.md", explicit("x", "2"))
    assert found["w.md"] == FileRecord(
        "w.md", file.state, file.revision, EntryId("x"), "x", True, "front", file.revision, file.identity
    )


def test_a_state_that_is_not_believed_leaves_the_identity(store: Store) -> None:
    """Else a file that was saved and then renamed would look like a copy."""
    file = on_disk("x.md", explicit("x"))
    change(store, "a", {"x.md": replace(file, racy=True)})
    record = files.load_records(store.connection, 1, ["x.md"])["x.md"]
    assert (record.state, record.identity) == (None, file.identity)
    assert files.load_states(store.connection, 1) == {"x.md": None}


def test_more_records_than_parameters_are_loaded(store: Store) -> None:
    """Older builds of SQLite take 999."""
    paths = [f"{number}.md" for number in range(2000)]
    change(store, "a", dict.fromkeys(paths, "text"))
    assert len(files.load_records(store.connection, 1, paths)) == 2000
    assert len(files.load_owners(store.connection, 1, [EntryId(path[:-3]) for path in paths])) == 2000


@pytest.mark.parametrize("mtime_ns", [1, -1, 2**63, 10**23])
def test_large_numbers_come_back_equal(store: Store, mtime_ns: int) -> None:
    """Some file systems number inodes up to 2^64, or know the year 2300; SQLite's integers are signed."""
    state = files.signed_state(FileState(mtime_ns, mtime_ns, 3, 2**64 - 1, 2**63))
    change(store, "a", {"x.md": replace(on_disk("x.md", "text"), state=state)})
    assert files.load_states(store.connection, 1) == {"x.md": state}
    assert files.signed_state(state) == state
    assert files.signed_state(FileState(1, 2, 3, 4, 5)) == FileState(1, 2, 3, 4, 5)


def test_the_owner_of_an_id_is_found(store: Store) -> None:
    """Not the one that waits for it."""
    change(store, "a", {"x.md": explicit("x")})
    change(store, "a", {"a.md": explicit("x", "2")})
    owners = files.load_owners(store.connection, 1, [EntryId("x"), EntryId("none")])
    assert {entry_id: record.path for entry_id, record in owners.items()} == {"x": "x.md"}


def test_who_waits_for_an_id_is_found(store: Store) -> None:
    """Those that claim it and own nothing, by path."""
    change(store, "a", {"m.md": explicit("x"), "n.md": explicit("y")})
    change(store, "a", {"z.md": explicit("x", "2"), "b.md": explicit("x", "3"), "c.md": explicit("y", "4")})
    assert files.load_waiting_paths(store.connection, 1, [EntryId("x")]) == ["b.md", "z.md"]
    assert files.load_waiting_paths(store.connection, 1, []) == []


def test_who_waits_for_its_paths_form_is_found(store: Store) -> None:
    """A bug: a derived id waits for two ids, and the end of the second one's owner woke nobody."""
    change(store, "a", {"guide-index.md": "text", "m.md": titled("Same"), "b-x.md": "text"})
    change(store, "a", {"guide/index.md": "text", "b/x.md": titled("Same")})
    problems = store.connection.execute("SELECT path, kind FROM problem ORDER BY path").fetchall()
    assert problems == [("b/x.md", "duplicate_id"), ("guide/index.md", "duplicate_id")]
    for freed, waiting in (("guide-index", "guide/index.md"), ("b-x", "b/x.md"), ("same", "b/x.md")):
        assert files.load_waiting_paths(store.connection, 1, [EntryId(freed)]) == [waiting]
    assert files.load_waiting_paths(store.connection, 1, [EntryId("none")]) == []


@pytest.mark.parametrize("load", [files.load_owners, files.load_waiting_paths, files.load_records])
def test_no_look_up_reads_the_whole_kb(store: Store, load: object) -> None:
    """A bug: from three ids on SQLite read every file of the KB, with each save."""
    statements: list[str] = []
    store.connection.set_trace_callback(statements.append)
    assert callable(load)
    load(store.connection, 1, ["x", "y", "z"])
    store.connection.set_trace_callback(None)
    for statement in statements:
        plan = [row[3] for row in store.connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert "PRIMARY KEY (kb_id=?)" not in " ".join(plan)
        assert all(step.startswith("SEARCH") for step in plan)


def test_the_paths_below_a_folder_are_not_its_neighbours(store: Store) -> None:
    """`sub.md`, `sub-2/x.md` and `sub0` begin alike."""
    paths = ["sub/a.md", "sub/d/b.md", "sub.md", "sub-2/x.md", "sub0/x.md", "x/sub/y.md"]
    change(store, "a", {path: path for path in paths})
    assert files.load_paths_below(store.connection, 1, "sub") == ["sub/a.md", "sub/d/b.md"]
    assert files.load_paths_below(store.connection, 1, "") == sorted(paths)


def test_two_files_may_swap_their_ids(store: Store) -> None:
    """An id has one owner at any moment, also between two statements."""
    change(store, "a", {"1.md": explicit("x"), "2.md": explicit("y")})
    applied = change(store, "a", {"1.md": explicit("y"), "2.md": explicit("x")})
    assert [event.type for event in applied.events] == ["entry_updated", "entry_updated", "kb_synced"]


def test_a_problem_keeps_its_since(store: Store) -> None:
    """As long as its kind stays; the sentence may change."""
    note(store, "x.md", Problem("x.md", "yaml", "line 3", 3), ts="1")
    assert note(store, "x.md", Problem("x.md", "yaml", "line 3", 3), ts="2") == ([], [], False)
    changed = Problem("x.md", "yaml", "line 4", 4)
    assert note(store, "x.md", changed, ts="3") == ([changed], [], True)
    assert shown(store.connection) == [("x.md", "yaml", "line 4", "1")]


def test_a_mended_path_has_no_problem(store: Store) -> None:
    """Told once."""
    note(store, "x.md", Problem("x.md", "yaml", "no"))
    assert note(store, "x.md") == ([], ["x.md"], True)
    assert note(store, "x.md") == ([], [], False)
    assert shown(store.connection) == []


def test_each_scope_clears_its_own_problems(store: Store) -> None:
    """A bug: two scopes with one kind at one path shared a row, and the one took the other's away."""
    problem = Problem("d.md", "unreadable", "no")
    note(store, "d.md", problem, scope="scan")
    note(store, "d.md", replace(problem, message="neither"), scope="file")
    note(store, "d.md", scope="file")
    assert [row[2] for row in shown(store.connection)] == ["no"]
    assert files.load_problem_paths(store.connection, 1, "scan") == ["d.md"]
    note(store, "d.md", scope="scan")
    assert shown(store.connection) == []


def test_of_several_problems_of_a_kind_the_first_is_shown(store: Store) -> None:
    """An ignore file may have many lines that are wrong; reading it again makes none of them new."""
    lines = [Problem(".pyriteignore", "ignore_file", "odd", line) for line in (2, 5, 9)]
    assert note(store, ".pyriteignore", *lines, scope="scan") == ([lines[0]], [], True)
    assert note(store, ".pyriteignore", *lines, scope="scan") == ([], [], False)


def test_problem_paths_are_found_at_and_below_a_folder(store: Store) -> None:
    """Not beside it."""
    for path in ("d", "d/x.md", "d-2/x.md", "d0", "e.md"):
        note(store, path, Problem(path, "name", "odd"), scope="scan")
    note(store, "d/y.md", Problem("d/y.md", "name", "odd"), scope="file")
    assert sorted(files.load_problem_paths(store.connection, 1, "scan", "d")) == ["d", "d/x.md"]
    assert len(files.load_problem_paths(store.connection, 1, "scan")) == 5
    assert files.count_problems(store.connection, 1) == 6


def test_known_paths_without_a_problem_are_groups_too() -> None:
    """So that they are cleared."""
    problems = [Problem("x", "name", "1"), Problem("x", "yaml", "2"), Problem("z", "name", "3")]
    assert files.paths_of(problems, ["x", "y"]) == {"x": tuple(problems[:2]), "y": (), "z": (problems[2],)}
