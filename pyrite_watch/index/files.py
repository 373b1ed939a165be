"""Rows about KBs, files and problems: loading and applying them. Entries are in `entries.py`."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pyrite_watch.index.owners import FileRecord, path_id
from pyrite_watch.model.entry import EntryId, FileState, Problem

ProblemScope = Literal["file", "scan", "kb"]
"""Who finds a problem and may clear it: reading one file, walking a folder, looking at the KB."""

# SQLite takes 250,000 parameters here, but only 999 in older builds.
_MAX_PARAMETERS = 900

_COLUMNS = (
    "f.path, f.mtime_ns, f.ctime_ns, f.size, f.inode, f.device, f.revision, f.entry_id, f.claim,"
    " f.explicit, f.form, e.revision"
)
_JOIN = "LEFT JOIN entry e ON e.kb_id = f.kb_id AND e.entry_id = f.entry_id"


@dataclass(frozen=True, slots=True)
class KbRow:
    """A KB as the index knows it; `device`, `inode` are of its root when it was last available."""

    kb_id: int
    name: str
    active: bool
    indexed: bool
    available: bool
    device: int | None
    inode: int | None


def load_kb_rows(connection: sqlite3.Connection) -> dict[str, KbRow]:
    """Load every KB that this state has ever held, by name."""
    rows = connection.execute("SELECT kb_id, name, active, indexed, available, device, inode FROM kb")
    return {row[1]: KbRow(row[0], row[1], bool(row[2]), bool(row[3]), bool(row[4]), *row[5:]) for row in rows}


def _record(row: tuple[object, ...]) -> FileRecord:
    # Of a state that is not believed only the identity is kept.
    state = None if row[2] is None else FileState(*row[1:6])  # type: ignore[arg-type]
    identity = None if row[1] is None else (row[5], row[4], row[1])
    return FileRecord(row[0], state, row[6], row[7], row[8], bool(row[9]), row[10], row[11], identity)  # type: ignore[arg-type]


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == _MAX_PARAMETERS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _load_where(
    connection: sqlite3.Connection,
    kb_id: int,
    column: str,
    values: Iterable[str],
    index: str = "",
    extra: str = "",
) -> Iterator[FileRecord]:
    # SQLite (3.40) takes a KB for ten files, and from three values on reads them all: so the index is named.
    source = f"FROM file f{index and f' INDEXED BY {index}'} {_JOIN}"
    for chunk in _chunks(values):
        marks = ", ".join("?" * len(chunk))
        rows = connection.execute(
            f"SELECT {_COLUMNS} {source} WHERE f.kb_id = ? AND f.{column} IN ({marks}){extra}",
            (kb_id, *chunk),
        )
        yield from map(_record, rows)


def load_records(connection: sqlite3.Connection, kb_id: int, paths: Iterable[str]) -> dict[str, FileRecord]:
    """Load the records of the given paths, as far as there are any."""
    return {record.path: record for record in _load_where(connection, kb_id, "path", paths)}


def load_owners(
    connection: sqlite3.Connection, kb_id: int, ids: Iterable[EntryId]
) -> dict[EntryId, FileRecord]:
    """Load the records of the files that own the given ids."""
    found = _load_where(connection, kb_id, "entry_id", ids, "file_owner")
    return {record.entry_id: record for record in found if record.entry_id is not None}


def load_waiting_paths(connection: sqlite3.Connection, kb_id: int, ids: Iterable[EntryId]) -> list[str]:
    """Load the paths of the files that would take over one of the ids."""
    ids = set(ids)
    if not ids:
        return []
    found = _load_where(connection, kb_id, "claim", ids, "file_waiting", " AND f.entry_id IS NULL")
    paths = {record.path for record in found}
    # A derived id may be waited for in the path's form too.
    derived = connection.execute(
        "SELECT path FROM file INDEXED BY file_waiting_derived"
        " WHERE kb_id = ? AND entry_id IS NULL AND claim IS NOT NULL AND NOT explicit",
        (kb_id,),
    )
    paths.update(row[0] for row in derived if path_id(row[0]) in ids)
    return sorted(paths)


def load_paths_below(connection: sqlite3.Connection, kb_id: int, folder: str) -> list[str]:
    """Load the paths below a folder; below the root where it is empty."""
    if not folder:
        rows = connection.execute("SELECT path FROM file WHERE kb_id = ? ORDER BY path", (kb_id,))
    else:
        # "0" is the character after "/": the range is exactly what begins with the folder's path.
        rows = connection.execute(
            "SELECT path FROM file WHERE kb_id = ? AND path > ? AND path < ? ORDER BY path",
            (kb_id, f"{folder}/", f"{folder}0"),
        )
    return [row[0] for row in rows]


def load_states(connection: sqlite3.Connection, kb_id: int) -> dict[str, FileState | None]:
    """Load the remembered state of every file of a KB, for a sweep."""
    rows = connection.execute(
        "SELECT path, mtime_ns, ctime_ns, size, inode, device FROM file WHERE kb_id = ?", (kb_id,)
    )
    return {row[0]: None if row[2] is None else FileState(*row[1:]) for row in rows}


def apply_files(connection: sqlite3.Connection, kb_id: int, files: Mapping[str, FileRecord | None]) -> None:
    """Write file rows inside the open transaction."""
    # All go first: two files that swap their ids would each be in the other's way.
    connection.executemany("DELETE FROM file WHERE kb_id = ? AND path = ?", [(kb_id, path) for path in files])
    connection.executemany(
        "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                kb_id,
                record.path,
                *_state_columns(record),
                record.revision,
                record.entry_id,
                record.claim,
                record.explicit,
                record.form,
            )
            for record in files.values()
            if record is not None
        ],
    )


def _state_columns(record: FileRecord) -> tuple[int | None, ...]:
    if record.state is not None:
        return tuple(map(_signed, _numbers(record.state)))
    device, inode, mtime_ns = record.identity or (None, None, None)
    return mtime_ns, None, None, inode, device


def _numbers(state: FileState) -> tuple[int, int, int, int, int]:
    return state.mtime_ns, state.ctime_ns, state.size, state.inode, state.device


def _signed(number: int) -> int:
    # SQLite's integers are signed and of 64 bits. Device numbers of some file systems are unsigned,
    # and ext4 keeps times to the year 2446, XFS to 2486: in nanoseconds that is beyond 2262, the end.
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def signed_state(state: FileState) -> FileState:
    """Give the state as it comes back from SQLite, so that the two compare equal."""
    numbers = _numbers(state)
    if min(numbers) >= -(1 << 63) and max(numbers) < 1 << 63:
        return state  # at once, as a sweep asks for every file
    return FileState(*map(_signed, numbers))


def apply_problems(
    connection: sqlite3.Connection,
    kb_id: int,
    scope: ProblemScope,
    problems: Mapping[str, Sequence[Problem]],
    ts: str,
) -> tuple[list[Problem], list[str], bool]:
    """Replace the problems of the given paths in one scope.

    A problem that stays keeps its `since`. Returns the new ones, the paths mended, and whether
    anything differs (a path that keeps only one of two problems is in neither).
    """
    new: list[Problem] = []
    differ = False
    mended: list[str] = []
    known: dict[str, dict[str, tuple[str, int | None, str]]] = {}
    for chunk in _chunks(problems):
        marks = ", ".join("?" * len(chunk))
        for path, kind, message, line, since in connection.execute(
            "SELECT path, kind, message, line, since FROM problem"
            f" WHERE kb_id = ? AND scope = ? AND path IN ({marks})",
            (kb_id, scope, *chunk),
        ):
            known.setdefault(path, {})[kind] = (message, line, since)
    for path, now in problems.items():
        before = known.get(path, {})
        # One of a kind is shown: of several lines that are wrong alike, the first.
        firsts = {problem.kind: problem for problem in reversed(now)}
        wanted = {kind: (problem.message, problem.line) for kind, problem in firsts.items()}
        if wanted == {kind: row[:2] for kind, row in before.items()}:
            continue
        differ = True
        new += [
            problem
            for kind, problem in sorted(firsts.items())
            if kind not in before or before[kind][:2] != wanted[kind]
        ]
        if not now:
            mended.append(path)
        connection.execute(
            "DELETE FROM problem WHERE kb_id = ? AND scope = ? AND path = ?", (kb_id, scope, path)
        )
        connection.executemany(
            "INSERT INTO problem VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (kb_id, scope, path, kind, message, line, before[kind][2] if kind in before else ts)
                for kind, (message, line) in wanted.items()
            ],
        )
    return new, mended, differ


def load_problem_paths(
    connection: sqlite3.Connection, kb_id: int, scope: ProblemScope, folder: str = ""
) -> list[str]:
    """Load the paths with a problem of that scope, at or below a folder (all where it is empty)."""
    query, values = "SELECT DISTINCT path FROM problem WHERE kb_id = ? AND scope = ?", (kb_id, scope)
    if not folder:
        rows = connection.execute(query, values)
    else:
        rows = connection.execute(
            f"{query} AND path = ? UNION {query} AND path > ? AND path < ?",
            (*values, folder, *values, f"{folder}/", f"{folder}0"),
        )
    return [row[0] for row in rows]


def count_files(connection: sqlite3.Connection) -> int:
    """Count the files of the active KBs."""
    row = connection.execute(
        "SELECT count(*) FROM file f JOIN kb k ON k.kb_id = f.kb_id AND k.active"
    ).fetchone()
    return int(row[0])


def count_problems(connection: sqlite3.Connection, kb_id: int) -> int:
    """Count the KB's problems as they are now."""
    row = connection.execute("SELECT count(*) FROM problem WHERE kb_id = ?", (kb_id,)).fetchone()
    return int(row[0])


def paths_of(problems: Iterable[Problem], known: Collection[str]) -> dict[str, tuple[Problem, ...]]:
    """Group problems by path, with an empty group for each known path that has none any more."""
    grouped: dict[str, tuple[Problem, ...]] = dict.fromkeys(known, ())
    for problem in problems:
        grouped[problem.path] = (*grouped.get(problem.path, ()), problem)
    return grouped
