"""Make the index the disk: passes over dirty paths, sweeps, and the first index.

One thread uses a reconciler. It reads the disk (stage 1), decides (pure) and commits through
`Store.apply` (stage 2); listeners hear of it only after that. It never sleeps: who owns the thread
asks `next_due_s` and calls again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pyrite_watch.disk.ignore import GITIGNORE_FILE, IGNORE_FILE, IgnoreRules
from pyrite_watch.disk.settle import DirtyPath, Settler
from pyrite_watch.git_patience import GitPatience
from pyrite_watch.index import files
from pyrite_watch.index.gather import MAX_BATCH_PATHS, Gatherer, KbGather
from pyrite_watch.index.heirs import hold_for_heirs, look_at_heirs
from pyrite_watch.index.missing import explained, settle_missing
from pyrite_watch.index.reconcile import plan_kb
from pyrite_watch.index.store import Applied, Batch, Store, SyncCounts
from pyrite_watch.kb_files import KB_FILE
from pyrite_watch.model.change import EntryKey, Origin
from pyrite_watch.model.entry import MAX_ENTRY_BYTES
from pyrite_watch.model.event import Event, Position
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.roots import Roots, WatchedKb

FIRST_INDEX_PATHS = 500
"""Files in one transaction of a first index: it needs no pairing, and 500 bodies are little memory."""

RULES_RECHECK_S = 0.05
"""How often a KB is compared while its `.pyriteignore` is being written, which takes moments."""


@dataclass(frozen=True, slots=True)
class Options:
    """What of the settings concerns the passes."""

    max_entry_bytes: int = MAX_ENTRY_BYTES
    settle_s: float = 0.12
    settle_incomplete_s: float = 0.4
    gitignore: bool = False


@dataclass(frozen=True, slots=True)
class PassReport:
    """What a committed pass came to. `lag_s` is from the last change on the disk to the commit."""

    applied: Applied
    lag_s: float | None
    repairs: int

    @property
    def events(self) -> Sequence[Event]:
        """What is told, in order."""
        return self.applied.events


@dataclass(frozen=True, slots=True)
class Compared:
    """What the comparison of one KB found: the paths that are not as the index has them. `took_s` is its own
    time, and not that of telling them."""

    kb_name: KbName
    paths: Sequence[str]
    took_s: float


@dataclass(slots=True)
class Listeners:
    """Who hears of what a pass did; called from the reconciler's thread, after the commit."""

    on_pass: Callable[[PassReport], None] = lambda report: None
    on_new_epoch: Callable[[Position], None] = lambda position: None
    on_roots_changed: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Progress:
    """How far a first index is; other threads may read it."""

    done: int = 0
    total: int = 0
    active: bool = False


