"""Compare what is known with what is there. Pure: values in, values out.

Invariants:
    A change is a fact: an entry's path or revision before is not that after. Nothing else is one.
    The same id with another revision or path is one update, never a deletion and a creation.
    `apply_changes(base, diff(base, target)) == target`, for all base and target.
    An id that left and one that came are paired one to one: by equal revision (in the same KB
    first), else within the same path; ties by path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pyrite_watch.index.owners import (
    EMPTY_REVISION,
    FileOnDisk,
    FileRecord,
    IdAssignment,
    KbView,
    assign_ids,
    claim_of,
)
from pyrite_watch.model.change import Change, EntryKey, EntryRef
from pyrite_watch.model.entry import EntryContent, EntryId, ParsedFile, Problem, Revision
from pyrite_watch.model.kb import KbName

KEPT = " (last good version kept)"
"""Said of a problem that hides nothing: the entry is still what it was."""

Entries = Mapping[EntryKey, EntryRef]


@dataclass(frozen=True, slots=True)
class EntryWrite:
    """What an id's row is to hold; `content` None keeps the last good version."""

    path: str
    revision: Revision
    content: EntryContent | None
    mtime_ns: int


@dataclass(slots=True)
class KbPlan:
    """All that one KB's part of a batch asks of the index."""

    kb_name: KbName
    files: dict[str, FileRecord | None]
    """Rows to write; None where the row goes."""
    entries: dict[EntryId, EntryWrite | None]
    """Rows to write, only those that differ; None where the row goes."""
    problems: dict[str, tuple[Problem, ...]]
    """Of every path in the batch whose problems are known anew."""
    before: dict[EntryKey, EntryRef]
    after: dict[EntryKey, EntryRef]


def diff(indexed: Entries, on_disk: Entries, kb_order: Sequence[str] = ()) -> list[Change]:
    """List what changed, in the order in which it is told: per KB, by path, departures first.

    KBs that `kb_order` does not name come after the others, by name.
    """
    changes = [
        Change(key, indexed.get(key), on_disk.get(key))
        for key in indexed.keys() | on_disk.keys()
        if indexed.get(key) != on_disk.get(key)
    ]
    rank = {name: number for number, name in enumerate(kb_order)}
    changes.sort(
        key=lambda change: (
            rank.get(change.key.kb_name, len(rank)),
            change.key.kb_name,
            change.path,
            change.after is not None,
            change.key.entry_id,
        )
    )
    return _pair_moves(changes)


def apply_changes(base: Entries, changes: Iterable[Change]) -> dict[EntryKey, EntryRef]:
    """Give the entries after the changes."""
    entries = dict(base)
    for change in changes:
        if change.after is None:
            entries.pop(change.key, None)
        else:
            entries[change.key] = change.after
    return entries


def _pair_moves(changes: list[Change]) -> list[Change]:
    left = [number for number, change in enumerate(changes) if change.after is None]
    came = [number for number, change in enumerate(changes) if change.before is None]
    if not left or not came:
        return changes
    pairs: dict[int, int] = {}

    def pair_by(key_left: dict[object, list[int]], key_came: dict[object, list[int]]) -> None:
        for key, leaving in key_left.items():
            for gone, new in zip(leaving, key_came.get(key, ()), strict=False):
                pairs[gone] = new

    def group(numbers: Iterable[int], fields: Sequence[str]) -> dict[object, list[int]]:
        groups: dict[object, list[int]] = defaultdict(list)
        for number in numbers:
            change = changes[number]
            ref = change.before or change.after
            assert ref is not None
            facts = {"kb": change.key.kb_name, "path": ref.path, "revision": ref.revision}
            groups[tuple(facts[name] for name in fields)].append(number)
        return groups

    for fields in (("revision", "kb"), ("revision",), ("kb", "path")):
        taken = set(pairs.values())
        pair_by(
            group((number for number in left if number not in pairs), fields),
            group((number for number in came if number not in taken), fields),
        )
    told = list(changes)
    for gone, new in pairs.items():
        told[gone] = replace(changes[gone], moved_to=changes[new].key)
        told[new] = replace(changes[new], moved_from=changes[gone].key)
    return told


