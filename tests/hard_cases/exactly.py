"""What a row of the hard cases asks: exactly these events, at every reader, and the index is the disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.reader import revision_of
from harness.record import Json, only_entry_events, shown
from harness.scene import Scene

ATTEMPTS = 6

INCOMPLETE_S = 0.4
"""For how long a file may be empty, half or open, before it is told as it is (interface §2)."""

_LETTERS = {"entry_created": "C", "entry_updated": "U", "entry_deleted": "D"}


def short(event: Json) -> str:
    """An entry event in a word, as the rows write it: `U id path`, `U id path < previous`."""
    text = f"{_LETTERS[event['type']]} {event['entry_id']} {event['path']}"
    return f"{text} < {event['previous_path']}" if "previous_path" in event else text


def note(entry_id: str, body: str) -> bytes:
    """A Markdown file with an explicit id."""
    return f"---\nid: {entry_id}\ntitle: Title of {entry_id}\ntype: note\n---\n\n{body}\n".encode()


def exactly(scene: Scene, act: Callable[[], object], *expected: str) -> list[Json]:
    """Do something; assert that it tells exactly these entry events, in this order, and nothing else.

    Each pass ends with its `kb_synced`; where nothing is expected, none may come either. What is told is
    what is on the disk now.
    """
    events = scene.observe(act, changes=len(expected))
    check_exactly(scene, events, *expected)
    return events


def check_exactly(scene: Scene, events: list[Json], *expected: str) -> None:
    """Assert that these events are exactly the expected ones; see `exactly`."""
    told = only_entry_events(events)
    assert [short(event) for event in told] == list(expected), f"\n{shown(events)}\n{scene.watch.describe()}"
    syncs = [event for event in events if event["type"] == "kb_synced"]
    assert len(syncs) <= len(told), f"a pass without a change was told\n{shown(events)}"
    if told:
        assert events[-1]["type"] == "kb_synced", shown(events)
        assert sum(sync["added"] + sync["updated"] + sync["removed"] for sync in syncs) == len(told)
        assert all(sync["problems"] == 0 for sync in syncs), shown(events)
    newest = {event["entry_id"]: event for event in told}
    for event in newest.values():
        file: Path = scene.roots[event["kb_name"]] / event["path"]
        on_disk = revision_of(file.read_bytes()) if event["type"] != "entry_deleted" else None
        assert event["revision"] == on_disk, shown([event])


def exactly_in_time(
    scene: Scene, act: Callable[[int], float], limit_s: float, *expected: str, again: Callable[[], object]
) -> None:
    """As `exactly`, for what must happen within a time that is part of the case.

    Args:
        act: Gets the attempt's number and gives the seconds that the critical part took. Where the machine
            was too busy, the attempt proves nothing and is made again, with other content.
        limit_s: The time within which the product owes the outcome.
        again: Puts the KB back to where `act` begins, after an attempt that proved nothing.
    """
    for attempt in range(ATTEMPTS):
        took_s = 0.0

        def timed(number: int = attempt) -> None:
            nonlocal took_s
            took_s = act(number)

        # Which events to wait for is only known when the time is: the marker waits for all.
        events = scene.observe(timed)
        if took_s < limit_s:
            check_exactly(scene, events, *expected)
            return
        scene.observe(again)
    pytest.skip(f"the machine was too busy to do it within {limit_s:g} s, {ATTEMPTS} times")


def check_sync_finds_nothing(scene: Scene) -> None:
    """Compare everything by `POST /api/index/sync`; assert that nothing was left to find."""
    start = scene.watch.messages.mark()
    answer = scene.api.request("POST", "/api/index/sync?wait=true").json()
    assert (answer["added"], answer["updated"], answer["removed"]) == (0, 0, 0), "a sync had to repair"
    # It is told on its own way: what the test does next begins after it.
    scene.watch.wait_for(
        lambda message: message.get("type") == "kb_synced", start=start, what="the sync's kb_synced"
    )


def seconds(act: Callable[[], object]) -> float:
    """Do something and return how long it took."""
    started_s = time.perf_counter()
    act()
    return time.perf_counter() - started_s
