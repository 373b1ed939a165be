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
from pyrite_watch.disk.watch import WatchTrouble
from pyrite_watch.errors import StateError
from pyrite_watch.index import schema
from pyrite_watch.index.reader import Reader
from pyrite_watch.index.store import Store, SyncCounts
from pyrite_watch.live.metrics import Metrics
from pyrite_watch.model.event import Position
from pyrite_watch.model.kb import KnowledgeBase
from pyrite_watch.ownership import Ownership
from pyrite_watch.reconciler import Listeners, Options, PassReport, Progress, Reconciler
from pyrite_watch.settings import Settings
from pyrite_watch.system import boot_id
from pyrite_watch.watching import Watching, WatchMode
from pyrite_watch.writer import Writer

log = logging.getLogger(__name__)

T = TypeVar("T")

TICK_S = 1.0
"""How often a root that is away is looked for, and the timers are at the latest."""

REST_S = 0.02
"""So long nothing must have come before the index's upkeep takes a step: a storm's next hints come sooner."""

LOOK_S = 5.0
"""How often roots that are there are looked at, as a watcher tells little of its own root's end."""

SWEEP_FACTOR, POLL_FACTOR = 250, 10
"""A sweep may cost 1/250 of the time, 0.4 % of a core; where it is all there is, a tenth."""

SWEEP_S_PER_FILE = 10e-6
"""What a sweep of 100,000 files was measured to take: 1.0 s, with the Python of 2 cores."""

HEARD_S = 0.05
"""A notification takes up to 10 ms, of a busy machine a few times that: what a sweep finds sooner is not
missed yet."""

RETRY_S = 0.5
"""When a pass failed (disk full, SQLite busy), it is tried again after this time."""

BUSY_MS = 500
"""How long one try waits for somebody who has the index locked: neither the inbox nor a stop may wait
much longer."""

_Message = Callable[[], None]


