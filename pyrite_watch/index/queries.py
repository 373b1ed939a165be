"""What HTTP reads of the index, in Pyrite's shapes. All take the connection of a snapshot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pyrite_watch.disk.links import name_of
from pyrite_watch.index import links

SORT_COLUMNS = ("updated_at", "created_at", "title", "id", "entry_type", "importance", "date", "path")

ENTRY_FIELDS = (
    "id", "kb_name", "entry_type", "title", "body", "summary", "importance", "status", "tags", "date",
    "outlinks", "backlinks", "file_path", "path", "created_at", "updated_at", "revision", "metadata",
)  # fmt: skip

_COLUMNS = (
    "e.row, e.entry_id, k.name, e.entry_type, e.title, e.body, e.summary, e.importance, e.status, e.tags,"
    " e.date, e.path, e.created_at, e.updated_at, e.revision, e.metadata"
)
_FROM = "FROM entry e JOIN kb k ON k.kb_id = e.kb_id AND k.active"

Json = dict[str, Any]


def _entry(row: tuple[Any, ...], roots: Mapping[str, str]) -> Json:
    return {
        "id": row[1],
        "kb_name": row[2],
        "entry_type": row[3],
        "title": row[4],
        "body": row[5],
        "summary": row[6],
        "importance": row[7],
        "status": row[8],
        "tags": json.loads(row[9]),
        "date": row[10],
        "file_path": f"{roots.get(row[2], '')}/{row[11]}",
        "path": row[11],
        "created_at": row[12],
        "updated_at": row[13],
        "revision": row[14],
        "metadata": json.loads(row[15]),
    }


def _add_links(connection: sqlite3.Connection, entries: Sequence[tuple[int, Json]]) -> None:
    for row, entry in entries:
        targets = connection.execute(
            "SELECT target, kb_name FROM link WHERE source = ? ORDER BY position", (row,)
        ).fetchall()
        outlinks: dict[tuple[str, str], Json] = {}
        for target, kb_name in targets:
            found = links.resolve(connection, kb_name, target)
            link = {
                "id": found.entry_id if found else name_of(target),
                "kb_name": kb_name,
                "title": found.title if found else None,
                "entry_type": found.entry_type if found else None,
                "exists": found is not None,
            }
            outlinks.setdefault((link["kb_name"], link["id"]), link)  # two ways to name one entry
        entry["outlinks"] = list(outlinks.values())
        entry["backlinks"] = [
            {"id": link.entry_id, "kb_name": link.kb_name, "title": link.title, "entry_type": link.entry_type}
            for link in links.load_sources(
                connection, entry["kb_name"], entry["id"], entry["path"], entry["title"]
            )
        ]


def load_entry(
    connection: sqlite3.Connection, entry_id: str, kb_order: Sequence[str], roots: Mapping[str, str]
) -> Json | None:
    """Load an entry of the first of these KBs that has it."""
    # CROSS JOIN keeps the order: a few KBs, and in each the one entry by its key. The other way round
    # SQLite (3.40) reads every entry.
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM kb k CROSS JOIN entry e ON e.kb_id = k.kb_id"
        " WHERE k.active AND e.entry_id = ?",
        (entry_id,),
    )
    found = {row[2]: row for row in rows}
    for name in kb_order:
        if name in found:
            entry = _entry(found[name], roots)
            _add_links(connection, [(found[name][0], entry)])
            return entry
    return None


def load_entries(
    connection: sqlite3.Connection,
    *,
    kb_name: str | None,
    entry_type: str | None,
    tag: str | None,
    fields: Collection[str],
    sort_by: str,
    descending: bool,
    limit: int,
    offset: int,
    roots: Mapping[str, str],
) -> tuple[list[Json], int]:
    """Load one page of entries and how many there are in all; `fields` empty means all."""
    wheres, values = ["1"], list[object]()
    for clause, value in (("k.name = ?", kb_name), ("e.entry_type = ?", entry_type)):
        if value is not None:
            wheres.append(clause)
            values.append(value)
    if tag is not None:
        wheres.append("EXISTS (SELECT 1 FROM json_each(e.tags) WHERE json_each.value = ?)")
        values.append(tag)
    where = " AND ".join(wheres)
    total = connection.execute(f"SELECT count(*) {_FROM} WHERE {where}", values).fetchone()[0]
    if sort_by not in SORT_COLUMNS:
        raise ValueError(sort_by)
    column = "e.entry_id" if sort_by == "id" else f"e.{sort_by}"
    order = "DESC" if descending else "ASC"
    # Only the page's rows are read in full: sorting them all would carry all bodies.
    page = connection.execute(
        f"SELECT e.row {_FROM} WHERE {where} ORDER BY {column} {order}, k.name, e.entry_id LIMIT ? OFFSET ?",
        [*values, limit, offset],
    ).fetchall()
    entries = []
    for (number,) in page:
        row = connection.execute(f"SELECT {_COLUMNS} {_FROM} WHERE e.row = ?", (number,)).fetchone()
        entries.append((number, _entry(row, roots)))
    if not fields or "outlinks" in fields or "backlinks" in fields:
        _add_links(connection, entries)
    wanted = [name for name in ENTRY_FIELDS if not fields or name in fields]
    return [{name: entry[name] for name in wanted} for _, entry in entries], total


def iter_state(connection: sqlite3.Connection, kb_name: str | None) -> Iterator[Json]:
    """Load the whole state, a line an entry, in order of KB and id."""
    rows = connection.execute(
        "SELECT k.name, e.entry_id, e.path, e.title, e.entry_type, e.tags, e.revision, e.updated_at"
        f" {_FROM} WHERE ? IS NULL OR k.name = ? ORDER BY k.name, e.entry_id",
        (kb_name, kb_name),
    )
    for row in rows:
        yield {
            "kb_name": row[0],
            "id": row[1],
            "path": row[2],
            "title": row[3],
            "entry_type": row[4],
            "tags": json.loads(row[5]),
            "revision": row[6],
            "updated_at": row[7],
        }


def load_kb_facts(connection: sqlite3.Connection) -> dict[str, Json]:
    """Load what the index knows of each active KB, by name."""
    rows = connection.execute(
        "SELECT k.name, k.indexed, k.available, k.last_indexed,"
        " (SELECT count(*) FROM entry e WHERE e.kb_id = k.kb_id),"
        " (SELECT count(*) FROM problem p WHERE p.kb_id = k.kb_id)"
        " FROM kb k WHERE k.active"
    )
    return {
        row[0]: {
            "indexed": bool(row[1]),
            "available": bool(row[2]),
            "last_indexed": row[3],
            "entries": row[4],
            "problems": row[5],
        }
        for row in rows
    }


def load_problems(connection: sqlite3.Connection, kb_name: str | None = None) -> list[Json]:
    """Load every problem, by KB and path; `line` only where there is one."""
    rows = connection.execute(
        "SELECT k.name, p.path, p.kind, p.message, p.line, p.since FROM problem p"
        " JOIN kb k ON k.kb_id = p.kb_id AND k.active"
        " WHERE ? IS NULL OR k.name = ? ORDER BY k.name, p.path, p.kind",
        (kb_name, kb_name),
    )
    problems = []
    for kb, path, kind, message, line, since in rows:
        problem = {"kb_name": kb, "path": path, "kind": kind, "message": message, "since": since}
        if line is not None:
            problem["line"] = line
        problems.append(problem)
    return problems


def load_stats(connection: sqlite3.Connection) -> Json:
    """Load the totals."""
    kbs = {name: {"entries": facts["entries"], "problems": facts["problems"]}
           for name, facts in load_kb_facts(connection).items()}  # fmt: skip
    tags, links = connection.execute(
        "SELECT (SELECT count(DISTINCT t.value) FROM entry e JOIN kb k ON k.kb_id = e.kb_id AND k.active,"
        " json_each(e.tags) t),"
        " (SELECT count(*) FROM link) - (SELECT count(*) FROM kb k CROSS JOIN entry e ON e.kb_id = k.kb_id"
        " CROSS JOIN link l ON l.source = e.row WHERE NOT k.active)"
    ).fetchone()
    return {
        "total_entries": sum(kb["entries"] for kb in kbs.values()),
        "kbs": kbs,
        "total_tags": tags,
        "total_links": links,
        "total_problems": sum(kb["problems"] for kb in kbs.values()),
    }