class Reconciler:
    """All passes over all KBs.

    Args:
        clock: Seconds of a clock that does not go backwards.
        stopping: Asked between the batches of a long pass.
    """

    def __init__(
        self,
        store: Store,
        kbs: Sequence[KnowledgeBase],
        options: Options,
        listeners: Listeners,
        clock: Callable[[], float] = time.monotonic,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store = store
        self.options = options
        self.listeners = listeners
        self.clock = clock
        self.stopping = stopping
        self.settler = Settler(options.settle_s, options.settle_incomplete_s)
        self.progress = Progress(active=not store.has_epoch)
        self._back = store.name_kbs()
        self._started = False
        self.roots = Roots(kbs, files.load_kb_rows(store.connection))
        self._git = GitPatience(self.roots, self.settler, self._find_differing, self.count_files)

    def take_hints(self, kb_name: KbName, paths: Sequence[str], origin: Origin = "disk") -> None:
        """Note paths (POSIX, relative to the root; "" is the whole KB) that may differ."""
        now_s = self.clock()
        for path in paths:
            parts = path.split("/")
            if path == IGNORE_FILE or (self.options.gitignore and parts[-1] == GITIGNORE_FILE):
                self.settler.add(kb_name, "", origin, now_s)
            elif not _is_utf8(path):
                # The index can't hold such a name: walking the whole KB reports it.
                self.settler.add(kb_name, "", origin, now_s)
            elif path == "" or not any(part.startswith(".") for part in parts):
                self.settler.add(kb_name, path, origin, now_s)

    def next_due_s(self) -> float | None:
        """When `run_due` has something to do; None where nothing waits."""
        return self.settler.next_due_s()

    def run_due(self) -> None:
        """Look at every path that is due, batch by batch, until none is."""
        while not self.stopping():
            now_s = self.clock()
            by_kb: dict[str, list[DirtyPath]] = {}
            for dirty in self.settler.take_due(now_s):
                by_kb.setdefault(dirty.kb_name, []).append(dirty)
            if not by_kb:
                return
            try:
                self._git.hold_back(by_kb, now_s)
            except BaseException:
                self._put_back(by_kb)
                raise
            if by_kb:
                rest: list[DirtyPath] = []
                self._run_batch(by_kb, self.settler, now_s, rest)
                for dirty in rest:
                    self.settler.put_back(dirty)

    def sweep(self) -> None:
        """Compare every file's state with the index and tell what differs."""
        self.take_differing(list(self.find_differing()))

    def find_differing(self) -> Iterator[Compared]:
        """Compare every file's state with the index, a KB at a time: between two of them a save can be told.

        What it gives is for `take_differing`.
        """
        self.look_at_roots()
        for name in self.roots.available():
            self.look_at_kb_yaml(self.roots[name])
            began_s = self.clock()
            paths = self._find_differing(self.roots[name])
            yield Compared(name, paths, self.clock() - began_s)

    def take_differing(self, found: Iterable[Compared]) -> None:
        """Look at what a comparison found, all of it in one batch: from one KB to another is one move."""
        for compared in found:
            for path in compared.paths:
                self.settler.add(compared.kb_name, path, "sweep", self.clock())
        self.run_due()

    def _find_differing(self, kb: WatchedKb) -> list[str]:
        """Walk a KB and list the paths that are not as the index has them; "" where the walk met problems."""
        gatherer = Gatherer(self.store.connection, None, self.options.max_entry_bytes, self.clock)
        gather = self._open_gather(kb, is_whole=True)
        paths = gatherer.differing(gather, "")
        return [""] if gather.scan_problems else paths

    def look_now(self, kb_name: KbName, paths: Sequence[str], origin: Origin) -> Applied | None:
        """Look at these paths at once and wait for nothing: a write's own way to its event.

        A write (`api`) makes no `kb_synced`, unless problems changed.
        """
        now_s = self.clock()
        dirty = [DirtyPath(kb_name, path, origin, now_s, now_s) for path in paths]
        rest: list[DirtyPath] = []
        applied = self._run_batch({kb_name: dirty}, None, now_s, rest, quiet=origin == "api")
        for path in rest:
            self.settler.put_back(path)
        return applied

    def sync(self, names: Sequence[str]) -> dict[str, SyncCounts]:
        """Compare now, wait for nothing, and tell `kb_synced` for each KB also without a change."""
        self.look_at_roots()
        return self._compare(names, frozenset(names), silent=False)

    def first_pass(self) -> dict[str, SyncCounts]:
        """Make the index the disk after a start: a first index, or what happened meanwhile."""
        self.look_at_roots()
        self.look_at_kb_yaml(*(self.roots[name] for name in self.roots.available()))
        while self._back:
            # One by one: a failure repeats this pass, but tells none of them twice.
            told = self.store.tell_all(self._back[0]) if self.store.has_epoch else Applied(())
            del self._back[0]
            self._report(told, None, 0)
        totals = self._index(self.roots.available(), silent=not self.store.has_epoch)
        if not self.stopping():
            self.progress.active = False
            self._started = True
        return totals

    def look_at_roots(self) -> None:
        """Look whether every root is there; tell what came or went. One listing each."""
        batch = Batch(origin="sweep")
        changed = self.roots.look(batch)
        if batch.availability:
            applied = self.store.apply(batch)
            self.roots.note_committed(batch)
            self._report(applied, None, 0)
        if changed:
            self._take_replaced(changed)
        late = [kb.name for kb in self.roots if kb.available and not kb.indexed]
        if late and self._started:
            # It was away when the others were indexed.
            self._index(late, silent=False)

    def is_there(self, name: KbName) -> bool:
        """Look whether one root is there; the others' turn comes where this one is not as it was."""
        batch = Batch(origin="sweep")
        kb = self.roots[name]
        if not kb.look(batch) or kb.replaced or batch.availability:
            self.look_at_roots()
        return kb.available

    def _take_replaced(self, kbs: Sequence[WatchedKb]) -> None:
        """Order the comparison that a root which is back, or is another directory, asks for."""
        for kb in kbs:
            kb.replaced = False
            self._git.forget(kb.kb.root)
        for kb in (*kbs, *self.roots.find_nested()):
            self.settler.add(kb.name, "", "disk", self.clock())
        self.listeners.on_roots_changed()

    def _index(self, names: Sequence[KbName], silent: bool) -> dict[str, SyncCounts]:
        """Compare KBs that may never have been indexed before, and note that they are now."""
        totals = self._compare(names, frozenset(), silent)
        if self.stopping():
            return totals
        done = [name for name in names if self.roots[name].available]
        begun = self.store.complete_first_pass(done)
        for name in done:
            self.roots[name].indexed = True
        if begun is not None:
            self.listeners.on_new_epoch(self.store.position)
        return totals

    def count_files(self) -> int:
        """How many files a sweep compares."""
        return files.count_files(self.store.connection)

    def is_any_away(self) -> bool:
        """Whether a root is not there at the moment."""
        return any(not kb.available for kb in self.roots)

    def _run_batch(
        self,
        by_kb: Mapping[str, Sequence[DirtyPath]],
        settler: Settler | None,
        now_s: float,
        rest: list[DirtyPath],
        always_synced: frozenset[str] = frozenset(),
        silent: bool = False,
        quiet: bool = False,
    ) -> Applied | None:
        """Gather, decide and commit; `rest` takes what the batch has no room for.

        After an error nothing is forgotten: every path is dirty again.
        """
        batch = Batch(always_synced=always_synced, silent=silent, quiet=quiet)
        gatherer = Gatherer(self.store.connection, settler, self.options.max_entry_bytes, self.clock)
        gathers: list[KbGather] = []
        try:
            for name, dirty in by_kb.items():
                # What is dirty in a KB that is away is found by the sweep when it is back.
                if self.roots[name].available:
                    if any(hint.path in ("", KB_FILE) for hint in dirty):
                        self._read_kb_yaml(self.roots[name], batch)
                    is_whole = any(hint.path == "" for hint in dirty)
                    gather = self._open_gather(self.roots[name], is_whole)
                    gathers.append(gather)
                    rest.extend(gatherer.gather(gather, dirty))
            gatherer.settle_unfinished(gathers)
            self._gather_explained(gatherer, settler, gathers)
            gatherer.settle_unfinished(gathers)
            if settler is not None:
                for gather in gathers:
                    look_at_heirs(self.store.connection, gatherer, settler, gather)
                gatherer.settle_unfinished(gathers)
            settle_missing(self.store.connection, settler, gathers, now_s, self.clock())
            if settler is not None:
                hold_for_heirs(settler, gathers, now_s)
            for gather in gathers:
                gatherer.close(gather)
            self.take_deferred(gatherer)
            self._believe(gathers, batch)
            return self._commit(batch, gathers, repairs=settler is not None)
        except BaseException:
            self._put_back(by_kb)
            raise

    def _put_back(self, by_kb: Mapping[str, Sequence[DirtyPath]]) -> None:
        """Keep what an error has left undone."""
        for dirty in by_kb.values():
            for path in dirty:
                self.settler.put_back(path)

    def take_deferred(self, gatherer: Gatherer) -> None:
        """Look again at what a pass has left out, with patience."""
        for name, path, origin in gatherer.deferred:
            self.settler.add(name, path, origin, self.clock())

    def _gather_explained(self, gatherer: Gatherer, settler: Settler | None, gathers: list[KbGather]) -> None:
        """Bring in the missing files that need not wait longer, also of other KBs: a move is one batch."""
        open_gathers = {gather.kb_name: gather for gather in gathers}
        by_kb: dict[KbName, list[DirtyPath]] = {}
        for dirty in explained(settler, gathers):
            if self.roots[dirty.kb_name].available:
                by_kb.setdefault(dirty.kb_name, []).append(dirty)
        for name, moved in by_kb.items():
            if name not in open_gathers:
                open_gathers[name] = self._open_gather(self.roots[name], is_whole=False)
                gathers.append(open_gathers[name])
            # No room for all of them: they still wait, in the settler.
            gatherer.gather(open_gathers[name], moved)

    def _open_gather(self, kb: WatchedKb, is_whole: bool) -> KbGather:
        rules = self.read_rules(kb, is_whole)
        return KbGather(kb.name, kb.kb_id, kb.kb.root, rules, fresh=not kb.indexed)

    def read_rules(self, kb: WatchedKb, is_whole: bool = False) -> IgnoreRules:
        """Read what is hidden in a KB; where that is just being written, it is compared again soon."""
        now_s = self.clock()
        rules = kb.read_rules(self.options.gitignore, now_s, may_change=is_whole)
        if rules.is_unfinished:
            self.settler.put_back(DirtyPath(kb.name, "", "disk", now_s, now_s + RULES_RECHECK_S))
        return rules

    def _believe(self, gathers: list[KbGather], batch: Batch) -> None:
        """Drop what was seen of a root that is gone by now, or is another directory."""
        for gather in list(gathers):
            kb = self.roots[gather.kb_name]
            if kb.look(batch) and not kb.replaced:
                continue
            gathers.remove(gather)
            if kb.available:
                self._take_replaced([kb])

    def _commit(self, batch: Batch, gathers: Sequence[KbGather], repairs: bool) -> Applied | None:
        origins = {
            (gather.kb_name, path): origin for gather in gathers for path, origin in gather.origins.items()
        }

        def origin_of(key: EntryKey, path: str) -> Origin | None:
            return origins.get((key.kb_name, path))

        for gather in gathers:
            batch.add_problems(gather.kb_name, "scan", gather.scan_problems)
        plans = [plan_kb(gather.view()) for gather in gathers]
        batch.plans = [plan for plan in plans if plan.files or plan.entries or plan.problems]
        made_by = set(origins.values())
        batch.origin = "disk" if "disk" in made_by else "api" if "api" in made_by else "sweep"
        batch.origin_of = origin_of
        # A REST write that could not be committed at once is as quiet as ever.
        batch.quiet = batch.quiet or made_by == {"api"}
        if not batch.has_content():
            return None
        applied = self.store.apply(batch)
        self.roots.note_committed(batch)
        changed_at_s = max((gather.changed_at_s for gather in gathers), default=0.0)
        lag_s = time.time() - changed_at_s if changed_at_s and batch.origin == "disk" else None
        repaired = [change for change in applied.changes if origin_of(change.key, change.path) == "sweep"]
        self._report(applied, lag_s, len(repaired) if repairs else 0)
        return applied

    def _report(self, applied: Applied, lag_s: float | None, repairs: int) -> None:
        if applied.events:
            self.listeners.on_pass(PassReport(applied, lag_s, repairs))

    def look_at_kb_yaml(self, *kbs: WatchedKb) -> None:
        """Read what these KBs say of themselves, where that is another by now."""
        batch = Batch(origin="sweep")
        for kb in kbs:
            self._read_kb_yaml(kb, batch)
        if batch.has_content():
            applied = self.store.apply(batch)
            self.roots.note_committed(batch)
            self._report(applied, None, 0)

    def _read_kb_yaml(self, kb: WatchedKb, batch: Batch) -> None:
        now_s = self.clock()
        if kb.read_kb_yaml(batch, now_s):
            self.settler.put_back(DirtyPath(kb.name, KB_FILE, "disk", now_s, now_s + RULES_RECHECK_S))

    def _compare(
        self, names: Sequence[str], always_synced: frozenset[str], silent: bool
    ) -> dict[str, SyncCounts]:
        """Compare whole KBs and wait for nothing; a first index in small batches."""
        now_s = self.clock()
        pending = [
            DirtyPath(self.roots[name].name, path, "sweep", now_s, now_s)
            for name in names
            if self.roots[name].available
            for path in self._differing(self.roots[name])
        ]
        step = FIRST_INDEX_PATHS if silent else MAX_BATCH_PATHS
        self.progress.done, self.progress.total = 0, len(pending)
        totals: dict[str, SyncCounts] = {}
        while not self.stopping():
            part, pending = pending[:step], pending[step:]
            by_kb: dict[str, list[DirtyPath]] = {name: [] for name in names}
            for dirty in part:
                by_kb[dirty.kb_name].append(dirty)
            # Even without a path to look at there is one batch, where `kb_synced` is owed.
            owed = always_synced if not pending else frozenset()
            rest: list[DirtyPath] = []
            try:
                applied = self._run_batch(by_kb, None, now_s, rest, owed, silent)
            except BaseException:
                for dirty in pending:
                    self.settler.put_back(dirty)
                raise
            pending = rest + pending
            self.progress.done = self.progress.total - len(pending)
            for name, count in applied.counts.items() if applied else ():
                totals[name] = totals.get(name, SyncCounts()) + count
            if not pending:
                break
        return totals

    def _differing(self, kb: WatchedKb) -> list[str]:
        gatherer = Gatherer(self.store.connection, None, self.options.max_entry_bytes, self.clock)
        gather = self._open_gather(kb, is_whole=True)
        paths = gatherer.differing(gather, "")
        batch = Batch(origin="sweep")
        batch.add_problems(kb.name, "scan", gather.scan_problems)
        if gather.scan_problems:
            self._report(self.store.apply(batch), None, 0)
        return paths


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
