"""What a link's target names, and who links to an entry: both by one rule, and through indexes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from index_builders import change, explicit
from test_queries import entry

from pyrite_watch.index import links
from pyrite_watch.index.entries import apply_entries
from pyrite_watch.index.reconcile import EntryWrite
from pyrite_watch.index.store import Store
from pyrite_watch.model.entry import EntryId, Revision


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty one for the KBs a and b."""
    store = Store(tmp_path, ["a", "b"], "boot")
    store.name_kbs()
    store.complete_first_pass(["a", "b"])
    yield store
    store.close()


def titled(entry_id: str, title: str, body: str = "") -> str:
    return f"---\nid: {entry_id}\ntitle: '{title}'\n---\n{body}\n"


def found(store: Store, target: str, kb_name: str = "a") -> str | None:
    entry = links.resolve(store.connection, kb_name, target)
    return entry.entry_id if entry is not None else None


def test_an_id_goes_before_a_path_and_a_path_before_a_title(store: Store) -> None:
    """The first rule that finds something has decided."""
    change(
        store,
        "a",
        {
            "x.md": titled("one", "Two words"),
            "one.md": titled("two", "three"),
            "sub/three.md": titled("four", "x"),
            "z.md": titled("three", "Two words"),
        },
    )
    assert found(store, "one") == "one"
    assert found(store, "x") == "one"
    assert found(store, "x.md") == "one"
    assert found(store, "/one.md") == "two"
    assert found(store, "/one") == "two"
    assert found(store, "sub/three") == "four"
    assert found(store, "Two words") == "one"
    assert found(store, "/two") is None
    assert found(store, "none") is None
    assert found(store, "one", "b") is None
    assert found(store, "one", "no such") is None


@pytest.mark.parametrize(
    "target", ['"', '" OR title : "x', "***", "NEAR(", "", "a\0b", "{title}", "x" * 5000]
)
def test_no_target_is_a_query(store: Store, target: str) -> None:
    """What is asked of the full text is a phrase, whatever it holds."""
    change(store, "a", {"x.md": titled("one", "x")})
    assert found(store, target) is None


def test_links_are_the_same_from_both_ends(store: Store) -> None:
    """An entry is linked from wherever its name leads to it, each once."""
    change(
        store, "a", {"sub/x.md": titled("one", "Two words"), "p.md": explicit("p", "[[Two words]] [[one]]")}
    )
    change(store, "b", {"q.md": explicit("q", "[[a:sub/x]]")})
    for source, kb_name in (("p", "a"), ("q", "b")):
        out = entry(store, source, kb_name)["outlinks"]
        assert [(link["id"], link["kb_name"], link["exists"]) for link in out] == [("one", "a", True)]
    back = entry(store, "one", "a")["backlinks"]
    assert [(link["kb_name"], link["id"]) for link in back] == [("a", "p"), ("b", "q")]


def test_a_link_to_a_file_counts_from_both_ends(store: Store) -> None:
    """It is relative to the entry that it stands in, also where that one is moved without a change."""
    change(
        store,
        "a",
        {
            "sub/x.md": titled("one", "One"),
            "other/x.md": titled("two", "Two"),
            "sub/p.md": explicit("p", "[x](x.md) and [none](none.md)"),
            "q.md": explicit("q", "[[/sub/x]]"),
        },
    )
    out = entry(store, "p", "a")["outlinks"]
    assert [(link["id"], link["exists"]) for link in out] == [("one", True), ("none", False)]
    assert [link["id"] for link in entry(store, "one", "a")["backlinks"]] == ["p", "q"]
    row = store.connection.execute("SELECT revision FROM entry WHERE entry_id = 'p'").fetchone()
    moved = {EntryId("p"): EntryWrite("other/p.md", Revision(row[0]), None, 0)}
    apply_entries(store.connection, 1, "a", moved, [EntryId("p")])
    assert [link["id"] for link in entry(store, "one", "a")["backlinks"]] == ["q"]
    assert [link["id"] for link in entry(store, "two", "a")["backlinks"]] == ["p"]