class Pipeline:
    """From the disk to `on_pass`, for one set of KBs.

    `open` takes ownership and opens the state, `start` begins to watch, `stop` ends it; each once.
    The callbacks are called from the writing thread, after the commit.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        self.settings = settings
        self.metrics = Metrics()
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
        self._takes_calls = True
        self._thread: threading.Thread | None = None
        self._ownership: Ownership | None = None
        self._store: Store | None = None
        self._reconciler: Reconciler | None = None
        self._watching = Watching(
            settings.kbs, settings.poll_s, self.metrics, self._take_hints, self._take_trouble
        )
        self._next_sweep_s = 0.0
        self._next_look_s = 0.0
        self._next_try_s = 0.0
        self._failed: Callable[[], object] | None = None
        self._is_check = False
        self._compared_s = 0.0

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
            self._store = Store(
                settings.state_dir, [kb.name for kb in settings.kbs], boot_id(), settings.retention
            )
            self._store.connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
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
        except sqlite3.DatabaseError as error:
            self.failure = schema.state_error(settings.state_dir, error)
            self._close_state()
            raise self.failure from error
        except BaseException:
            self._close_state()
            raise
        self.last_position = self._store.position

    @property
    def is_open(self) -> bool:
        """Whether `open` has succeeded and neither `stop` nor an error has ended it."""
        return self._store is not None and self.failure is None

    def start(self) -> None:
        """Begin to watch and to index, in the background; `ready` is set when both are up."""
        self._thread = threading.Thread(target=self._run, name="pyrite-write", daemon=True)
        self._thread.start()

    def announce(self, url: str) -> None:
        """Let other commands find this process."""
        if self._ownership is not None:
            self._ownership.announce(url)

    def begin_stop(self) -> None:
        """Take no more calls, and give up those that have not begun: who waits is told at once."""
        self._takes_calls = False
        for future in list(self._calls):
            future.cancel()

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
    def mode(self) -> WatchMode:
        """How changes are found at the moment."""
        return self._watching.mode

    @property
    def kbs(self) -> list[KnowledgeBase]:
        """The KBs in the order in which they were named, each as its kb.yaml describes it now."""
        assert self._reconciler is not None, "open() comes first"
        return [kb.kb for kb in self._reconciler.roots]

    @property
    def progress(self) -> Progress:
        """How far the first index is."""
        assert self._reconciler is not None, "open() comes first"
        return self._reconciler.progress

    # -- what others ask for -----------------------------------------------------------------

    def call(self, work: Callable[[Reconciler], T]) -> Future[T]:
        """Run something in the writing thread, after what is in the inbox; a stop cancels it before that."""
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
        # Asked last: a stop that begins meanwhile gives it up, or this does.
        if not self._takes_calls:
            future.cancel()
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
        try:
            if all(kb.indexed for kb in self._reconciler.roots) and self.store.has_epoch:
                return self._reconciler.sync([kb.name for kb in self.settings.kbs])
            return self._reconciler.first_pass()
        except sqlite3.DatabaseError as error:
            self.failure = schema.state_error(self.settings.state_dir, error)
            raise self.failure from error

    # -- the writing thread ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._remove_leftovers()
            self._watching.start(self._kbs_by_claim())
            self._until_done(self._first_pass)
            if not self._stopping.is_set():
                self.ready.set()
                for callback in self.on_ready:
                    callback()
            while not self._stopping.is_set():
                self._turn()
        except BaseException as error:
            self.failure = error
            if isinstance(error, sqlite3.DatabaseError) and schema.is_damage(error):
                self.failure = schema.state_error(self.settings.state_dir, error)
            else:
                log.critical("The writing thread ended by an error.", exc_info=True)
            for on_failure in self.on_failure:
                on_failure(self.failure)
        finally:
            self._watching.stop()
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
        self.store.upkeep.begin()
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
        is_rest = due_s is None and upkeep.is_owed()
        messages = self._take_messages(self._wait_s(due_s, REST_S if is_rest else TICK_S))
        for message in messages:
            message()
        if self._failed is not None and not self._attempt(self._failed):
            return
        if time.monotonic() >= self._next_look_s or (not messages and reconciler.is_any_away()):
            self._look_at_roots()
        self._attempt(reconciler.run_due)
        if not messages and due_s is None:
            self._attempt(upkeep.step if is_rest else upkeep.checkpoint)
        self._note_mended()
        rebuild_s = self._watching.next_due_s()
        if rebuild_s is not None and rebuild_s <= time.monotonic():
            self._watching.rebuild(self._kbs_by_claim())
            self._sweep(is_check=False)
        elif time.monotonic() >= self._next_sweep_s:
            self._sweep(is_check=True)

    def _wait_s(self, due_s: float | None, most_s: float) -> float:
        """How long nothing but a message can be to do."""
        now_s = time.monotonic()
        times = [now_s + most_s, self._next_sweep_s]
        times += [at_s for at_s in (due_s, self._watching.next_due_s()) if at_s is not None]
        return max(0.0, min(times) - now_s, self._next_try_s - now_s)

    def _take_messages(self, timeout_s: float) -> list[_Message]:
        messages = []
        try:
            messages.append(self._inbox.get(timeout=timeout_s))
            while True:
                messages.append(self._inbox.get_nowait())
        except queue.Empty:
            return messages

    def _until_done(self, work: Callable[[], object]) -> None:
        """Do it until SQLite lets us."""
        while not self._stopping.is_set() and not self._attempt(work):
            self._stopping.wait(RETRY_S)
        self._note_mended()

    def _attempt(self, work: Callable[[], object]) -> bool:
        """Do it if SQLite lets us (disk full, busy); else it is tried again in a later turn.

        What is dirty stays dirty meanwhile, and whoever asks for something is answered.
        """
        if time.monotonic() < self._next_try_s:
            return False
        try:
            work()
        except sqlite3.OperationalError as error:
            self.metrics.index_retries += 1
            if self.metrics.last_index_error != str(error):
                log.warning("The index cannot be written (%s). Trying again until it can.", error)
            self.metrics.last_index_error = str(error)
            self._failed = work
            self._next_try_s = time.monotonic() + RETRY_S
            return False
        if work == self._failed:
            self._failed = None
        return True

    def _note_mended(self) -> None:
        """Take the trouble with the index back when all that it held up is told."""
        assert self._reconciler is not None
        is_through = self._failed is None and self._reconciler.next_due_s() is None
        if is_through and self.metrics.last_index_error is not None:
            log.warning("The index can be written again.")
            self.metrics.last_index_error = None

    def _look_at_roots(self) -> None:
        assert self._reconciler is not None
        if self._attempt(self._reconciler.look_at_roots):
            self._next_look_s = time.monotonic() + LOOK_S

    def _sweep(self, is_check: bool) -> None:
        """Compare everything. What a check repairs, the watcher had not told."""
        assert self._reconciler is not None
        self._is_check = is_check
        self._compared_s = 0.0
        is_done = self._attempt(self._sweep_in_steps)
        # The next one's time goes by what it costs to look. To tell what was found costs more by far, and
        # happens once.
        duration_s = self._compared_s
        if not is_done:
            # What it had found is dirty, so that a later turn tells it; what it had not, it finds soon.
            self._failed = self._reconciler.run_due
            self._next_sweep_s = time.monotonic() + max(RETRY_S, POLL_FACTOR * duration_s)
            return
        self.metrics.sweeps += 1
        self.metrics.last_sweep_at = time.time()
        self.metrics.last_sweep_s = duration_s
        self._plan_sweep(duration_s)

    def _sweep_in_steps(self) -> None:
        """Sweep, and serve meanwhile whoever has something to tell or to ask."""
        assert self._reconciler is not None
        found = []
        for compared in self._reconciler.find_differing():
            found.append(compared)
            self._compared_s += compared.took_s
            if not self._serve(0.0):
                return
        if any(compared.paths and compared.kb_name not in self.mode.polled for compared in found):
            # The walk may have been quicker than the notification: what is told by now differs no more.
            until_s = time.monotonic() + HEARD_S
            while (now_s := time.monotonic()) < until_s:
                due_s = self._reconciler.next_due_s()
                if not self._serve(max(0.0, min(until_s, due_s or until_s) - now_s)):
                    return
        self._reconciler.take_differing(found)

    def _serve(self, timeout_s: float) -> bool:
        """Do what others want, in the middle of something longer; False where that is to end."""
        assert self._reconciler is not None
        for message in self._take_messages(timeout_s):
            message()
        self._reconciler.run_due()
        return not self._stopping.is_set()

    def _plan_sweep(self, duration_s: float) -> None:
        if self.mode.poll_s is None:
            pause_s = max(self.settings.sweep_min_s, SWEEP_FACTOR * duration_s)
        else:
            pause_s = max(self.mode.poll_s, POLL_FACTOR * duration_s)
        self._next_sweep_s = time.monotonic() + pause_s

    def _kbs_by_claim(self) -> list[KnowledgeBase]:
        """The KBs, those first whose root is theirs: links may lead two of them to one folder."""
        assert self._reconciler is not None
        return [kb.kb for kb in sorted(self._reconciler.roots, key=lambda kb: not kb.available)]

    # -- from other threads into the inbox ---------------------------------------------------

    def _take_hints(self, paths: Iterable[str]) -> None:
        self._inbox.put(lambda: self._sort_hints(paths))

    def _sort_hints(self, paths: Iterable[str]) -> None:
        assert self._reconciler is not None
        hints = self._watching.roots.sort(paths)
        for name, relative in hints.paths.items():
            self._reconciler.take_hints(name, relative)
        if hints.roots:
            # Not only where it is seen to be another: a new folder may have the old one's inode.
            self._watching.replace("a root was touched")
            self._look_at_roots()
            for name in hints.roots:
                self._reconciler.take_hints(name, [""])

    def _take_trouble(self, trouble: WatchTrouble) -> None:
        def message() -> None:
            if trouble.is_new_folder:
                self._watching.replace(trouble.reason)
            else:
                self._watching.doubt(trouble.reason, trouble.is_dead)
            if self.mode.poll_s is not None:  # for want of a watcher, from now on
                self._next_sweep_s = min(self._next_sweep_s, time.monotonic() + self.mode.poll_s)

        self._inbox.put(message)

    # -- telling -----------------------------------------------------------------------------

    def _tell_pass(self, report: PassReport) -> None:
        self.metrics.events += len(report.events)
        self.metrics.sweep_repairs += report.repairs
        told = {change.key.kb_name for change in report.applied.changes} - self.mode.polled
        if report.repairs and self._is_check and told:
            # What a sweep of its own accord finds, the watcher has missed: a folder past the limit,
            # or one whose making was lost. (mmap and other mounts are never told: a false alarm.)
            self._watching.doubt("a sweep found what was not told")
        if report.lag_s is not None:
            self.metrics.last_lag_s = report.lag_s
        for listener in self.listeners:
            listener(report)

    def _tell_epoch(self, position: Position) -> None:
        for callback in self.on_new_epoch:
            callback(position)

    def _tell_roots_changed(self) -> None:
        self._watching.replace("a root is another folder")

    def _close_state(self) -> None:
        self.begin_stop()
        if self._store is not None:
            self.reader_close()
            self.last_position = self._store.position
            if isinstance(self.failure, StateError):
                self._store.abandon()
            else:
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
