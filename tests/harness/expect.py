"""Events as short lines, so that a test can say exactly which ones it expects, in which order."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.process import WatchProcess
from harness.record import Json
from harness.scene import Scene


def line(event: Json) -> str:
    """Write an event without what no test can know beforehand (offset, time, revision).

    `C kb:id path`, `U kb:id path < previous`, `D kb:id path > kb:id` (moved to), `C kb:id path < kb:id`
    (moved from), `S kb +added ~updated -removed`.
    """
    kb = event["kb_name"]
    if event["type"] == "kb_synced":
        return f"S {kb} +{event['added']} ~{event['updated']} -{event['removed']}"
    letter = {"entry_created": "C", "entry_updated": "U", "entry_deleted": "D"}[event["type"]]
    text = f"{letter} {kb}:{event['entry_id']} {event['path']}"
    if "previous_path" in event:
        text += f" < {event['previous_path']}"
    if "moved_from" in event:
        text += f" < {event['moved_from']['kb_name']}:{event['moved_from']['entry_id']}"
    if "moved_to" in event:
        text += f" > {event['moved_to']['kb_name']}:{event['moved_to']['entry_id']}"
    return text


def lines(events: Iterable[Json]) -> list[str]:
    """Write each event as `line` does."""
    return [line(event) for event in events]


def counts(events: Iterable[Json]) -> Counter[str]:
    """Count the events by the first letter of their line."""
    return Counter(line(event)[0] for event in events)


def synced(kb: str, added: int = 0, updated: int = 0, removed: int = 0) -> str:
    """Write the line of a `kb_synced`."""
    return f"S {kb} +{added} ~{updated} -{removed}"


def check_lines(events: Iterable[Json], expected: list[str]) -> None:
    """Assert that exactly these events came, in this order; a failure shows only what differs."""
    told = lines(events)
    if told == expected:
        return
    missing, extra = Counter(expected) - Counter(told), Counter(told) - Counter(expected)
    raise AssertionError(
        f"{len(told)} events told, {len(expected)} expected; missing: {_few(missing)}; extra: {_few(extra)}"
        + ("" if missing or extra else f"; only the order differs:\n{told[:20]}\n{expected[:20]}")
    )


def told_of(kb: str, *entries: tuple[str, ...]) -> Callable[[list[Json]], bool]:
    """Make a condition for `observe`: each (letter, id, ...) was told, and then the KB's `kb_synced`."""
    wanted = [" ".join((entry[0], f"{kb}:{entry[1]}", *entry[2:])) for entry in entries]

    def condition(events: list[Json]) -> bool:
        told = lines(events)
        return all(any(found.startswith(start) for found in told) for start in wanted) and told[
            -1
        ].startswith(f"S {kb} ")

    return condition


@contextlib.contextmanager
def watching(start: Callable[..., WatchProcess], *roots: Path) -> Iterator[Scene]:
    """Watch these KBs, and be two tabs, until the end of the block."""
    scene = Scene.open(start(*roots), {root.name: root for root in roots})
    try:
        yield scene
    finally:
        scene.close()


def _few(found: Counter[str], limit: int = 8) -> str:
    shown = [text if count == 1 else f"{count} x {text}" for text, count in list(found.items())[:limit]]
    return f"{shown} and {len(found) - limit} more" if len(found) > limit else str(shown)
