"""Entry rows, their full text and their links, in step through every kind of change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from index_builders import BAD, change, check_text, explicit, on_disk

from pyrite_watch.index.entries import iso_time
from pyrite_watch.index.store import Store

SECOND_NS = 1_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path, ["a", "b"], "boot")) as opened:
        opened.name_kbs()
        opened.complete_first_pass(["a", "b"])
        yield opened
        check_text(opened.connection)


def hits(store: Store, word: str) -> list[str]:
    """The ids whose full text has the word."""
    rows = store.connection.execute(
        "SELECT e.entry_id FROM entry_text t JOIN entry e ON e.row = t.rowid WHERE entry_text MATCH ?"
        " ORDER BY e.kb_id, e.entry_id",
        (word,),
    )
    return [row[0] for row in rows]


def links(store: Store) -> list[tuple[str, str, str]]:
    rows = store.connection.execute(
        "SELECT e.entry_id, l.kb_name, l.target FROM link l LEFT JOIN entry e ON e.row = l.source"
        " ORDER BY l.source, l.position"
    )
    return rows.fetchall()


def row(store: Store, entry_id: str) -> dict[str, Any]:
    cursor = store.connection.cursor()
    cursor.row_factory = sqlite3.Row
    return dict(cursor.execute("SELECT * FROM entry WHERE entry_id = ?", (entry_id,)).fetchone())


def test_title_body_and_tags_are_found(store: Store) -> None:
    """Whatever the accents."""
    change(store, "a", {"x.md": "---\nid: x\ntitle: Café\ntags: [blue, deep sea]\n---\nthe body"})
    assert [hits(store, word) for word in ("cafe", "body", "sea", "none")] == [["x"], ["x"], ["x"], []]


def test_an_update_replaces_the_text(store: Store) -> None:
    """What was there before is found no more."""
    change(store, "a", {"x.md": explicit("x", "first")})
    change(store, "a", {"x.md": explicit("x", "second")})
    assert (hits(store, "first"), hits(store, "second")) == ([], ["x"])


def test_a_deletion_takes_text_and_links_along(store: Store) -> None:
    """Its row number may be used again: nothing of the old one may be left there."""
    change(store, "a", {"x.md": explicit("x", "first [[t]]")})
    change(store, "a", {"x.md": None})
    assert (hits(store, "first"), links(store)) == ([], [])
    change(store, "a", {"y.md": explicit("y", "other")})
    assert (hits(store, "first"), hits(store, "other"), links(store)) == ([], ["y"], [])


def test_a_move_keeps_the_text(store: Store) -> None:
    """With another title where that is the file's name."""
    change(store, "a", {"alpha.md": explicit("x", "first")})
    change(store, "a", {"alpha.md": None, "beta.md": explicit("x", "first")})
    assert [hits(store, word) for word in ("first", "alpha", "beta")] == [["x"], [], ["x"]]
    assert (row(store, "x")["path"], row(store, "x")["title"]) == ("beta.md", "beta")


def test_a_bad_file_keeps_the_last_good_text(store: Store) -> None:
    """Also under a new name."""
    change(store, "a", {"x.md": explicit("x", "first [[t]]")})
    change(store, "a", {"x.md": BAD})
    change(store, "a", {"x.md": None, "n/y.md": BAD})
    assert hits(store, "first") == ["x"]
    assert links(store) == [("x", "a", "t")]
    assert row(store, "x")["path"] == "n/y.md"


def test_a_swap_keeps_each_text_with_its_id(store: Store) -> None:
    """Ids follow contents, paths change."""
    change(store, "a", {"1.md": explicit("x", "first"), "2.md": explicit("y", "second")})
    change(store, "a", {"1.md": explicit("y", "second"), "2.md": explicit("x", "first")})
    assert (hits(store, "first"), hits(store, "second")) == (["x"], ["y"])
    assert (row(store, "x")["path"], row(store, "y")["path"]) == ("2.md", "1.md")


def test_the_taker_over_brings_its_own_text(store: Store) -> None:
    """The same id, another file."""
    change(store, "a", {"1.md": explicit("x", "first"), "2.md": explicit("x", "second")})
    change(store, "a", {"1.md": None, "2.md": explicit("x", "second")})
    assert (hits(store, "first"), hits(store, "second")) == ([], ["x"])


def test_one_id_in_two_kbs_is_two_entries(store: Store) -> None:
    """Independent: the one's end leaves the other."""
    change(store, "a", {"x.md": explicit("x", "first")})
    change(store, "b", {"x.md": explicit("x", "first")})
    assert hits(store, "first") == ["x", "x"]
    change(store, "a", {"x.md": None})
    assert hits(store, "first") == ["x"]


def test_odd_characters_stay_in_step(store: Store) -> None:
    """NUL, quotes, line ends and emoji in a title: an external-content index is told the old text exactly."""
    for title in ("a\\0b", "q\\u0022\\n", "\\U0001F4A9", "first"):
        change(store, "a", {"x.md": f'---\nid: x\ntitle: "{title}"\n---\n{title}'})
        check_text(store.connection)
    assert hits(store, "first") == ["x"]


def test_links_are_replaced_in_order(store: Store) -> None:
    """Those without a KB point into their own."""
    change(store, "a", {"x.md": explicit("x", "[[one]] [[b:two]]")})
    assert links(store) == [("x", "a", "one"), ("x", "b", "two")]
    change(store, "a", {"x.md": explicit("x", "[[b:two]] [[three]]")})
    assert links(store) == [("x", "b", "two"), ("x", "a", "three")]


def at(text: str, second: int, path: str = "x.md") -> Any:
    return on_disk(path, text, mtime_ns=1_700_000_000 * SECOND_NS + second * SECOND_NS)


def moments(store: Store) -> tuple[str, str]:
    found = row(store, "x")
    return found["created_at"][-7:], found["updated_at"][-7:]


def test_the_times_are_those_of_the_content(store: Store) -> None:
    """The first mtime and that of the last change; a touch and a copy to another place change neither."""
    change(store, "a", {"x.md": at(explicit("x"), 1)})
    change(store, "a", {"x.md": at(explicit("x", "2"), 2)})
    assert moments(store) == ("21.000Z", "22.000Z")
    change(store, "a", {"x.md": at(explicit("x", "2"), 3)})
    change(store, "a", {"x.md": None, "n/x.md": at(explicit("x", "2"), 4, "n/x.md")})
    assert moments(store) == ("21.000Z", "22.000Z")


def test_the_front_matters_times_go_first(store: Store) -> None:
    """As they are written."""
    change(store, "a", {"x.md": "---\nid: x\ncreated_at: 2020-01-02\nupdated_at: someday\n---\n"})
    assert (row(store, "x")["created_at"], row(store, "x")["updated_at"]) == ("2020-01-02", "someday")


@pytest.mark.parametrize("mtime_ns", [0, 2**63, -(2**64), 10**23])
def test_any_mtime_is_taken(store: Store, mtime_ns: int) -> None:
    """A bug: a file of the year 2300 was more nanoseconds than SQLite takes, and ended the watcher."""
    change(store, "a", {"x.md": on_disk("x.md", explicit("x"), mtime_ns=mtime_ns)})
    assert row(store, "x")["updated_at"].endswith("Z")


def test_a_time_is_written_to_the_millisecond_in_utc() -> None:
    """As the interface shows it."""
    assert iso_time(1795356131.482) == "2026-11-22T14:02:11.482Z"
