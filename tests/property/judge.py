"""What the index may hold and what may be told, judged from the states that were ever at rest.

Where interface §2 lets history decide (which of two files owns an id, whether a derived id is kept, whether
an empty file is an entry or a good file emptied), any of its answers is right; nothing else is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.api import Key, Place, State
from harness.record import Json
from harness.replica import Replica

from property.contents import Seen
from property.world import World

Entries = Mapping[str, Place]
"""One KB's entries: id to (path, revision)."""


@dataclass
class Judge:
    """Compares what the product says with the world's record; remembers what was right last time."""

    world: World
    last: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """Per KB and path the entry (id, revision) at the last check."""
    good: dict[str, set[str]] = field(default_factory=dict)
    """Per KB every revision that was ever an entry's: a last good version may move with its bad file."""

    # -- the index is the disk ---------------------------------------------------------------

    def check_index(self, state: State, problems: Iterable[Json], available: Mapping[str, bool]) -> None:
        """Assert that entries and problems are what the disk gives."""
        by_kb: dict[str, dict[str, set[str]]] = {kb: {} for kb in self.world.roots}
        for problem in problems:
            by_kb[problem["kb_name"]].setdefault(problem["path"], set()).add(problem["kind"])
        faults: list[str] = []
        for kb in self.world.roots:
            if available[kb] == (kb in self.world.away):
                faults.append(f"{kb}: available is {available[kb]}")
            elif kb in self.world.away:
                if by_kb[kb].get(".") != {"unavailable"}:
                    faults.append(f"{kb}: not said to be unavailable: {by_kb[kb]}")
            else:
                faults += self._compare(kb, state.of(kb), by_kb[kb])
        assert not faults, "the index is not the disk:\n  " + "\n  ".join(faults)

    def accept(self, state: State) -> None:
        """Take this state, which was right, as what the next one is compared with."""
        for kb in self.world.roots:
            if kb not in self.world.away:
                self.last[kb] = {path: (entry_id, rev) for entry_id, (path, rev) in state.of(kb).items()}
                self.good.setdefault(kb, set()).update(rev for _, rev in self.last[kb].values())
                self.world.forget_history(kb)

    def _compare(self, kb: str, entries: Entries, problems: dict[str, set[str]]) -> list[str]:
        now, last = self.world.history[kb][-1], self.last.get(kb, {})
        at = {path: (entry_id, revision) for entry_id, (path, revision) in entries.items()}
        faults = [f"two entries of one file: {entries}"] if len(at) != len(entries) else []
        expected: set[str] = set()
        for path, (entry_id, revision) in at.items():
            seen = now.get(path)
            if seen is None:
                faults.append(f"'{entry_id}' of {path}, which is not there")
            elif seen.kind == "good" or (seen.kind == "doubtful" and revision == seen.revision):
                if revision != seen.revision:
                    faults.append(f"{path} has {seen.revision}, the index {revision}")
                elif not self._may_have_id(kb, seen, entry_id, entries):
                    faults.append(f"{path} is not '{entry_id}': {seen}")
                elif seen.kind == "doubtful" and self._was_good(kb, path):
                    faults.append(f"{path} was good and is {seen}: told as an entry")
            else:
                expected.add(path)
                if revision not in self.good.get(kb, set()) | self._good_states(kb):
                    faults.append(f"{path} is bad, and '{entry_id}' has {revision}, which it never had")
        for path, seen in now.items():
            if seen.has_conflict:
                expected.add(path)
            if path in at:
                continue
            if seen.kind == "bad":
                expected.add(path)
                if self._was_good(kb, path):
                    faults.append(f"{path} is bad, and its last good version {last[path]} is gone")
            elif all(entry_id in entries for entry_id in seen.ids):
                expected.add(path)  # it waits for an id that another file has
            elif seen.kind == "doubtful" and not self._is_new(kb, seen):
                expected.add(path)
            else:
                faults.append(f"{path} is no entry: {seen}")
        untouched = {
            path: found for path, found in last.items() if path not in self.world.touched[kb] and path in now
        }
        faults += [
            f"{path} was not touched, was {found} and is {at.get(path)}"
            for path, found in untouched.items()
            if at.get(path) != found
        ]
        if problems.keys() != expected:
            faults.append(f"problems {problems}, expected {sorted(expected)}")
        return [f"{kb}: {fault}" for fault in faults]

    def _may_have_id(self, kb: str, seen: Seen, entry_id: str, entries: Entries) -> bool:
        if entry_id not in seen.ids:
            return False
        if seen.explicit is not None or entry_id == seen.derived or seen.derived == "index":
            return True
        # The path's form: because it had it, or because another file had, or may have had, the derived id.
        if self.last.get(kb, {}).get(seen.path, ("", ""))[0] == entry_id or seen.derived in entries:
            return True
        return any(
            seen.derived in other.ids or self.last.get(kb, {}).get(path, ("", ""))[0] == seen.derived
            for snapshot in self.world.history[kb]
            for path, other in snapshot.items()
            if path != seen.path
        )

    def _good_states(self, kb: str) -> set[str]:
        return {
            seen.revision
            for snapshot in self.world.history[kb]
            for seen in snapshot.values()
            if seen.kind != "bad"
        }

    def _states(self, kb: str, path: str) -> list[Seen | None]:
        return [snapshot.get(path) for snapshot in self.world.history[kb]]

    def _was_good(self, kb: str, path: str) -> bool:
        """Whether it was an entry at the last check, and was there and asked for the same id ever since."""
        states = self._states(kb, path)
        first = states[0]
        if first is None or first.kind != "good" or path not in self.last.get(kb, {}):
            return False
        return all(seen is not None and (seen.kind != "good" or seen.claim == first.claim) for seen in states)

    def _is_new(self, kb: str, seen: Seen) -> bool:
        """Whether these bytes came first to this path, and nothing else was here."""
        states = self._states(kb, seen.path)
        others = {
            other.revision
            for snapshot in self.world.history[kb]
            for other in snapshot.values()
            if other.path != seen.path
        }
        return (
            states[0] is None
            and {state.revision for state in states if state is not None} == {seen.revision}
            and seen.revision not in others
        )

    # -- every event is a fact ---------------------------------------------------------------

    def check_events(self, replica: Replica, events: list[Json]) -> None:
        """Apply what was told to the reference replica; assert that each event says something true."""
        gone: dict[int, str] = {}
        for event in events:
            before = None if event["type"] == "kb_synced" else replica.entries.get(_key(event))
            replica.apply(event)
            if event["type"] == "entry_deleted" and before is not None:
                gone[event["offset"]] = before[1]
            if event["type"] != "kb_synced":
                self._check_event(event, before)
        _check_moves(events)
        _check_nothing_unpaired(events, gone)

    def _check_event(self, event: Json, before: Place | None) -> None:
        after = None if event["type"] == "entry_deleted" else (event["path"], event["revision"])
        assert before != after, f"nothing changed: {event}"
        assert (before is None) == (event["type"] == "entry_created"), f"before {before}: {event}"
        previous = before[0] if before is not None and after is not None and before[0] != after[0] else None
        assert event.get("previous_path") == previous, f"before {before}: {event}"
        snapshots = self.world.history[event["kb_name"]]
        if after is None:
            assert before is not None
            assert event["path"] == before[0], f"before {before}: {event}"
            held = all(_is_held(snapshot, event["entry_id"], before[0]) for snapshot in snapshots)
            states = self._states(event["kb_name"], before[0])
            # A file that got another title asks for another id, though its path's would still be free.
            # Of one that was bad at the last check only its name is known: not what it had claimed before.
            told = [seen for seen in states if seen is not None and seen.kind == "good"]
            # A doubtful one that was the entry at the last check had claimed what its bytes say.
            last = self.last.get(event["kb_name"], {}).get(before[0])
            if states[0] is not None and (
                states[0].kind == "bad" or last == (event["entry_id"], states[0].revision)
            ):
                told.append(states[0])
            claims = {seen.claim for seen in told}
            assert not held or len(claims) > 1, f"it was there all the time: {event}; {self._story(event)}"
            return
        if event["origin"] == "api" and (event["kb_name"], *after) in self.world.written:
            return
        assert any(_holds(snapshot.get(event["path"]), event, before) for snapshot in snapshots), (
            f"never at rest: {event}; {self._story(event)}"
        )

    def _story(self, event: Json) -> str:
        states = [
            "absent" if seen is None else f"{seen.kind} {seen.revision[:6]} {seen.claim}"
            for seen in self._states(event["kb_name"], event["path"])
        ]
        return f"since the last check: {' / '.join(states)}"


