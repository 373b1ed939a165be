"""A test bed: a reconciler without threads, over real files, a real store and a clock of our own.

Hints are given by the test, so that they can be wrong, missing, late or in any order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.api import State
from harness.reader import View, read_kb, revision_of
from harness.replica import Replica

from pyrite_watch.index.store import Store
from pyrite_watch.kb_files import read_kb_yaml
from pyrite_watch.kb_roots import described
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.reconciler import Listeners, Options, PassReport, Reconciler

Place = tuple[str, str]


class FakeClock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


class Bed:
    """One or more KBs in a folder, and what was told of them.

    Args:
        names: The KBs, in order; each is `folder/NAME` unless `roots` says otherwise.
    """

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...] = ("kb",),
        roots: Mapping[str, Path] | None = None,
        max_entry_bytes: int = 1 << 20,
    ) -> None:
        self.folder = folder
        self.roots = dict(roots or {name: folder / name for name in names})
        self.clock = FakeClock()
        self.options = Options(max_entry_bytes=max_entry_bytes)
        self.events: list[dict[str, Any]] = []
        self.reports: list[PassReport] = []
        self.epochs: list[str] = []
        self.rebuilds = 0
        self.stopping = False
        self._views: dict[str, View] = {}
        self._shown = 0
        if roots is None:
            for root in self.roots.values():
                root.mkdir(parents=True)

    # -- life ----------------------------------------------------------------------------

    def open(self, *names: str) -> Bed:
        """Open the state for these KBs (all, where none is named); the first pass is not made."""
        named = names or tuple(self.roots)
        kbs = [KnowledgeBase(KbName(name), self.roots[name]) for name in named]
        self.store = Store(self.folder / "state", named, "boot")
        self.reconciler = Reconciler(
            self.store,
            [described(kb, read_kb_yaml(kb.root)) for kb in kbs],
            self.options,
            Listeners(self._hear, lambda position: self.epochs.append(position.epoch), self._rebuild),
            self.clock,
            lambda: self.stopping,
        )
        return self

    def start(self, *names: str) -> Bed:
        """Open, and make the first pass; what it told is not shown by `told`."""
        self.open(*names)
        self.reconciler.first_pass()
        self._shown = len(self.events)
        self.replica = Replica(self.state())
        return self

    def restart(self, *names: str) -> None:
        """Stop cleanly and start again."""
        self.store.close()
        self.open(*names)
        self.reconciler.first_pass()

    def close(self) -> None:
        """Close the state."""
        self.store.close()

    def _hear(self, report: PassReport) -> None:
        self.reports.append(report)
        self.events += [json.loads(event.message) for event in report.events]

    def _rebuild(self) -> None:
        self.rebuilds += 1

    # -- the disk ------------------------------------------------------------------------

    def path(self, path: str, kb: str | None = None) -> Path:
        """The absolute path in a KB (the first, where none is named)."""
        return self.roots[kb or next(iter(self.roots))] / path

    def write(self, path: str, text: str | bytes, kb: str | None = None) -> str:
        """Write a file in place and give its revision; no hint."""
        full = self.path(path, kb)
        full.parent.mkdir(parents=True, exist_ok=True)
        content = text.encode() if isinstance(text, str) else text
        full.write_bytes(content)
        return revision_of(content)

    # -- passes --------------------------------------------------------------------------

    def hint(self, *paths: str, kb: str | None = None) -> Bed:
        """Say that these paths may differ."""
        self.reconciler.take_hints(KbName(kb or next(iter(self.roots))), paths)
        return self

    def run(self, *paths: str, kb: str | None = None) -> Bed:
        """Give hints and look at what is due now."""
        self.hint(*paths, kb=kb)
        self.reconciler.run_due()
        return self

    def advance(self, seconds: float) -> Bed:
        """Let time pass and look at what is due then."""
        self.clock.advance(seconds)
        self.reconciler.run_due()
        return self

    def settle(self, *paths: str, kb: str | None = None) -> Bed:
        """Give hints, and let time pass until nothing waits."""
        self.run(*paths, kb=kb)
        for _ in range(2_000):
            due_s = self.reconciler.next_due_s()
            if due_s is None:
                return self
            self.clock.now_s = max(self.clock.now_s, due_s)
            self.reconciler.run_due()
        raise AssertionError("it never settles")

    def sweep(self) -> Bed:
        """Sweep and settle."""
        self.reconciler.sweep()
        return self.settle()

    # -- what came of it -----------------------------------------------------------------

    def told(self) -> list[str]:
        """The entry events since the last call, in short; see `short`."""
        return [short(event) for event in self.news() if event["type"] != "kb_synced"]

    def news(self) -> list[dict[str, Any]]:
        """All events since the last call."""
        new = self.events[self._shown :]
        self._shown = len(self.events)
        return new

    def state(self) -> State:
        """The index and its position."""
        position = self.store.position
        return State(position.epoch, position.offset, self.index())

    def index(self) -> dict[tuple[str, str], Place]:
        """The entries of the KBs that are shown, by KB and id."""
        rows = self.store.connection.execute(
            "SELECT kb.name, e.entry_id, e.path, e.revision FROM entry e JOIN kb USING (kb_id)"
            " WHERE kb.active"
        )
        return {(row[0], row[1]): (row[2], row[3]) for row in rows}

    def entries(self, kb: str | None = None) -> dict[str, Place]:
        """The entries of one KB, by id."""
        name = kb or next(iter(self.roots))
        return {entry_id: place for (of, entry_id), place in self.index().items() if of == name}

    def problems(self) -> set[tuple[str, str]]:
        """All problems of the shown KBs: path and kind."""
        rows = self.store.connection.execute(
            "SELECT p.path, p.kind FROM problem p JOIN kb USING (kb_id) WHERE kb.active"
        )
        return set(rows)

    def check(self) -> None:
        """Assert that the index is the disk, and that the events alone lead there."""
        for name, root in self.roots.items():
            view = read_kb(root, self._views.get(name))
            self._views[name] = view
            assert self.entries(name) == view.entries
        self.check_events()

    def check_events(self) -> None:
        """Assert that the events are dense, say something each, and lead to the index."""
        apply_strictly(self.replica, self.events)
        assert self.replica.entries == self.index()
        assert self.replica.offset == self.store.position.offset


def short(event: Mapping[str, Any]) -> str:
    """An event in a word: `C id path`, `U id path < previous`, `D id path > kb/id`, `S +1 ~0 -0`."""
    if event["type"] == "kb_synced":
        return f"S +{event['added']} ~{event['updated']} -{event['removed']}"
    kind = {"entry_created": "C", "entry_updated": "U", "entry_deleted": "D"}[event["type"]]
    text = f"{kind} {event['entry_id']} {event['path']}"
    if "previous_path" in event:
        text += f" < {event['previous_path']}"
    for field, arrow in (("moved_from", "<"), ("moved_to", ">")):
        if field in event:
            text += f" {arrow} {event[field]['kb_name']}/{event[field]['entry_id']}"
    return text


def apply_strictly(replica: Replica, events: list[dict[str, Any]]) -> None:
    """Apply what is new, and assert that each event is a fact: before differs from after."""
    for event in events:
        if event["offset"] <= replica.offset:
            continue
        key = (event["kb_name"], event["entry_id"])
        before = replica.entries.get(key)
        replica.apply(event)
        after = replica.entries.get(key)
        if event["type"] == "kb_synced":
            continue
        assert before != after, f"nothing changed: {event}"
        assert (before is None) == (event["type"] == "entry_created"), event
        assert (after is None) == (event["type"] == "entry_deleted"), event
        if event["type"] == "entry_updated":
            assert before is not None
            moved_from = before[0] if before[0] != event["path"] else None
            assert event.get("previous_path") == moved_from, event


def note(entry_id: str | None = None, body: str = "text", **fields: str) -> str:
    """A Markdown file with an explicit id, or without any front matter."""
    if entry_id is not None:
        fields = {"id": entry_id, **fields}
    if not fields:
        return f"{body}\n"
    lines = "".join(f"{key}: {value}\n" for key, value in fields.items())
    return f"---\n{lines}---\n{body}\n"


BAD = "---\nid: [unclosed\n---\ntext\n"


MakeBed = Callable[..., Bed]


@contextmanager
def beds(folder: Path) -> Iterator[MakeBed]:
    """Make beds with KBs of the given names, not yet opened; they are closed at the end."""
    made: list[Bed] = []

    def make(*names: str) -> Bed:
        made.append(Bed(folder, names or ("kb",)))
        return made[-1]

    yield make
    for bed in made:
        bed.close()


@contextmanager
def failing_apply(bed: Bed, error: Exception, times: int = 1) -> Iterator[None]:
    """Let `Store.apply` fail, after it has done its work, in the same transaction."""
    left = times
    real = bed.store._drafts

    def drafts(*args: Any) -> Any:
        nonlocal left
        if left > 0:
            left -= 1
            raise error
        return real(*args)

    bed.store._drafts = drafts  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        bed.store._drafts = real  # type: ignore[method-assign]
