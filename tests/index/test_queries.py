"""What HTTP reads: entries with links both ways, lists, the state, facts and totals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from index_builders import BAD, change, explicit

from pyrite_watch.index import queries
from pyrite_watch.index.store import Store

ROOTS = {"a": "/kbs/a", "b": "/kbs/b"}
FULL = """---
id: x
title: The X
type: note
summary: Short
importance: 7
status: open
date: 2024-05-06
tags: [blue, "quo\\"te"]
created_at: 2020-01-01
updated_at: 2021-01-01
extra: {deep: [1, null]}
---
Body with [[y]], [[b:z]] and [[nowhere]]."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path, ["b", "a"], "boot")) as opened:
        opened.name_kbs()
        opened.complete_first_pass(["b", "a"])
        yield opened


def entry(store: Store, entry_id: str, *kbs: str) -> dict[str, Any]:
    found = queries.load_entry(store.connection, entry_id, kbs or ("b", "a"), ROOTS)
    assert found is not None
    return found


def page(store: Store, **options: Any) -> tuple[list[dict[str, Any]], int]:
    defaults: dict[str, Any] = {
        "kb_name": None, "entry_type": None, "tag": None, "fields": ["id"], "sort_by": "id",
        "descending": False, "limit": 50, "offset": 0, "roots": ROOTS,
    }  # fmt: skip
    return queries.load_entries(store.connection, **{**defaults, **options})


def ids(store: Store, **options: Any) -> list[str]:
    return [found["id"] for found in page(store, **options)[0]]


def note(entry_id: str, **front: Any) -> str:
    lines = "".join(f"{name}: {value}\n" for name, value in front.items())
    return f"---\nid: {entry_id}\n{lines}---\n"


def hide(store: Store, *left: str) -> None:
    """Name only these KBs, as the next start would."""
    store.kb_order = left
    store.name_kbs()


def test_an_entry_has_exactly_pyrites_fields_and_ours(store: Store) -> None:
    """With the absolute path, the JSON values and links in order of appearance."""
    change(store, "a", {"d/x.md": FULL, "y.md": note("y", title="The Y", type="person")})
    found = entry(store, "x")
    assert set(found) == set(queries.ENTRY_FIELDS)
    found.pop("revision")
    assert found == {
        "id": "x",
        "kb_name": "a",
        "entry_type": "note",
        "title": "The X",
        "body": "Body with [[y]], [[b:z]] and [[nowhere]].",
        "summary": "Short",
        "importance": 7,
        "status": "open",
        "tags": ["blue", 'quo"te'],
        "date": "2024-05-06",
        "outlinks": [
            {"id": "y", "kb_name": "a", "title": "The Y", "entry_type": "person", "exists": True},
            {"id": "z", "kb_name": "b", "title": None, "entry_type": None, "exists": False},
            {"id": "nowhere", "kb_name": "a", "title": None, "entry_type": None, "exists": False},
        ],
        "backlinks": [],
        "file_path": "/kbs/a/d/x.md",
        "path": "d/x.md",
        "created_at": "2020-01-01",
        "updated_at": "2021-01-01",
        "metadata": found["metadata"],
    }
    assert found["metadata"]["extra"] == {"deep": [1, None]}


def test_backlinks_come_from_every_kb_once(store: Store) -> None:
    """By KB and id; two links of one entry are one."""
    change(store, "a", {"x.md": explicit("x"), "l.md": note("l") + "[[x]], [[x#part]] and [[a:x]]"})
    change(store, "b", {"m.md": note("m", title="M") + "[[a:x]]", "n.md": note("n") + "[[x]]"})
    assert entry(store, "x", "a")["backlinks"] == [
        {"id": "l", "kb_name": "a", "title": "l", "entry_type": "note"},
        {"id": "m", "kb_name": "b", "title": "M", "entry_type": "note"},
    ]


def test_links_follow_what_happens_to_their_ends(store: Store) -> None:
    """The target comes, the source changes, the source goes."""
    change(store, "a", {"l.md": explicit("l", "[[x]]")})
    assert entry(store, "l")["outlinks"][0]["exists"] is False
    change(store, "a", {"x.md": explicit("x")})
    assert entry(store, "l")["outlinks"][0]["exists"] is True
    assert [link["id"] for link in entry(store, "x")["backlinks"]] == ["l"]
    change(store, "a", {"l.md": explicit("l", "[[x]] [[a:x]]")})
    assert [link["id"] for link in entry(store, "l")["outlinks"]] == ["x"]
    change(store, "a", {"l.md": explicit("l", "no more")})
    assert entry(store, "x")["backlinks"] == []
    change(store, "a", {"l.md": explicit("l", "[[x]]")})
    change(store, "a", {"l.md": None})
    assert entry(store, "x")["backlinks"] == []


def test_without_a_kb_the_first_that_has_it_answers(store: Store) -> None:
    """In the order in which they are named."""
    change(store, "a", {"x.md": explicit("x"), "y.md": explicit("y")})
    change(store, "b", {"x.md": explicit("x")})
    assert [entry(store, "x")["kb_name"], entry(store, "y")["kb_name"]] == ["b", "a"]
    assert entry(store, "x", "a")["kb_name"] == "a"
    assert queries.load_entry(store.connection, "y", ["b"], ROOTS) is None


def test_a_list_is_filtered(store: Store) -> None:
    """By KB, type and tag, each alone and together; the total counts all pages."""
    change(store, "a", {"1.md": note("1", tags="[t, u]"), "2.md": note("2", type="person", tags="[t]")})
    change(store, "b", {"3.md": note("3", type="person", tags="[tt]"), "4.md": note("4", tags="[u]")})
    assert ids(store) == ["1", "2", "3", "4"]
    assert ids(store, kb_name="a") == ["1", "2"]
    assert ids(store, entry_type="person") == ["2", "3"]
    assert ids(store, tag="t") == ["1", "2"]
    assert ids(store, tag="u", kb_name="b") == ["4"]
    assert ids(store, tag="t", entry_type="person", kb_name="a") == ["2"]
    assert page(store, entry_type="person", limit=1)[1] == 2
    assert page(store, tag="none") == ([], 0)


@pytest.mark.parametrize(
    ("sort_by", "expected"),
    [
        ("id", ["1", "2", "3"]),
        ("title", ["3", "1", "2"]),
        ("entry_type", ["2", "3", "1"]),
        ("importance", ["3", "1", "2"]),
        ("date", ["1", "3", "2"]),
        ("path", ["2", "3", "1"]),
        ("created_at", ["2", "1", "3"]),
        ("updated_at", ["3", "2", "1"]),
    ],
)
def test_a_list_is_sorted_both_ways(store: Store, sort_by: str, expected: list[str]) -> None:
    """By each column that may be asked for."""
    rows = {
        "c.md": ("1", "B", "z", 2, "2001-01-01", "2011-01-01", "2023-01-01"),
        "a.md": ("2", "C", "x", 3, "2003-01-01", "2010-01-01", "2022-01-01"),
        "b.md": ("3", "A", "y", 1, "2002-01-01", "2012-01-01", "2021-01-01"),
    }
    names = ("title", "type", "importance", "date", "created_at", "updated_at")
    change(
        store,
        "a",
        {path: note(row[0], **dict(zip(names, row[1:], strict=True))) for path, row in rows.items()},
    )
    assert ids(store, sort_by=sort_by) == expected
    assert ids(store, sort_by=sort_by, descending=True) == expected[::-1]


def test_ties_are_sorted_by_kb_and_id(store: Store) -> None:
    """So that pages neither repeat nor lose one."""
    for kb in "ba":
        change(store, kb, {f"{n}.md": note(f"{n}", title="T") for n in reversed(range(7))})
    pages = [
        (found["kb_name"], found["id"])
        for offset in range(0, 14, 4)
        for found in page(
            store, sort_by="title", descending=True, limit=4, offset=offset, fields=["id", "kb_name"]
        )[0]
    ]
    assert pages == [(kb, f"{n}") for kb in "ab" for n in range(7)]


def test_a_list_gives_the_fields_that_are_asked_for(store: Store) -> None:
    """In their usual order, links only where wanted, unknown names left out; none named means all."""
    change(store, "a", {"x.md": explicit("x", "[[y]]")})
    assert page(store, fields=["title", "id", "nonsense"])[0] == [{"id": "x", "title": "x"}]
    (linked,) = page(store, fields=["outlinks"])[0]
    assert [link["id"] for link in linked["outlinks"]] == ["y"]
    (full,) = page(store, fields=[])[0]
    assert tuple(full) == queries.ENTRY_FIELDS


def test_nobody_sorts_by_what_is_not_a_column(store: Store) -> None:
    """The name goes into the statement."""
    with pytest.raises(ValueError, match="body"):
        page(store, sort_by="body")


def test_the_state_is_every_entry_by_kb_and_id(store: Store) -> None:
    """A line each, with exactly the interface's fields."""
    change(store, "b", {"z.md": explicit("z")})
    change(store, "a", {"y.md": explicit("y"), "x.md": FULL})
    lines = list(queries.iter_state(store.connection, None))
    assert [(line["kb_name"], line["id"]) for line in lines] == [("a", "x"), ("a", "y"), ("b", "z")]
    assert lines[0] == {
        "kb_name": "a",
        "id": "x",
        "path": "x.md",
        "title": "The X",
        "entry_type": "note",
        "tags": ["blue", 'quo"te'],
        "revision": entry(store, "x")["revision"],
        "updated_at": "2021-01-01",
    }
    assert [line["id"] for line in queries.iter_state(store.connection, "b")] == ["z"]


def test_problems_are_listed_by_kb_and_path(store: Store) -> None:
    """`line` only where there is one."""
    change(store, "b", {"z.md": BAD})
    change(store, "a", {"y.md": explicit("x"), "z.md": explicit("x")})
    found = queries.load_problems(store.connection)
    assert [(problem["kb_name"], problem["path"], problem["kind"]) for problem in found] == [
        ("a", "z.md", "duplicate_id"),
        ("b", "z.md", "yaml"),
    ]
    assert set(found[0]) == {"kb_name", "path", "kind", "message", "since"}
    assert type(found[1]["line"]) is int
    assert [problem["kb_name"] for problem in queries.load_problems(store.connection, "b")] == ["b"]


def test_a_hidden_kb_is_not_shown_anywhere(store: Store) -> None:
    """Neither its entries, problems and totals, nor links from and to it."""
    change(store, "a", {"x.md": note("x", tags="[t]") + "[[b:y]]", "p.md": note("p", tags="[t]")})
    change(store, "b", {"y.md": note("y", tags="[u]") + "[[a:x]]", "z.md": explicit("x"), "bad.md": BAD})
    hide(store, "a")
    assert queries.load_entry(store.connection, "y", ["b", "a"], ROOTS) is None
    assert (ids(store), ids(store, kb_name="b")) == (["p", "x"], [])
    assert {line["kb_name"] for line in queries.iter_state(store.connection, None)} == {"a"}
    assert queries.load_problems(store.connection) == []
    assert entry(store, "x")["backlinks"] == []
    assert entry(store, "x")["outlinks"] == [
        {"id": "y", "kb_name": "b", "title": None, "entry_type": None, "exists": False}
    ]
    assert queries.load_kb_facts(store.connection).keys() == {"a"}
    assert queries.load_stats(store.connection) == {
        "total_entries": 2,
        "kbs": {"a": {"entries": 2, "problems": 0}},
        "total_tags": 1,
        "total_links": 1,
        "total_problems": 0,
    }
    hide(store, "a", "b")
    assert queries.load_stats(store.connection)["total_links"] == 2
    assert entry(store, "x", "a")["outlinks"][0]["exists"] is True


def test_facts_of_a_kb(store: Store) -> None:
    """What the index adds to the configuration."""
    change(store, "a", {"x.md": explicit("x"), "bad.md": BAD})
    found = queries.load_kb_facts(store.connection)["a"]
    assert found.pop("last_indexed").endswith("Z")
    assert found == {"indexed": True, "available": True, "entries": 1, "problems": 1}


@pytest.mark.parametrize(
    ("ask", "needed"),
    [
        (
            lambda store: queries.load_entry(store.connection, "x", ["a"], ROOTS),
            "entry_key (kb_id=? AND entry_id=?)",
        ),
        (lambda store: page(store, sort_by="updated_at"), "USING INDEX entry_recent"),
        (lambda store: page(store, sort_by="updated_at", kb_name="a"), "entry_recent_in_kb (kb_id=?)"),
        (lambda store: page(store, fields=[]), "link_target (target=? AND kb_name=?)"),
        (lambda store: list(queries.iter_state(store.connection, None)), "entry_key (kb_id=?)"),
    ],
    ids=["entry", "recent", "recent in a KB", "backlinks", "state"],
)
def test_what_the_page_asks_for_uses_an_index(
    store: Store, ask: Callable[[Store], object], needed: str
) -> None:
    """A bug: one entry was found by reading all of them, 50 ms at 100,000."""
    change(store, "a", {"x.md": explicit("x")})
    statements: list[str] = []
    store.connection.set_trace_callback(statements.append)
    ask(store)
    store.connection.set_trace_callback(None)
    plans = [
        step[3]
        for statement in statements
        for step in store.connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert any(needed in step for step in plans)
    assert "SCAN e" not in plans
