"""The index's one writer: `Store.apply` is the only function that changes what we know.

Invariants:
    Entries, file states, problems and the event log change in one transaction, or not at all.
    Events are returned only after the commit; what a reader is told, it can read.
    One thread uses a store. Readers have connections of their own (`reader.py`).
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyrite_watch.index import files, log, schema
from pyrite_watch.index.entries import apply_entries, iso_time
from pyrite_watch.index.files import KbRow, ProblemScope
from pyrite_watch.index.log import EventDraft
from pyrite_watch.index.reconcile import KbPlan, diff
from pyrite_watch.index.transaction import transaction
from pyrite_watch.index.upkeep import Upkeep
from pyrite_watch.model.change import Change, EntryKey, EntryRef, Origin
from pyrite_watch.model.entry import Problem
from pyrite_watch.model.event import Epoch, Event, Offset, Position

logger = logging.getLogger(__name__)


RETENTION = 100_000


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a KB's root is there, and which directory it is."""

    available: bool
    device: int | None
    inode: int | None


@dataclass(slots=True)
class Batch:
    """What one transaction is to change.

    `problems` are those that no single file's plan holds: by KB and scope, each path's problems.
    `always_synced` names KBs that get a `kb_synced` also where nothing changed. `quiet` makes no
    `kb_synced` for changes alone (a REST write). `silent` makes no event at all; neither does
    anything before there is an epoch.
    """

    plans: Sequence[KbPlan] = ()
    problems: dict[str, dict[ProblemScope, dict[str, Sequence[Problem]]]] = field(default_factory=dict)
    availability: Mapping[str, Availability] = field(default_factory=dict)
    origin: Origin = "disk"
    origin_of: Callable[[EntryKey, str], Origin | None] = lambda key, path: None
    always_synced: frozenset[str] = frozenset()
    quiet: bool = False
    silent: bool = False
    started_s: float = field(default_factory=time.perf_counter)

    def add_problems(
        self, kb_name: str, scope: ProblemScope, problems: Mapping[str, Sequence[Problem]]
    ) -> None:
        """Add what is known anew of the problems of these paths in one scope."""
        self.problems.setdefault(kb_name, {}).setdefault(scope, {}).update(problems)

    def has_content(self) -> bool:
        """Whether there is anything to commit."""
        problems = any(paths for scopes in self.problems.values() for paths in scopes.values())
        return bool(self.plans or problems or self.availability or self.always_synced)