def judge(file: FileOnDisk, record: FileRecord | None) -> FileOnDisk:
    """Refuse what parses, but is a good version's half: an emptied file, an unclosed front matter."""
    content = file.content
    if content is None or record is None or record.entry_id is None:
        return file
    if file.revision == EMPTY_REVISION and record.good_revision != EMPTY_REVISION:
        problem = Problem(file.path, "emptied", "the file is empty now")
    elif content.form == "open" and record.form != "open":
        problem = Problem(file.path, "front_matter", "its closing --- is missing", 1)
    else:
        return file
    return replace(file, parsed=ParsedFile(None, (problem,)))


def _judge_moved(view: KbView) -> Mapping[str, FileOnDisk | None]:
    """Refuse under its new name what was refused under the old one: the last good version stays."""
    refused = {
        (record.state.inode, record.state.device): record
        for path, record in view.indexed.items()
        if record.state is not None
        and record.good_revision not in (None, record.revision)
        and path in view.disk
        and view.disk[path] is None
    }
    if not refused:
        return view.disk
    disk = dict(view.disk)
    for path, file in view.disk.items():
        if file is not None and file.state is not None and path not in view.indexed:
            origin = refused.get((file.state.inode, file.state.device))
            if origin is not None and origin.revision == file.revision:
                disk[path] = judge(file, origin)
    return disk


def plan_kb(view: KbView) -> KbPlan:
    """Decide what the index shall hold of the batch's paths, once `judge` has seen them."""
    view = replace(view, disk=_judge_moved(view))
    ids = assign_ids(view)
    kb = KbName(view.kb_name)
    before: dict[EntryKey, EntryRef] = {}
    after: dict[EntryKey, EntryRef] = {}
    plan = KbPlan(kb, {}, {}, {}, before, after)
    for path, record in view.indexed.items():
        if path in view.disk and record.entry_id is not None and record.good_revision is not None:
            before[EntryKey(kb, record.entry_id)] = EntryRef(path, record.good_revision)
            plan.entries[record.entry_id] = None
    for path, file in view.disk.items():
        known = view.indexed.get(path)
        if file is None:
            if known is not None:
                plan.files[path] = None
            plan.problems[path] = ()
            continue
        after_file = _record_after(view, ids, file, known)
        if after_file != known:
            plan.files[path] = after_file
        plan.problems.update(_problems_of(ids, file))
        if after_file.entry_id is not None and after_file.good_revision is not None:
            ref = EntryRef(path, after_file.good_revision)
            after[EntryKey(kb, after_file.entry_id)] = ref
            plan.entries[after_file.entry_id] = EntryWrite(
                path, ref.revision, file.content, file.state.mtime_ns if file.state else 0
            )
    for key, ref in before.items():
        write = plan.entries.get(key.entry_id)
        if write is not None and ref == EntryRef(write.path, write.revision):
            del plan.entries[key.entry_id]
    return plan


def _record_after(view: KbView, ids: IdAssignment, file: FileOnDisk, record: FileRecord | None) -> FileRecord:
    content = file.content
    entry_id = ids.owned.get(file.path)
    state = None if file.racy else file.state
    if content is not None:
        explicit, claim = claim_of(content)
        good = file.revision if entry_id is not None else None
        return FileRecord(
            file.path, state, file.revision, entry_id, claim, explicit, content.form, good, file.identity
        )
    origin = ids.inherited.get(file.path)
    known = view.indexed[origin] if origin is not None else record
    if known is None:
        return FileRecord(file.path, state, file.revision, None, None, False, "plain", None, file.identity)
    return replace(known, path=file.path, state=state, revision=file.revision, identity=file.identity)


def _problems_of(ids: IdAssignment, file: FileOnDisk) -> dict[str, tuple[Problem, ...]]:
    if file.parsed is None:
        return {}
    problems = file.parsed.problems
    if file.is_bad and file.path in ids.owned:
        problems = tuple(replace(problem, message=f"{problem.message}{KEPT}") for problem in problems)
    owner = ids.waiting.get(file.path)
    if owner is not None:
        problems = (*problems, Problem(file.path, "duplicate_id", f"its id belongs to {owner}"))
    return {file.path: problems}