def test_a_name_that_is_anothers_id_is_no_backlink(store: Store) -> None:
    """Of two that a target might mean, only the one that it leads to is linked from there."""
    change(
        store,
        "a",
        {"x.md": titled("one", "two"), "y.md": titled("two", "y"), "p.md": explicit("p", "[[two]]")},
    )
    assert entry(store, "one", "a")["backlinks"] == []
    assert [link["id"] for link in entry(store, "two", "a")["backlinks"]] == ["p"]


def test_no_look_up_reads_every_entry(store: Store) -> None:
    """Each goes through an index, whichever rule is asked."""
    change(store, "a", {"x.md": titled("one", "Two words"), "p.md": explicit("p", "[[Two words]]")})
    statements: list[str] = []
    store.connection.set_trace_callback(statements.append)
    for target in ("one", "x", "Two words", "none"):
        links.resolve(store.connection, "a", target)
    links.load_sources(store.connection, "a", "one", "x.md", "Two words")
    store.connection.set_trace_callback(None)
    plans = [
        step[3]
        for statement in statements
        if not statement.startswith("--")
        for step in store.connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert plans
    assert [
        plan for plan in plans if plan.startswith("SCAN") and "VIRTUAL TABLE" not in plan and plan != "SCAN t"
    ] == []


def sources(store: Store, entry_id: str) -> list[str]:
    """Who links to an entry of the KB a."""
    row = store.connection.execute(
        "SELECT e.path, e.title FROM entry e JOIN kb k USING (kb_id) WHERE k.name = 'a' AND e.entry_id = ?",
        (entry_id,),
    ).fetchone()
    return [source.entry_id for source in links.load_sources(store.connection, "a", entry_id, *row)]


def test_a_stem_and_an_alias_name_an_entry_too(store: Store) -> None:
    """The stem goes before a path, the alias after all others; both ways agree."""
    aliased = "---\nid: ooda\ntitle: The loop\naliases: [Boyd's cycle, loop, 42]\n---\nText.\n"
    change(
        store,
        "a",
        {
            "concepts/ooda-loop.md": aliased,
            "loop.md": titled("other", "Another"),
            "x.md": titled("x", "X", "[[ooda-loop]], [[Boyd's cycle]] and [[loop]]"),
            "y.md": titled("y", "Y", "[[42]]"),
        },
    )
    assert found(store, "ooda-loop") == "ooda"
    assert found(store, "Boyd's cycle") == "ooda"
    assert found(store, "42") == "ooda"
    assert found(store, "loop") == "other"
    assert found(store, "/ooda-loop") is None
    assert sources(store, "ooda") == ["x", "y"]
    assert sources(store, "other") == ["x"]


@pytest.mark.parametrize("alias", ["alias: One name", "aliases: One name", "aliases: [One name, One name]"])
def test_one_alias_may_stand_alone(store: Store, alias: str) -> None:
    """A scalar or a list, said once or twice."""
    change(store, "a", {"a.md": f"---\nid: it\n{alias}\n---\nText.\n"})
    assert found(store, "One name") == "it"


def test_names_go_with_what_gave_them(store: Store) -> None:
    """A file that moves has another stem, one that changes other aliases, one that is gone has none."""
    text = "---\nid: it\naliases: [first]\n---\nText.\n"
    change(store, "a", {"old.md": text})
    change(store, "a", {"old.md": None, "new.md": text})
    assert (found(store, "old"), found(store, "new"), found(store, "first")) == (None, "it", "it")
    change(store, "a", {"new.md": text.replace("first", "second")})
    assert (found(store, "first"), found(store, "second"), found(store, "new")) == (None, "it", "it")
    # Its last good version stays, under another path, where an unreadable file moves.
    move = EntryWrite("sub/newest.md", Revision("0" * 32), None, 0)
    (kb_id,) = store.connection.execute("SELECT kb_id FROM kb WHERE name = 'a'").fetchone()
    apply_entries(store.connection, kb_id, "a", {EntryId("it"): move}, [EntryId("it")])
    assert store.connection.execute("SELECT name FROM name ORDER BY 1").fetchall() == [
        ("newest",),
        ("second",),
    ]
    change(store, "a", {"new.md": None})
    assert (found(store, "second"), found(store, "newest")) == (None, None)
    assert store.connection.execute("SELECT count(*) FROM name").fetchone() == (0,)
