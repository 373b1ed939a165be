"""One knowledge base, one reader, and the many processes that watch it one after the other and are killed.

The reader loaded `/api/state` once and lives on events alone, from its first process to the last; whenever
it was cut off it resumes with `since=` the last position that it heard. What the disk may hold is known
here byte by byte, for every file. `verify` asks after each restart whether all of it still agrees.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.api import Api, Key, Place, State
from harness.process import WatchProcess
from harness.reader import View, read_kb
from harness.record import ENTRY_TYPES, Json, only_entry_events, only_events, shown
from harness.replica import Replica
from harness.socket import Tab

INJECTION = Path(__file__).with_name("injection.py")
KB = "notes"
ENTRIES = 24
TIMEOUT_S = 30.0
RETENTION = 60
"""Events that are not compacted: more than one life makes, fewer than a few do."""

Check = Callable[[bytes | None], bool]
"""Whether a file may hold this (None: not be there)."""


def entry_bytes(entry_id: str, body: str) -> bytes:
    """What an editor writes."""
    return f"---\nid: {entry_id}\ntitle: Title of {entry_id}\ntype: note\n---\n\n{body}\n".encode()


@dataclass
class Verdict:
    """What a restart showed: how much the reader had missed, and by whom it was found."""

    missed: list[Json]
    unanswered: int
    leftovers: int

    @property
    def origins(self) -> Counter[str]:
        """How many entry events the reader had missed, by origin."""
        return Counter(str(event["origin"]) for event in only_entry_events(self.missed))

    @property
    def was_in_the_middle(self) -> bool:
        """Whether the kill left anything for the next start to do."""
        return bool(self.missed or self.unanswered or self.leftovers)


@dataclass
class Lives:
    """The KB and its reader; `start` and `kill` a process, `act` meanwhile, then start again and `verify`."""

    home: Path
    rng: random.Random
    process: WatchProcess | None = None
    tab: Tab | None = None
    tab_read: int = 0
    """How many of the tab's messages the reader has taken."""
    replica: Replica | None = None
    first: State | None = None
    """What the reader loaded."""
    verified: str = ""
    """The position at the last `verify`."""
    view: View = field(default_factory=View)
    heard: dict[int, Json] = field(default_factory=dict)
    known: dict[str, bytes] = field(default_factory=dict)
    """What every file holds for certain, by its path."""
    open: dict[str, list[Check]] = field(default_factory=dict)
    """Files of which one of several states may be on the disk: writes that nobody answered."""
    touched: set[str] = field(default_factory=set)
    """Files that were changed since the last `verify`: each is changed once, so that one event is due."""
    unanswered: int = 0
    leftovers: int = 0
    made: int = 0
    died: bool = False
    """Whether the last process died by itself, not by our hand."""

    def __post_init__(self) -> None:
        self.root = self.home / KB
        self.state_dir = self.home / "state"
        self.note = self.home / "note"
        self.arm_file = self.home / "armed"
        self.root.mkdir(parents=True)
        (self.root / "kb.yaml").write_text(f"name: {KB}\n", encoding="utf-8")
        for _ in range(ENTRIES):
            self._create("")

    # -- processes ---------------------------------------------------------------------------

    def start(self, *options: str, **spec: Any) -> WatchProcess:
        """Start a process; with a `point` it dies there, from its beginning on."""
        assert self.process is None
        self.note.unlink(missing_ok=True)
        self.arm_file.unlink(missing_ok=True)
        spec.update(note=str(self.note), arm_file=str(self.arm_file))
        self.process = WatchProcess(
            self.root,
            home=self.home,
            state_dir=self.state_dir,
            options=("--retention", str(RETENTION), *options),
            program=(sys.executable, str(INJECTION), json.dumps(spec), "watch"),
        )
        return self.process

    def arm(self, point: str, **spec: Any) -> None:
        """From now on the process dies at this point."""
        beside = self.arm_file.with_suffix(".new")
        beside.write_text(json.dumps({"point": point, **spec}), encoding="utf-8")
        os.replace(beside, self.arm_file)

    def has_hit(self) -> str:
        """Where the process died; empty where it never came to its point."""
        return self.note.read_text(encoding="utf-8").strip() if self.died and self.note.exists() else ""

    def end(self, *, by_kill: bool = True, within_s: float = 0.0, or_ready: bool = False) -> None:
        """Wait for the death, kill it where that does not come, and take what the reader heard.

        Args:
            or_ready: The death was to come before it is ready; else there is nothing to wait for.
        """
        process, tab = self.process, self.tab
        assert process is not None
        self.died = False
        if or_ready:
            with contextlib.suppress(AssertionError):
                process.wait_ready(within_s)
                within_s = 0.0
        if within_s:
            with contextlib.suppress(AssertionError):
                self.died = process.wait_exit(within_s) in (-signal.SIGKILL, -signal.SIGXFSZ)
        if by_kill:
            process.kill()
        else:
            process.stop()
        assert "Traceback" not in process.output, process.describe()
        printed = process.events
        if tab is not None:
            tab.wait_closed()
            tab.close()
            assert self.replica is not None
            told = {event["offset"]: event for event in printed if event["offset"] > self.replica.offset}
            for event in only_events(tab.messages.since(self.tab_read)):
                self._hear(event)
            for offset, event in told.items():
                assert self.heard.setdefault(offset, event) == event, f"tab and stdout differ: {event}"
        self.process = self.tab = None
        self.leftovers = len(self._temporary_files())

    def close(self) -> None:
        """End what runs."""
        if self.process is not None:
            self.process.kill()
        if self.tab is not None:
            self.tab.close()

    # -- what is asked after a restart -------------------------------------------------------

    def verify(self) -> Verdict:
        """Assert, of a process that is ready, that nothing was lost, repeated, invented or damaged.

        Leaves the reader's tab open, live.
        """
        process = self.process
        assert process is not None
        ready = process.ready
        api = Api(process.url)
        self._check_files()
        before, self.view = self.view, read_kb(self.root)
        state = api.state()
        assert state.of(KB) == self.view.entries, "the index is not the disk"
        assert not api.problems()
        if self.replica is None:
            self.replica = Replica(state)
            self.first = state
            missed: list[Json] = []
        else:
            assert ready["epoch"] == self.replica.epoch, "another epoch"
            with self._explained():
                missed = self._resume(process)
                self._check_log(api, before)
            assert self.replica.entries == state.entries, "the reader's state is not the index"
            assert self.replica.offset == state.offset == ready["offset"]
            assert self._replayed_from_the_start(process) == state.entries, "an old reader ends elsewhere"
        if self.tab is None:
            self.tab, self.tab_read = self._open_tab(process), 0
        self.verified = self.replica.position
        self.heard = {}
        self.touched = set()
        verdict = Verdict(missed, self.unanswered, self.leftovers)
        self.unanswered = self.leftovers = 0
        return verdict

    def verify_void(self) -> str:
        """Assert that the restart began a new epoch and told the reader so; the index is the disk."""
        process, replica = self.process, self.replica
        assert process is not None
        assert replica is not None
        self._check_files()
        self.view = read_kb(self.root)
        with Tab(process.url, since=replica.position) as tab:
            resync = tab.wait_type("resync")
            assert resync["reason"] == "epoch"
            assert resync["epoch"] == process.ready["epoch"] != replica.epoch
            assert tab.events == [], "the first index of a new epoch is no event"
        state = Api(process.url).state()
        assert state.of(KB) == self.view.entries, "the index is not the disk"
        assert state.position == f"{resync['epoch']}:{resync['offset']}" == f"{resync['epoch']}:0"
        self.replica = None
        self.heard = {}
        self.unanswered = self.leftovers = 0
        self.verify()
        return str(resync["epoch"])

    def _replayed_from_the_start(self, process: WatchProcess) -> dict[Key, Place]:
        """What a reader has that was away since the first life; by now the log may be compacted."""
        assert self.first is not None
        old = Replica(self.first, dense=False)
        with Tab(process.url, since=self.first.position) as tab:
            tab.wait_type("ready")
            old.apply_all(tab.messages.since())
        return old.entries

    def _open_tab(self, process: WatchProcess) -> Tab:
        assert self.replica is not None
        tab = Tab(process.url, since=self.replica.position)
        message = tab.wait_for(lambda message: message.get("type") in ("ready", "resync"))
        assert message["type"] == "ready", message
        return tab

    def _resume(self, process: WatchProcess) -> list[Json]:
        """Resume from what was heard last; return what was missed."""
        self.tab = self._open_tab(process)
        messages = self.tab.messages.since()
        self.tab_read = len(messages)
        place = next(place for place, message in enumerate(messages) if message.get("type") == "ready")
        missed = messages[:place]
        assert only_events(missed) == missed, "only events come before `ready`"
        assert messages[place]["replayed"] == len(missed)
        assert not messages[place]["compacted"]
        for event in missed:
            self._hear(event)
        assert only_events(messages[place:]) == [], "an event without a change after the start"
        return missed

    def _hear(self, event: Json) -> None:
        """Take the next event: the very next offset, and nothing that the reader knows already."""
        assert self.replica is not None
        key = (event["kb_name"], event["entry_id"])
        place = self.replica.entries.get(key)
        if event["type"] in ENTRY_TYPES:
            assert (place is None) == (event["type"] == "entry_created"), f"known is {place}: {event}"
            assert place != (event["path"], event["revision"]), f"told twice: {event}"
            if place is not None and event["type"] == "entry_updated" and place[0] != event["path"]:
                assert event["previous_path"] == place[0], event
        self.replica.apply(event)
        assert self.heard.setdefault(event["offset"], event) == event, f"told otherwise before: {event}"

    def _check_log(self, api: Api, before: View) -> None:
        """Assert that the log since the last `verify` holds what was heard, and one event a change."""
        page = api.get("/api/events/log", since=self.verified, limit="1000")
        events = page["events"]
        assert not page["more"]
        assert not page["compacted"]
        first = int(self.verified.rpartition(":")[2])
        assert [event["offset"] for event in events] == list(range(first + 1, first + 1 + len(events)))
        heard = [self.heard[offset] for offset in sorted(self.heard)]
        assert events == heard, (
            f"the log is not what was heard; log:\n{shown(events)}\nheard:\n{shown(heard)}"
        )
        told = Counter(event["entry_id"] for event in only_entry_events(events))
        ids = {*before.entries, *self.view.entries}
        due = Counter(key for key in ids if before.entries.get(key) != self.view.entries.get(key))
        assert told == due, f"told, not due: {told - due}; due, not told: {due - told}\n{shown(events)}"
        synced = [event for event in events if event["type"] == "kb_synced"]
        counts = [event["added"] + event["updated"] + event["removed"] for event in synced]
        assert all(counts), f"a pass without a change was told: {synced}"
        by_pass = [event for event in only_entry_events(events) if event["origin"] != "api"]
        assert sum(counts) == len(by_pass), shown(events)

    def _check_files(self) -> None:
        """Assert that every file is whole, the old one or the new one, and that no other is there."""
        assert self._temporary_files() == [], "a temporary file was left behind"
        found = {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and path.name != "kb.yaml"
        }
        for path, checks in self.open.items():
            assert any(check(found.get(path)) for check in checks), f"{path} holds {found.get(path)!r}"
            self.known.pop(path, None)
            if path in found:
                self.known[path] = found[path]
        self.open = {}
        assert found.keys() == self.known.keys(), f"{found.keys() ^ self.known.keys()}"
        assert found == self.known, "a file does not hold what was written last"

    def _temporary_files(self) -> list[Path]:
        return list(self.root.rglob(".*"))

    @contextlib.contextmanager
    def _explained(self) -> Any:
        try:
            yield
        except AssertionError as error:
            assert self.process is not None
            where = self.has_hit() or "nowhere"
            raise AssertionError(f"{error}\n[note: {where}]\n{self.process.describe()}") from None

    def epoch_on_disk(self) -> str | None:
        """The epoch that a killed process left in the state; None before the first index is complete."""
        path = self.state_dir / "index.sqlite"
        if not path.exists() or not path.stat().st_size:
            return None
        with closing(sqlite3.connect(path)) as connection, contextlib.suppress(sqlite3.OperationalError):
            row = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
            return str(row[0]) if row else None
        return None

    # -- changes -----------------------------------------------------------------------------

    def act(self, kinds: Sequence[str], count: int, pause: Callable[[], object] = lambda: None) -> None:
        """Make so many changes of these kinds, each to a file of its own, whether a process lives or not."""
        free = sorted(self.known.keys() - self.open.keys() - self.touched)
        self.rng.shuffle(free)
        for _ in range(count):
            kind = self.rng.choice(kinds)
            if kind in ("create", "create large"):
                self._create("x" * 8000 if kind == "create large" else "")
            elif kind == "api create":
                self._api_create()
            elif len(free) > 4:
                path = free.pop()
                self.touched.add(path)
                getattr(self, f"_{kind.replace(' ', '_')}")(path)
            pause()

    def _new_name(self) -> str:
        self.made += 1
        return f"entry-{self.made}"

    def _body(self) -> str:
        return f"Words {self.rng.random()}. " * self.rng.randint(1, 60)

    def _create(self, more: str) -> None:
        name = self._new_name()
        folder = self.rng.choice(["", "deep/", "deep/er/"])
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        self._put(f"{folder}{name}.md", entry_bytes(name, self._body() + more))

    def _put(self, path: str, content: bytes) -> None:
        (self.root / path).write_bytes(content)
        self.known[path] = content
        self.touched.add(path)

    def _id_of(self, path: str) -> str:
        return path.rpartition("/")[2].removesuffix(".md")

    def _write(self, path: str) -> None:
        """Truncate and write, in place."""
        self._put(path, self.known[path] + f"More {self.rng.random()}.\n".encode())

    def _replace(self, path: str) -> None:
        """Write beside it and rename, as careful editors do."""
        content = self.known[path].replace(b"\n\n", f"\n\nFirst {self.rng.random()}.\n".encode(), 1)
        beside = self.root.parent / "beside"
        beside.write_bytes(content)
        os.replace(beside, self.root / path)
        self.known[path] = content

    def _delete(self, path: str) -> None:
        (self.root / path).unlink()
        del self.known[path]

    def _rename(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        moved = name if folder else f"deep/{name}"
        (self.root / moved).parent.mkdir(exist_ok=True)
        os.rename(self.root / path, self.root / moved)
        self.known[moved] = self.known.pop(path)
        self.touched.add(moved)

    def _api_create(self) -> None:
        name, body = self._new_name(), self._body().strip()

        def is_made(content: bytes | None) -> bool:
            return (
                content is not None
                and content.startswith(b"---\n")
                and (f"id: {name}\n".encode() in content and content.rstrip().endswith(body.encode()))
            )

        asked = {"kb": KB, "title": f"Title of {name}", "id": name, "body": body}
        self.touched.add(f"{name}.md")
        self._ask("POST", "/api/entries", asked, f"{name}.md", is_made)

    def _api_update(self, path: str) -> None:
        body = self._body().strip()
        head = self.known[path][: self.known[path].index(b"\n---\n") + 5]

        def is_new(content: bytes | None) -> bool:
            return (
                content is not None
                and content.startswith(head)
                and (content[len(head) :].strip() == body.encode())
            )

        self._ask("PUT", f"/api/entries/{self._id_of(path)}", {"kb": KB, "body": body}, path, is_new)

    def _api_patch(self, path: str) -> None:
        value = f"s{self.rng.random()}"
        others = [line for line in self.known[path].splitlines() if not line.startswith(b"status:")]

        def is_new(content: bytes | None) -> bool:
            lines = (content or b"").splitlines()
            line = f"status: {value}".encode()
            return line in lines and [one for one in lines if not one.startswith(b"status:")] == others

        asked = {"kb": KB, "field": "status", "value": value}
        self._ask("PATCH", f"/api/entries/{self._id_of(path)}", asked, path, is_new)

    def _api_delete(self, path: str) -> None:
        target = f"/api/entries/{self._id_of(path)}?kb={KB}"
        self._ask("DELETE", target, None, path, lambda content: content is None)

    def _ask(self, method: str, target: str, body: object, path: str, is_new: Check) -> None:
        """Send a write; unless it is answered the file may be the old one or the new one."""
        process = self.process
        old = self.known.get(path)
        self.open[path] = [lambda content: content == old, is_new]
        if process is None or process.exit_code is not None:
            del self.open[path]  # nobody to send it to
            return
        try:
            answer = Api(process.url, TIMEOUT_S).request(method, target, body=body)
        except ConnectionRefusedError:
            return
        except (OSError, http.client.HTTPException):
            self.unanswered += 1
            return
        assert answer.status == 200, f"{method} {target}: {answer.status} {answer.body!r}"
        self.open[path] = [is_new]