def _holds(seen: Seen | None, event: Json, before: Place | None) -> bool:
    """Whether this state of the path makes the event true."""
    if seen is None:
        return False
    if seen.kind != "bad" and seen.revision == event["revision"] and event["entry_id"] in seen.ids:
        return True
    # A bad file that was moved takes its last good version along.
    return seen.kind != "good" and before is not None and before[1] == event["revision"]


def _is_held(snapshot: Mapping[str, Seen], entry_id: str, path: str) -> bool:
    """Whether the KB had the entry then: in its file, or by its explicit id in any."""
    own = snapshot.get(path)
    if own is not None and (own.kind != "good" or entry_id in own.ids):
        return True
    return any(seen.explicit == entry_id and seen.kind == "good" for seen in snapshot.values())


def _check_moves(events: list[Json]) -> None:
    """Assert that moved_from and moved_to point at each other, within a batch, at the same bytes or path."""
    left = [event for event in events if "moved_to" in event]
    pairs = {(event["ts"], _key(event)): event for event in events if event["type"] == "entry_deleted"}
    came = [event for event in events if "moved_from" in event]
    for event in came:
        source = _target(event["moved_from"])
        assert source is not None
        gone = pairs.get((event["ts"], source))
        assert gone is not None, f"moved from what did not leave with it: {event}"
        assert _target(gone.get("moved_to")) == _key(event), f"one-sided: {event}, {gone}"
    told: set[object] = {(event["ts"], _target(event["moved_from"])) for event in came}
    for event in left:
        assert (event["ts"], _key(event)) in told, f"moved to what did not come with it: {event}"


def _check_nothing_unpaired(events: list[Json], gone: Mapping[int, str]) -> None:
    """Assert that of what left and what came in one batch with the same bytes, one side is used up.

    Args:
        gone: the revisions of what was deleted, by the offsets of the deletions.
    """
    left = {
        (event["ts"], gone[event["offset"]]): event
        for event in events
        if event["offset"] in gone and "moved_to" not in event
    }
    for event in events:
        if event["type"] == "entry_created" and "moved_from" not in event:
            found = left.get((event["ts"], event["revision"]))
            assert found is None, f"a move that is not told as one: {found}, {event}"


def _key(event: Json) -> Key:
    return event["kb_name"], event["entry_id"]


def _target(reference: Json | None) -> Key | None:
    return None if reference is None else (reference["kb_name"], reference["entry_id"])
