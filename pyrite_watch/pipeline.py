"""The owner of all that runs: the state, the watchers, the one thread that writes, and its timers.

    watcher's threads ──hints──▶ inbox ──▶ writing thread: Reconciler ──▶ Store ──▶ publish

Everything that changes the index happens in the writing thread, in the order of the inbox. A pass
that fails is tried again; nothing is forgotten meanwhile. A thread that ends by an error takes the
service down loudly (`on_failure`).
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from pyrite_watch.disk.leftovers import remove_leftovers
from pyrite_watch.disk.watch import Watcher, WatchTrouble
from pyrite_watch.index.reader import Reader
from pyrite_watch.index.store import Store, SyncCounts
from pyrite_watch.live.metrics import Metrics
from pyrite_watch.model.event import Position
from pyrite_watch.ownership import Ownership
from pyrite_watch.reconciler import Listeners, Options, PassReport, Progress, Reconciler
from pyrite_watch.settings import Settings
from pyrite_watch.system import boot_id, boottime_s
from pyrite_watch.watching import RootMap, choose_mode, start_watcher
from pyrite_watch.writer import Writer

log = logging.getLogger(__name__)

T = TypeVar("T")

TICK_S = 1.0
"""How often a suspended process notices that it was, and a root that is away is looked for."""

REST_S = 0.02
"""So long nothing must have come before the index's upkeep takes a step: a storm's next hints come sooner."""

LOOK_S = 5.0
"""How often roots that are there are looked at, as a watcher tells little of its own root's end."""

GAP_S = 2.0
"""A wait that took this much longer than asked was a suspension: inotify's queue may have overflowed."""

SWEEP_FACTOR = 250
"""A sweep may cost 1/250 of the time: 0.4 % of a core."""

SWEEP_S_PER_FILE = 10e-6
"""What a sweep of 100,000 files was measured to take: 1.0 s, with the Python of 2 cores."""

RETRY_S = 0.5
"""When a pass failed (disk full, SQLite busy), it is tried again after this time."""

_Message = Callable[[], None]


