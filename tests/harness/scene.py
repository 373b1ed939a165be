"""The main job's cast: one `pyrite watch --json`, two tabs, a replica behind each, and the disk beside them.

That *nothing* comes is proved by a marker, not by waiting: a new, empty file. It becomes an entry only after
400 ms (interface §2), longer than anything else may be held back, so what an earlier change was going to say
has been said when the marker's event arrives.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.api import Api
from harness.process import WatchProcess
from harness.reader import View, read_kb
from harness.record import Json, Record, is_event, only_entry_events, only_events, shown
from harness.replica import Replica
from harness.socket import Tab


@dataclass
class Scene:
    """A running watch over `roots` (name to folder), seen from stdout and from two tabs.

    `tabs[0]` speaks Pyrite's own protocol (no parameter), `tabs[1]` resumes from the `ready` line's position.
    """

    watch: WatchProcess
    roots: dict[str, Path]
    tabs: list[Tab]
    api: Api
    replicas: list[Replica]
    views: dict[str, View] = field(default_factory=dict)
    markers: int = 0

    @classmethod
    def open(cls, watch: WatchProcess, roots: dict[str, Path]) -> Scene:
        """Wait for `ready`, connect both tabs and load a replica for each."""
        watch.wait_ready()
        with contextlib.ExitStack() as stack:
            tabs = [
                stack.enter_context(Tab(watch.url)),
                stack.enter_context(Tab(watch.url, since=watch.position)),
            ]
            tabs[1].wait_type("ready")
            api = Api(watch.url)
            state = api.state()
            views = {name: read_kb(root) for name, root in roots.items()}
            stack.pop_all()
            return cls(watch, roots, tabs, api, [Replica(state), Replica(state)], views)

    def close(self) -> None:
        """Leave with both tabs; the watch is stopped by whoever started it."""
        for tab in self.tabs:
            tab.close()

    @property
    def records(self) -> list[Record]:
        """stdout and both tabs."""
        return [self.watch.messages, *(tab.messages for tab in self.tabs)]

    def observe(
        self,
        act: Callable[[], object],
        changes: int = 0,
        until: Callable[[list[Json]], bool] | None = None,
        timeout_s: float = 20.0,
    ) -> list[Json]:
        """Do something and return every event that it made, in order, the same for all three readers.

        Args:
            changes: wait for so many entry events, and for a `kb_synced` after the last; 0 waits for nothing,
                and the marker shows what came all the same.
            until: another condition on the events so far.
        """
        start = self.watch.messages.mark()
        act()
        if until is None and changes:
            until = _changes_told(changes)
        if until is not None:
            condition = until
            try:
                self.watch.messages.wait_until(
                    lambda messages: condition(only_events(messages)),
                    timeout_s,
                    start=start,
                    what=f"{changes} entry events and their kb_synced" if changes else "the expected events",
                )
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.watch.describe()}") from None
        marker = self.marker(timeout_s)
        return [
            event
            for event in only_events(self.watch.messages.since(start))
            if event["offset"] < marker["offset"]
        ]

    def marker(self, timeout_s: float = 20.0) -> Json:
        """Make the marker's change and wait until all readers have its event and the `kb_synced` after it."""
        self.markers += 1
        name, root = next(iter(self.roots.items()))
        path = f"zzz-marker-{self.markers}.md"
        (root / path).touch(exist_ok=False)
        try:
            found = [_await_marker(record, name, path, timeout_s) for record in self.records]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.watch.describe()}") from None
        return found[0]

    def check(self) -> None:
        """Assert the promise: all readers heard the same, densely; state, replicas and disk are one.

        Ends with a marker of its own, so that everything has arrived.
        """
        last = self.marker()["offset"]
        first = self.watch.ready["offset"]
        told = [event for event in self.watch.events if event["offset"] <= last]
        assert [event["offset"] for event in told] == list(range(first + 1, last + 1)), shown(told)
        assert all(event["epoch"] == self.watch.ready["epoch"] for event in told)
        assert not self.watch.bad_lines, self.watch.bad_lines
        for tab, replica in zip(self.tabs, self.replicas, strict=True):
            heard = [event for event in tab.events if event["offset"] <= last]
            assert heard == told, f"{tab.messages.name} heard other events than stdout told"
            replica.apply_all(heard)
        self.check_disk()
        state = self.api.state()
        for replica in self.replicas:
            assert replica.entries == state.entries

    def check_disk(self) -> None:
        """Assert that the state is what an independent reader finds on the disk."""
        for name, root in self.roots.items():
            self.views[name] = read_kb(root, self.views.get(name))
            state = self.api.state(name).of(name)
            on_disk = self.views[name].entries
            missing = {key: on_disk[key] for key in on_disk.keys() - state.keys()}
            extra = {key: state[key] for key in state.keys() - on_disk.keys()}
            other = {
                key: (state[key], on_disk[key]) for key in state if on_disk.get(key, state[key]) != state[key]
            }
            assert state == on_disk, (
                f"KB {name}: not in the state: {missing}; only there: {extra}; other: {other}"
            )


def _await_marker(record: Record, kb: str, path: str, timeout_s: float) -> Json:
    """Wait for the marker's own event and for the `kb_synced` of its pass; return the former."""
    index, found = record.wait_for_index(
        lambda message: message.get("type") == "entry_created" and message.get("path") == path,
        timeout_s,
        what=f"the marker {path}",
    )
    record.wait_for(
        lambda message: message.get("type") == "kb_synced" and message["kb_name"] == kb,
        timeout_s,
        start=index,
        what="the marker's kb_synced",
    )
    return found


def _changes_told(changes: int) -> Callable[[list[Json]], bool]:
    def told(events: list[Json]) -> bool:
        return (
            len(only_entry_events(events)) >= changes and bool(events) and events[-1]["type"] == "kb_synced"
        )

    return told


def check_dense(events: list[Json], after: int) -> None:
    """Assert that the events follow `after` one by one, without a gap or a repeat."""
    events = [event for event in events if is_event(event)]
    offsets = [event["offset"] for event in events]
    assert offsets == list(range(after + 1, after + 1 + len(events))), shown(events)
