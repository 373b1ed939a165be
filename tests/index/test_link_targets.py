"""What a link's target names, and who links to an entry: both by one rule, and through indexes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from index_builders import change, explicit
from test_queries import entry

from pyrite_watch.index import links
from pyrite_watch.index.store import Store


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