class Pipeline:
    """From the disk to `on_pass`, for one set of KBs.

    `open` takes ownership and opens the state, `start` begins to watch, `stop` ends it; each once.
    The callbacks are called from the writing thread, after the commit.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.mode = choose_mode(settings.kbs, settings.poll_s)
        self.ready = threading.Event()
        self.listeners: list[Callable[[PassReport], None]] = []
        self.on_new_epoch: list[Callable[[Position], None]] = []
        self.on_ready: list[Callable[[], None]] = []
        self.on_failure: list[Callable[[BaseException], None]] = []
        self.failure: BaseException | None = None
        self._environ = environ
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._calls: set[Future[Any]] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._ownership: Ownership | None = None
        self._store: Store | None = None
        self._reconciler: Reconciler | None = None
        self._watcher: Watcher | None = None
        self._roots = RootMap(())
        self._next_sweep_s = 0.0
        self._next_look_s = 0.0
        self._rebuild_reason: str | None = None

    # -- life --------------------------------------------------------------------------------

    def open(self) -> None:
        """Take ownership of the roots and open the state.

        Raises:
            StartError: Another process owns a root.
            StateError: The state is of a newer version, or damaged.
        """
        settings = self.settings
        self._ownership = Ownership.take([kb.root for kb in settings.kbs], settings.state_dir, self._environ)
        try:
            self._store = Store(settings.state_dir, [kb.name for kb in settings.kbs], boot_id())
            self._reconciler = Reconciler(
                self._store,
                settings.kbs,
                Options(
                    settings.max_entry_bytes,
                    settings.settle_s,
                    settings.settle_incomplete_s,
                    settings.gitignore,
                ),
                Listeners(self._tell_pass, self._tell_epoch, self._tell_roots_changed),
                stopping=self._stopping.is_set,
            )
            self._writer = Writer(self._reconciler, settings.read_only)
            self.reader = Reader(settings.state_dir, lambda: self.store.position.epoch)
        except BaseException:
            self._close_state()
            raise
        self.last_position = self._store.position

    @property
    def is_open(self) -> bool:
        """Whether `open` has succeeded and `stop` has not ended it."""
        return self._store is not None

    def start(self) -> None:
        """Begin to watch and to index, in the background; `ready` is set when both are up."""
        self._thread = threading.Thread(target=self._run, name="pyrite-write", daemon=True)
        self._thread.start()

    def announce(self, url: str) -> None:
        """Let other commands find this process."""
        if self._ownership is not None:
            self._ownership.announce(url)

    def stop(self) -> None:
        """Stop cleanly: finish the batch at hand, close the state. Idempotent; from any other thread."""
        self._stopping.set()
        self._inbox.put(lambda: None)
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        else:
            self._close_state()

    @property
    def store(self) -> Store:
        """The open state; its `position` may be read by any thread."""
        assert self._store is not None, "open() comes first"
        return self._store

    @property
    def progress(self) -> Progress:
        """How far the first index is."""
        assert self._reconciler is not None, "open() comes first"
        return self._reconciler.progress

    # -- what others ask for -----------------------------------------------------------------

    def call(self, work: Callable[[Reconciler], T]) -> Future[T]:
        """Run something in the writing thread, after what is in the inbox already."""
        future: Future[T] = Future()

        def message() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                assert self._reconciler is not None
                future.set_result(work(self._reconciler))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
                future.set_exception(error)

        # Whoever waits for it must not wait for ever when the thread has ended before it came to it.
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        self._inbox.put(message)
        return future

    def write(self, work: Callable[[Writer], T]) -> Future[T]:
        """Write into the KBs, in the writing thread."""
        return self.call(lambda reconciler: work(self._writer))

    def sync(self, names: Sequence[str]) -> Future[dict[str, SyncCounts]]:
        """Compare these KBs with the disk now."""
        return self.call(lambda reconciler: reconciler.sync(names))

    def sync_once(self) -> dict[str, SyncCounts]:
        """Compare once in the caller's thread, without watching: between `open` and `stop`."""
        assert self._reconciler is not None
        assert self._thread is None, "the writing thread does that"
        if all(kb.indexed for kb in self._reconciler.roots) and self.store.has_epoch:
            return self._reconciler.sync([kb.name for kb in self.settings.kbs])
        return self._reconciler.first_pass()

    # -- the writing thread ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._remove_leftovers()
            self._rebuild(None)
            self._until_done(self._first_pass)
            if not self._stopping.is_set():
                self.ready.set()
                for callback in self.on_ready:
                    callback()
            while not self._stopping.is_set():
                self._turn()
        except BaseException as error:
            self.failure = error
            log.critical("The writing thread ended by an error.", exc_info=True)
            for callback_failure in self.on_failure:
                callback_failure(error)
        finally:
            if self._watcher is not None:
                self._watcher.stop()
            self._close_state()

    def _remove_leftovers(self) -> None:
        """Put right what a crash left in the middle of a write."""
        for kb in self.settings.kbs:
            if kb.read_only or self.settings.read_only:
                continue
            for leftover in remove_leftovers(kb.root):
                if leftover.outcome != "removed":
                    log.warning("%s: %s (%s) %s", kb.name, leftover.path, leftover.outcome, leftover.why)

    def _first_pass(self) -> None:
        assert self._reconciler is not None
        started_s = time.perf_counter()
        self._reconciler.first_pass()
        first_s = time.perf_counter() - started_s
        # After a restart that was a sweep; a first index took longer, so a sweep is guessed at.
        guess_s = SWEEP_S_PER_FILE * self._reconciler.count_files()
        self._plan_sweep(min(first_s, guess_s))

    def _turn(self) -> None:
        """Wait for something to do, do it, and look at the timers."""
        reconciler = self._reconciler
        assert reconciler is not None
        due_s = reconciler.next_due_s()
        upkeep = self.store.upkeep
        if due_s is None:
            timeout_s = REST_S if upkeep.is_owed() else TICK_S
        else:
            timeout_s = min(TICK_S, max(0.0, due_s - time.monotonic()))
        began_s = boottime_s()
        messages = self._take_messages(timeout_s)
        if boottime_s() - began_s > timeout_s + GAP_S:
            self._rebuild_reason = "the process was suspended"
        for message in messages:
            message()
        now_s = time.monotonic()
        if now_s >= self._next_look_s or (not messages and reconciler.is_any_away()):
            self._next_look_s = now_s + LOOK_S
            self._until_done(reconciler.look_at_roots)
        self._until_done(reconciler.run_due)
        if not messages and due_s is None:
            self._until_done(upkeep.step if timeout_s == REST_S else upkeep.checkpoint)
        if self._rebuild_reason is not None:
            reason, self._rebuild_reason = self._rebuild_reason, None
            self._rebuild(reason)
            self._sweep()
        elif time.monotonic() >= self._next_sweep_s:
            self._sweep()

    def _take_messages(self, timeout_s: float) -> list[_Message]:
        messages = []
        try:
            messages.append(self._inbox.get(timeout=timeout_s))
            while True:
                messages.append(self._inbox.get_nowait())
        except queue.Empty:
            return messages

    def _until_done(self, work: Callable[[], object]) -> None:
        """Do it until SQLite lets us: what is dirty stays dirty meanwhile."""
        while not self._stopping.is_set():
            try:
                work()
            except sqlite3.OperationalError as error:
                self.metrics.index_retries += 1
                self.metrics.last_index_error = str(error)
                log.warning("The index cannot be written (%s). Trying again.", error)
                self._stopping.wait(RETRY_S)
            else:
                self.metrics.last_index_error = None
                return

    def _sweep(self) -> None:
        assert self._reconciler is not None
        started_s = time.perf_counter()
        self._until_done(self._reconciler.sweep)
        duration_s = time.perf_counter() - started_s
        self.metrics.sweeps += 1
        self.metrics.last_sweep_at = time.time()
        self.metrics.last_sweep_s = duration_s
        self._plan_sweep(duration_s)

    def _plan_sweep(self, duration_s: float) -> None:
        least_s = self.settings.sweep_min_s if self.mode.poll_s is None else self.mode.poll_s
        factor = SWEEP_FACTOR if self.mode.poll_s is None else 10
        self._next_sweep_s = time.monotonic() + max(least_s, factor * duration_s)

    def _rebuild(self, reason: str | None) -> None:
        """Make the watcher anew; what it missed meanwhile is the following sweep's work."""
        if self._watcher is not None:
            self._watcher.stop()
        if reason is not None:
            self.metrics.watch_rebuilds += 1
            self.metrics.last_rebuild_reason = reason
            log.info("The watcher is made anew: %s.", reason)
        self._roots = RootMap(self.settings.kbs)
        before = self.mode
        self._watcher, self.mode = start_watcher(
            self.settings.kbs,
            choose_mode(self.settings.kbs, self.settings.poll_s),
            self._take_hints,
            self._take_trouble,
        )
        if self.mode.why and self.mode.why != before.why:
            log.warning("Sweeping every %g s: %s.", self.mode.poll_s, self.mode.why)

    # -- from other threads into the inbox ---------------------------------------------------

    def _take_hints(self, paths: Iterable[str]) -> None:
        self._inbox.put(lambda: self._sort_hints(paths))

    def _sort_hints(self, paths: Iterable[str]) -> None:
        assert self._reconciler is not None
        hints = self._roots.sort(paths)
        for name, relative in hints.paths.items():
            self._reconciler.take_hints(name, relative)
        if hints.roots:
            # Not only where it is seen to be another: a new folder may have the old one's inode.
            self._rebuild_reason = "a root was touched"
            self._until_done(self._reconciler.look_at_roots)
            for name in hints.roots:
                self._reconciler.take_hints(name, [""])

    def _take_trouble(self, trouble: WatchTrouble) -> None:
        def message() -> None:
            self._rebuild_reason = trouble.reason

        self._inbox.put(message)

    # -- telling -----------------------------------------------------------------------------

    def _tell_pass(self, report: PassReport) -> None:
        self.metrics.events += len(report.events)
        self.metrics.sweep_repairs += report.repairs
        if report.lag_s is not None:
            self.metrics.last_lag_s = report.lag_s
        for listener in self.listeners:
            listener(report)

    def _tell_epoch(self, position: Position) -> None:
        for callback in self.on_new_epoch:
            callback(position)

    def _tell_roots_changed(self) -> None:
        self._rebuild_reason = "a root is another folder"

    def _close_state(self) -> None:
        for future in list(self._calls):
            future.cancel()
        if self._store is not None:
            self.reader_close()
            self.last_position = self._store.position
            self._store.close()
            self._store = None
        if self._ownership is not None:
            self._ownership.release()
            self._ownership = None

    def reader_close(self) -> None:
        """Close the readers' idle connections."""
        reader = getattr(self, "reader", None)
        if reader is not None:
            reader.close()
