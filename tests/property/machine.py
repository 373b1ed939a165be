"""The state machine: rules that pick an operation, and what is asserted after it has settled."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TypeVar

from harness.record import is_event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from property.contents import BAD, DOUBTFUL, FILES, FOLDERS, GOOD, IDS, RULES, look_at, note
from property.product import Product
from property.rest import change, create
from property.world import KBS, MARKER_KB, World

T = TypeVar("T")

MAX_FOLLOWERS = 6

kbs = st.sampled_from(KBS)
files = st.sampled_from(FILES)
folders = st.sampled_from(FOLDERS)
picks = st.integers(0, 999)
good = st.sampled_from(GOOD)
contents = st.one_of(good, good, good, st.sampled_from(BAD), st.sampled_from(DOUBTFUL))
ways = st.sampled_from(["in place", "by rename", "by deletion"])


def pick(found: Sequence[T], number: int) -> T | None:
    """One of them; None where there are none."""
    return found[number % len(found)] if found else None


class TimeIsOver(Exception):  # noqa: N818 - no error
    """The long run has come to its end."""


class Machine(RuleBasedStateMachine):
    """Two KBs that people, programs and the API change, while the watch comes and goes and others follow."""

    did: ClassVar[Counter[str]] = Counter()
    failures: ClassVar[list[str]] = []
    repairs: ClassVar[int] = 0
    slowest_s: ClassVar[float] = 0.0
    checked: ClassVar[int] = 0
    """How many runs of the machine ended well."""
    ends_s: ClassVar[float] = float("inf")
    """After this time (monotonic) no other run begins."""

    @initialize()
    def begin(self) -> None:
        if time.monotonic() > self.ends_s:
            raise TimeIsOver
        self.folder = Path(tempfile.mkdtemp(prefix="property-"))
        self.steps: list[str] = []
        self.world = World(self.folder)
        self.product = Product(self.world)
        with self._step("begin"):
            self.product.begin()
            self.product.join((), plain=False)

    def teardown(self) -> None:
        if not hasattr(self, "product"):
            return
        try:
            if not self._has_failed:
                self._settle()
                self._come_back()
                self._settle()
                Machine.checked += 1
        finally:
            Machine.did += self.world.did
            Machine.repairs += self.product.repairs
            Machine.slowest_s = max(Machine.slowest_s, self.product.slowest_s)
            self.product.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    _has_failed = False

    @contextmanager
    def _step(self, *what: object) -> Iterator[None]:
        """Write down a step: a failure is told with what led to it, also when it does not recur."""
        self.steps.append(" ".join(str(word) for word in what))
        try:
            yield
        except Exception as error:
            self._has_failed = True
            told = "\n".join(f"  {number:3} {step}" for number, step in enumerate(self.steps, 1))
            text = f"{type(error).__name__}: {error}\nafter these steps:\n{told}"
            watch = self.product.watch
            if watch is not None and watch.exit_code is not None:
                text += "\nand the watch has ended by itself:"
            if watch is not None and "stdout:" not in text:
                text += f"\n{watch.describe()}"
            self.failures.append(text)
            raise AssertionError(text) from error

    def _did(self, what: str) -> None:
        self.world.did[what] += 1

    # -- files -------------------------------------------------------------------------------

    @rule()
    def save_on(self) -> None:
        """One file after the other is saved; Hypothesis takes the rule without arguments most often."""
        number = self.world.number()
        kb, path = KBS[number % 2], FILES[number % len(FILES)]
        if self.world.can_be_file(kb, path):
            with self._step("save on", kb, path):
                self.world.write(kb, path, note(None, f"saved {number}"), "in place")

    @rule(kb=kbs, path=files, content=contents, how=ways)
    def write(self, kb: str, path: str, content: bytes, how: str) -> None:
        if self.world.can_be_file(kb, path):
            with self._step("write", how, kb, path, content):
                self.world.write(kb, path, content, how)

    @rule(kb=kbs, path=files, content=good, how=ways)
    def write_twice(self, kb: str, path: str, content: bytes, how: str) -> None:
        if self.world.can_be_file(kb, path):
            with self._step("write twice", how, kb, path, content):
                self.world.write(kb, path, content + b"first\n", how)
                self.world.write(kb, path, content, how)

    @rule(
        kb=kbs,
        path=files,
        content=good,
        pause_ms=st.sampled_from([0, 30, 200]),
        meanwhile=st.sampled_from(["nothing", "a claim of its id", "a sync", "a REST write"]),
    )
    def half_write(self, kb: str, path: str, content: bytes, pause_ms: int, meanwhile: str) -> None:
        """One opening of the file; the half may have whole front matter."""
        if not self.world.can_be_file(kb, path):
            return
        with self._step("half write", kb, path, content, f"{pause_ms} ms,", meanwhile):
            half = self.world.begin_half(kb, path, content + content + b"the rest\n")
            time.sleep(pause_ms / 2000)
            claimed = look_at(path, content).explicit
            if meanwhile == "a claim of its id" and claimed and self.world.can_be_file(kb, "claim.md"):
                self.world.write(kb, "claim.md", note(claimed, "claimed"), "by rename")
            elif meanwhile == "a sync" and self.product.is_up:
                self.product.api.request("POST", "/api/index/sync")
                self._did("sync during a half")
            elif meanwhile == "a REST write" and self.product.is_up:
                create(self.product, kb, "x", f"made-{self.world.number()}")
            time.sleep(pause_ms / 2000)
            half.finish()

    @rule(kb=kbs, number=picks)
    def append(self, kb: str, number: int) -> None:
        if path := pick(self.world.files(kb), number):
            with self._step("append", kb, path):
                self.world.append(kb, path)

    @rule(kb=kbs, number=picks, to_kb=kbs, to=files)
    def rename(self, kb: str, number: int, to_kb: str, to: str) -> None:
        path = pick(self.world.files(kb), number)
        if path and self.world.can_be_file(to_kb, to):
            with self._step("rename", kb, path, to_kb, to):
                self.world.rename(kb, path, to_kb, to)

    @rule(kb=kbs, one=picks, other=picks)
    def swap(self, kb: str, one: int, other: int) -> None:
        first, second = pick(self.world.files(kb), one), pick(self.world.files(kb), other)
        if first and second and first != second:
            with self._step("swap", kb, first, second):
                self.world.swap(kb, first, second)

    @rule(kb=kbs, number=picks)
    def delete(self, kb: str, number: int) -> None:
        if path := pick(self.world.files(kb), number):
            with self._step("delete", kb, path):
                self.world.delete(kb, path)

    @rule(number=picks)
    def restore(self, number: int) -> None:
        """A deleted file comes back with the same bytes."""
        found = pick(self.world.trash, number)
        if found and found[0].parent.is_dir() and not found[0].exists():
            kb, path = self._place(found[0])
            if kb not in self.world.away:
                with self._step("restore", kb, path):
                    self.world.change_bytes(kb, path, found[1], "restore")

    @rule(kb=kbs, number=picks, how=ways)
    def save_without_change(self, kb: str, number: int, how: str) -> None:
        if path := pick(self.world.files(kb), number):
            with self._step("save without change", how, kb, path):
                self.world.write(kb, path, self.world.path(kb, path).read_bytes(), how)
                self._did("save without change")

    @rule(kb=kbs, number=picks, mtime_s=st.sampled_from([None, 1, 4_000_000_000]), mode=st.booleans())
    def touch_or_chmod(self, kb: str, number: int, mtime_s: int | None, mode: bool) -> None:
        if path := pick(self.world.files(kb), number):
            with self._step("chmod" if mode else "touch", kb, path, mtime_s):
                self.world.touch(kb, path, mtime_s, mode)

    @rule(kb=kbs, number=picks, entry_id=st.sampled_from(IDS))
    def change_id(self, kb: str, number: int, entry_id: str) -> None:
        if path := pick(self.world.files(kb), number):
            with self._step("change id", kb, path, entry_id):
                self.world.change_bytes(kb, path, note(entry_id, "its id changed"), "change id")

    @rule(kb=kbs, number=picks, other=picks, path=files)
    def duplicate_id(self, kb: str, number: int, other: int, path: str) -> None:
        """Another file claims an explicit id that a file has."""
        named = [seen.explicit for seen in self.world.history[kb][-1].values() if seen.explicit]
        claimed = pick(named, number)
        if claimed and self.world.can_be_file(kb, path):
            with self._step("duplicate id", kb, path, claimed):
                self.world.change_bytes(kb, path, note(claimed, f"duplicate {other}"), "duplicate id")

    @rule(kb=kbs, number=picks, bad=st.sampled_from([*BAD, *DOUBTFUL]))
    def break_file(self, kb: str, number: int, bad: bytes) -> None:
        if path := pick(self.world.files(kb), number):
            full = self.world.path(kb, path)
            with self._step("break", kb, path, bad):
                self.world.broken.setdefault(full, full.read_bytes())
                self.world.change_bytes(kb, path, bad, "break")

    @rule(number=picks)
    def mend(self, number: int) -> None:
        """A bad file becomes what it was."""
        found = pick([full for full in self.world.broken if full.is_file()], number)
        if found:
            kb, path = self._place(found)
            with self._step("mend", kb, path):
                self.world.change_bytes(kb, path, self.world.broken.pop(found), "mend")

    # -- folders and roots -------------------------------------------------------------------

    @rule(kb=kbs, number=picks, to_kb=kbs, name=folders)
    def move_folder(self, kb: str, number: int, to_kb: str, name: str) -> None:
        if not {kb, to_kb} <= set(self.world.here()):
            return
        folder, target = pick(self.world.folders(kb), number), self.world.path(to_kb, name)
        if folder and not target.exists() and not target.is_relative_to(self.world.path(kb, folder)):
            did = "folder within" if kb == to_kb else "folder between KBs"
            with self._step(did, kb, folder, to_kb, name):
                self.world.move_folder(self.world.path(kb, folder), target, did)

    @rule(kb=kbs, number=picks, name=folders)
    def folder_out_or_in(self, kb: str, number: int, name: str) -> None:
        """A folder leaves the KB, or one that left comes back, perhaps elsewhere."""
        if kb not in self.world.here():
            return
        outside, target = sorted(self.world.aside.glob("out-*")), self.world.path(kb, name)
        folder = pick(self.world.folders(kb), number)
        if outside and number % 3 and not target.exists():
            with self._step("folder in", kb, outside[0].name, name):
                self.world.move_folder(outside[0], target, "folder in")
        elif folder:
            with self._step("folder out", kb, folder):
                source = self.world.path(kb, folder)
                self.world.move_folder(source, self.world.aside / f"out-{self.world.number()}", "folder out")

    @rule(kb=kbs, count=st.sampled_from([30, 200]))
    def bulk_copy(self, kb: str, count: int) -> None:
        if kb in self.world.here() and sum("bulk-" in folder for folder in self.world.folders(kb)) < 2:
            with self._step("bulk copy", kb, count):
                self.world.bulk_copy(kb, count)

    @rule(kb=kbs, number=picks)
    def delete_folder(self, kb: str, number: int) -> None:
        if kb in self.world.here() and (folder := pick(self.world.folders(kb), number)):
            with self._step("delete folder", kb, folder):
                self.world.delete_folder(kb, folder)

    @rule(kb=kbs, rules=st.sampled_from(list(RULES)))
    def ignore(self, kb: str, rules: str) -> None:
        if kb in self.world.here():
            with self._step("ignore", kb, repr(rules)):
                self.world.hide(kb, rules)

    @rule(kb=kbs, leaving=st.sampled_from(["nothing", "an empty folder", "another"]))
    def root_away_or_back(self, kb: str, leaving: str) -> None:
        gone = {*self.world.away, *self.world.replaced}
        if kb in gone:
            with self._step("root back", kb):
                self.world.bring_root_back(kb)
        elif not gone:
            with self._step("root away", kb, leaving):
                self.world.take_root_away(kb, leaving)

    @rule(
        command=st.sampled_from(
            [
                ("add", "--all"),
                ("commit", "--quiet", "--all", "--message=more"),
                ("checkout", "--quiet", "--force", "main"),
                ("checkout", "--quiet", "--force", "other"),
                ("stash", "push", "--quiet", "--include-untracked"),
                ("stash", "pop", "--quiet"),
                ("reset", "--quiet", "--hard"),
                ("reset", "--quiet", "--hard", "HEAD~1"),
            ]
        )
    )
    def git(self, command: tuple[str, ...]) -> None:
        if "one" not in self.world.away and "one" not in self.world.replaced:
            with self._step("git", *command):
                if command[0] == "commit":
                    self.world.git("add", "--all")
                self.world.git(*command)

    # -- the API -----------------------------------------------------------------------------

    @rule(kb=kbs, entry_id=st.sampled_from(["x", "y", "new", "b"]))
    def rest_create(self, kb: str, entry_id: str) -> None:
        if self.product.is_up:
            with self._step("REST create", kb, entry_id):
                create(self.product, kb, entry_id, "made")

    @rule(
        kb=kbs,
        number=picks,
        what=st.sampled_from(["PUT", "PATCH", "DELETE"]),
        condition=st.sampled_from(["none", "the last one read", "a wrong one"]),
    )
    def rest_change(self, kb: str, number: int, what: str, condition: str) -> None:
        if self.product.is_up:
            with self._step("REST", what, kb, number, condition):
                change(self.product, kb, number, what, condition)

    @rule(kb=st.sampled_from([None, *KBS]))
    def sync(self, kb: str | None) -> None:
        if self.product.is_up:
            with self._step("sync", kb):
                query = f"?kb={kb}" if kb else ""
                answer = self.product.api.request("POST", f"/api/index/sync{query}")
                assert answer.status == 200, answer
                self._did("sync")

    # -- the product's life ------------------------------------------------------------------

    @rule(how=st.sampled_from(["cleanly", "by a kill"]), leave=st.booleans())
    def restart(self, how: str, leave: bool) -> None:
        """It ends and starts again, at once or by a later rule."""
        if self.product.is_up:
            with self._step("stop", how):
                self.product.stop(how)
                self._did(f"stop {how}")
        if not leave:
            self._start()

    @rule(kb=kbs, delay_ms=st.sampled_from([None, 5, 20, 60]))
    def kill_at_work(self, kb: str, delay_ms: int | None) -> None:
        """It is killed while it indexes a storm: at its first event, or a moment after its start."""
        if not self.product.is_up or kb not in self.world.here():
            return
        with self._step("kill at work", kb, delay_ms):
            mark = self.product.running.messages.mark()
            folder = self.world.bulk_copy(kb, 60)
            shown = any(folder in path for path in self.world.history[kb][-1])
            if delay_ms is None and shown:
                self.product.running.wait_for(is_event, start=mark, what="the first event of a storm")
            else:
                time.sleep((delay_ms or 0) / 1000)
            self.product.stop("by a kill")
            self.world.delete_folder(kb, folder)
            self._did("kill at work")

    def _start(self) -> None:
        if not self.product.is_up and "nothing" not in self.world.away.values():
            with self._step("start"):
                self.product.start()

    # -- followers ---------------------------------------------------------------------------

    @rule(chosen=st.sampled_from([(), (), ("one",), ("two", MARKER_KB)]), plain=st.booleans())
    def join(self, chosen: tuple[str, ...], plain: bool) -> None:
        if self.product.is_up and len(self.product.followers) < MAX_FOLLOWERS:
            with self._step("join", chosen, "plain" if plain else "since"):
                self.product.join(chosen, plain)
                self._did(f"join{' of some KBs' if chosen else ''}")

    @rule(number=picks)
    def drop_or_resume(self, number: int) -> None:
        follower = pick(self.product.followers, number)
        if follower is None:
            return
        if follower.tab is not None:
            with self._step("drop", follower.name):
                follower.drop()
                self._did("drop")
        elif self.product.is_up:
            with self._step("resume", follower.name):
                follower.resume(self.product.running.url)
                self._did("resume")

    @rule(kb=kbs, plain=st.booleans())
    def join_in_a_storm(self, kb: str, plain: bool) -> None:
        """Everybody drops and resumes, and one more joins, while event after event is told."""
        if not self.product.is_up or kb not in self.world.here():
            return
        with self._step("join in a storm", kb, plain):
            storm = self.world.begin_storm(kb)
            try:
                for follower in self.product.followers:
                    follower.drop()
                    follower.resume(self.product.running.url)
                if len(self.product.followers) < MAX_FOLLOWERS:
                    self.product.join((), plain)
            finally:
                storm.join()
            self.world.note("join in a storm")

    @rule(number=picks)
    def lag_or_catch_up(self, number: int) -> None:
        follower = pick(self.product.followers, number)
        if follower is not None and follower.tab is not None:
            with self._step("catch up" if follower.tab.is_paused else "lag", follower.name):
                (follower.tab.go_on if follower.tab.is_paused else follower.tab.pause)()
                self._did("lag or catch up")

    # -- time --------------------------------------------------------------------------------

    @rule(pause_ms=st.sampled_from([2, 10, 60, 150, 450]))
    def wait(self, pause_ms: int) -> None:
        time.sleep(pause_ms / 1000)

    # Two rules of it, so that it comes up more often; with arguments, as Hypothesis takes the rule with the
    # fewest for the simplest, and begins with many of that.
    @rule(kb=kbs, path=files, pause_ms=st.just(0), number=picks, other=picks)
    def settle_and_check(self, **_: object) -> None:
        self._settle()

    @rule(kb=kbs, path=files, pause_ms=st.just(0), number=picks, other=picks)
    def settle_and_check_again(self, **_: object) -> None:
        self._settle()

    def _settle(self) -> None:
        if "nothing" in self.world.away.values() and not self.product.is_up:
            return
        self._start()
        with self._step("check"):
            self.product.check()
            self._did("check")

    def _come_back(self) -> None:
        """Roots, followers and all come back for the end."""
        for kb in [*self.world.away, *self.world.replaced]:
            with self._step("root back", kb):
                self.world.bring_root_back(kb)
        self._start()
        with self._step("all come back"):
            for follower in self.product.followers:
                if follower.tab is None:
                    follower.resume(self.product.running.url)
                assert follower.tab is not None
                follower.tab.go_on()

    def _place(self, full: Path) -> tuple[str, str]:
        for kb, root in self.world.roots.items():
            if full.is_relative_to(root):
                return kb, full.relative_to(root).as_posix()
        raise AssertionError(full)


def explain(action: Callable[[], object]) -> None:
    """Run a machine, and add to its failure the steps that led to it."""
    Machine.failures.clear()
    try:
        action()
    except BaseException as error:
        for text in Machine.failures[:1]:
            error.add_note(text)
        raise