@dataclass(frozen=True, slots=True)
class SyncCounts:
    """How many entries of a KB came, changed and went."""

    added: int = 0
    updated: int = 0
    removed: int = 0

    def __add__(self, other: SyncCounts) -> SyncCounts:
        return SyncCounts(
            self.added + other.added, self.updated + other.updated, self.removed + other.removed
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """What a committed batch came to. `problems` are the new ones by KB, `mended` paths without any."""

    events: Sequence[Event]
    changes: Sequence[Change] = ()
    counts: Mapping[str, SyncCounts] = field(default_factory=dict)
    problems: Sequence[tuple[str, Problem]] = ()
    mended: Sequence[tuple[str, str]] = ()


class Store:
    """The state folder, opened for writing.

    Args:
        kb_order: The names of the watched KBs, in the order in which a batch tells them.
        boot: The machine's boot id, None where it has none.
        retention: How many of the newest events are kept whole.

    Raises:
        StateError: It is of a newer version, or damaged; it was left as it is.
        StateFolderError: It may be sound, but cannot be opened or written now.
    """

    def __init__(
        self, state_dir: Path, kb_order: Sequence[str], boot: str | None, retention: int = RETENTION
    ) -> None:
        self.state_dir = state_dir
        self.kb_order = tuple(kb_order)
        self.connection = schema.open_state(state_dir)
        try:
            # Read before anything is written: what cannot be read stays as it is.
            log.load_epoch(self.connection), log.load_offset(self.connection)
            self.tail_lost = log.begin_run(self.connection, boot)
            epoch = log.load_epoch(self.connection)
            offset = log.load_offset(self.connection) if epoch is not None else Offset(0)
            self.upkeep = Upkeep(self.connection, retention)
        except sqlite3.DatabaseError as error:
            self.connection.close()
            raise schema.state_error(state_dir, error) from error
        except BaseException:
            self.connection.close()
            raise
        # Until the first pass is complete there is no past to resume from: a passing epoch.
        self.has_epoch = epoch is not None
        self.position = Position(epoch or log.make_epoch(), offset)

    def abandon(self) -> None:
        """Close what is damaged, and write no more to it: its next start is one after a kill."""
        self.connection.close()

    def close(self) -> None:
        """Leave the state cleanly: everything is durable. Idempotent.

        Where not even that can be written (disk full), the next start takes it for a kill.
        """
        self.upkeep.finish()
        try:
            log.end_run(self.connection)
        except sqlite3.ProgrammingError:
            return  # closed before
        except sqlite3.OperationalError as error:
            logger.warning("The state could not be left cleanly: %s.", error)
        self.connection.close()

    def kb_row(self, name: str) -> KbRow:
        """Load what is known of a watched KB."""
        return files.load_kb_rows(self.connection)[name]

    def name_kbs(self) -> list[str]:
        """Make the named KBs the active ones, the others hidden; return those that are back.

        A KB that was hidden is told anew, be it only the part of its first index that was committed: whoever
        loaded the state meanwhile did not see it. It is returned at every start until `tell_all` has done
        that, also after a kill in between.
        """
        with transaction(self.connection):
            marks = ", ".join("?" * len(self.kb_order))
            self.connection.execute(
                f"UPDATE kb SET untold = 0, active = 0 WHERE name NOT IN ({marks})", self.kb_order
            )
            self.connection.executemany(
                "INSERT INTO kb (name) VALUES (?) ON CONFLICT (name)"
                " DO UPDATE SET untold = untold OR NOT active, active = 1",
                [(name,) for name in self.kb_order],
            )
            untold = {row[0] for row in self.connection.execute("SELECT name FROM kb WHERE untold")}
        return [name for name in self.kb_order if name in untold]

    def apply(self, batch: Batch) -> Applied:
        """Commit the batch; only then return its events. On any error nothing has changed."""
        with transaction(self.connection):
            ts = iso_time(time.time())
            kbs = files.load_kb_rows(self.connection)
            touched: set[str] = set(batch.always_synced)
            for name, availability in batch.availability.items():
                self._apply_availability(kbs[name], availability, touched)
            for plan in batch.plans:
                kb = kbs[plan.kb_name]
                files.apply_files(self.connection, kb.kb_id, plan.files)
                apply_entries(
                    self.connection,
                    kb.kb_id,
                    plan.kb_name,
                    plan.entries,
                    [key.entry_id for key in plan.before],
                )
            new: list[tuple[str, Problem]] = []
            mended: list[tuple[str, str]] = []
            for name, scope, problems in _problem_parts(batch):
                found, gone, differ = files.apply_problems(
                    self.connection, kbs[name].kb_id, scope, problems, ts
                )
                new += [(name, problem) for problem in found]
                mended += [(name, path) for path in gone]
                if differ:
                    touched.add(name)
            changes = self._diff(batch)
            counts = _count(changes)
            if not batch.quiet:
                touched.update(counts)
            events: list[Event] = []
            if self.has_epoch and not batch.silent:
                drafts = self._drafts(batch, changes, counts, touched)
                # The time of the commit, not of a long batch's first row.
                events = log.append_events(
                    self.connection, self.position.epoch, self.position.offset, drafts, iso_time(time.time())
                )
            # Not because its root went away, nor because of a problem with kb.yaml.
            indexed = {*counts, *batch.always_synced, *(plan.kb_name for plan in batch.plans)}
            self.connection.executemany(
                "UPDATE kb SET last_indexed = ? WHERE name = ? AND available",
                [(ts, name) for name in indexed],
            )
        if events:
            self._advance(events[-1].offset)
        return Applied(events, changes, counts, new, mended)

    def complete_first_pass(self, names: Sequence[str]) -> Epoch | None:
        """Note that these KBs are indexed; begin the epoch where there is none yet, and return it."""
        ts = iso_time(time.time())
        with transaction(self.connection):
            self.connection.executemany(
                "UPDATE kb SET indexed = 1, last_indexed = coalesce(last_indexed, ?) WHERE name = ?",
                [(ts, name) for name in names],
            )
            if self.has_epoch:
                return None
            # Not the passing one: whoever read a half-built index must be told to load it again.
            epoch = log.make_epoch()
            log.begin_epoch(self.connection, epoch)
            self.connection.execute("UPDATE kb SET untold = 0")
        self.has_epoch = True
        self.position = Position(epoch, Offset(0))
        self.upkeep.note_offset(Offset(0))
        return epoch

    def tell_all(self, name: str) -> Applied:
        """Tell every entry of a KB that was hidden as created, then its `kb_synced`: it is back."""
        started_s = time.perf_counter()
        with transaction(self.connection):
            kb = files.load_kb_rows(self.connection)[name]
            rows = self.connection.execute(
                "SELECT entry_id, path, revision FROM entry WHERE kb_id = ? ORDER BY path, entry_id",
                (kb.kb_id,),
            )
            drafts = [
                EventDraft("entry_created", name, row[0], _entry_fields(EntryRef(row[1], row[2]), "sweep"))
                for row in rows
            ]
            problems = files.count_problems(self.connection, kb.kb_id)
            if drafts or problems:
                drafts.append(_synced(kb, "sweep", SyncCounts(added=len(drafts)), problems, started_s))
            events = log.append_events(
                self.connection, self.position.epoch, self.position.offset, drafts, iso_time(time.time())
            )
            self.connection.execute("UPDATE kb SET untold = 0 WHERE name = ?", (name,))
        if events:
            self._advance(events[-1].offset)
        return Applied(events)

    def _advance(self, offset: Offset) -> None:
        self.position = Position(self.position.epoch, offset)
        self.upkeep.note_offset(offset)

    def _diff(self, batch: Batch) -> list[Change]:
        before: dict[EntryKey, EntryRef] = {}
        after: dict[EntryKey, EntryRef] = {}
        for plan in batch.plans:
            before.update(plan.before)
            after.update(plan.after)
        return diff(before, after, self.kb_order)

    def _apply_availability(self, kb: KbRow, now: Availability, touched: set[str]) -> None:
        if (kb.available, kb.device, kb.inode) == (now.available, now.device, now.inode):
            return
        self.connection.execute(
            "UPDATE kb SET available = ?, device = ?, inode = ? WHERE kb_id = ?",
            (now.available, now.device, now.inode, kb.kb_id),
        )
        if kb.available != now.available:
            touched.add(kb.name)

    def _drafts(
        self,
        batch: Batch,
        changes: Sequence[Change],
        counts: Mapping[str, SyncCounts],
        touched: set[str],
    ) -> list[EventDraft]:
        by_kb: dict[str, list[EventDraft]] = {name: [] for name in self.kb_order}
        for change in changes:
            origin = batch.origin_of(change.key, change.path) or batch.origin
            by_kb[change.key.kb_name].append(_draft(change, origin))
        kbs = files.load_kb_rows(self.connection)
        for name, drafts in by_kb.items():
            if name not in touched:
                continue
            count = counts.get(name, SyncCounts())
            problems = files.count_problems(self.connection, kbs[name].kb_id)
            drafts.append(_synced(kbs[name], batch.origin, count, problems, batch.started_s))
        return [draft for drafts in by_kb.values() for draft in drafts]


def _problem_parts(batch: Batch) -> Iterator[tuple[str, ProblemScope, Mapping[str, Sequence[Problem]]]]:
    for name, scopes in batch.problems.items():
        for scope, problems in scopes.items():
            yield name, scope, problems
    for plan in batch.plans:
        yield plan.kb_name, "file", plan.problems


def _count(changes: Sequence[Change]) -> dict[str, SyncCounts]:
    kinds: dict[str, Counter[str]] = {}
    for change in changes:
        kind = "added" if change.before is None else "removed" if change.after is None else "updated"
        kinds.setdefault(change.key.kb_name, Counter())[kind] += 1
    return {
        name: SyncCounts(count["added"], count["updated"], count["removed"]) for name, count in kinds.items()
    }


def _entry_fields(ref: EntryRef, origin: Origin) -> dict[str, object]:
    return {"path": ref.path, "revision": ref.revision, "origin": origin}


def _draft(change: Change, origin: Origin) -> EventDraft:
    kb_name, entry_id = change.key.kb_name, change.key.entry_id
    if change.after is None:
        fields: dict[str, object] = {"path": change.path, "revision": None, "origin": origin}
        if change.moved_to:
            fields["moved_to"] = _key_fields(change.moved_to)
        return EventDraft("entry_deleted", kb_name, entry_id, fields)
    fields = _entry_fields(change.after, origin)
    if change.before is None:
        if change.moved_from:
            fields["moved_from"] = _key_fields(change.moved_from)
        return EventDraft("entry_created", kb_name, entry_id, fields)
    if change.before.path != change.after.path:
        fields["previous_path"] = change.before.path
    return EventDraft("entry_updated", kb_name, entry_id, fields)


def _synced(kb: KbRow, origin: Origin, count: SyncCounts, problems: int, started_s: float) -> EventDraft:
    fields: dict[str, object] = {
        "path": "",
        "revision": None,
        "origin": origin,
        "added": count.added,
        "updated": count.updated,
        "removed": count.removed,
        "problems": problems,
        "available": kb.available,
        "duration_ms": round((time.perf_counter() - started_s) * 1000),
    }
    return EventDraft("kb_synced", kb.name, "", fields)


def _key_fields(key: EntryKey) -> dict[str, str]:
    return {"kb_name": key.kb_name, "entry_id": key.entry_id}
