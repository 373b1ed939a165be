"""The judge of the property test itself: what it must take, and what it must not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from harness.api import State
from harness.record import Json
from harness.replica import Replica

from property.contents import Seen
from property.judge import Judge
from property.world import World

EMPTY = Seen("h/index.md", "e" * 32, "doubtful", None, "index", has_conflict=False)
PLACE = ("kb", "h-index")


def judge_of(*states: Seen) -> tuple[Judge, Replica]:
    """A judge who had accepted the first state, and the replica of then."""
    world = SimpleNamespace(
        roots=["kb"], history={"kb": [{seen.path: seen} for seen in states]}, written=set()
    )
    judge = Judge(cast(World, world), last={"kb": {EMPTY.path: (PLACE[1], EMPTY.revision)}})
    return judge, Replica(State("e", 0, {PLACE: (EMPTY.path, EMPTY.revision)}))


def event(kind: str, offset: int, entry_id: str, revision: str | None, **move: Json) -> Json:
    """One event of the file, in a batch with the others."""
    return {
        "type": f"entry_{kind}",
        "entry_id": entry_id,
        "kb_name": "kb",
        "epoch": "e",
        "offset": offset,
        "path": EMPTY.path,
        "revision": revision,
        "origin": "disk",
        "ts": "t",
        **move,
    }


def test_an_empty_file_that_was_told_and_gets_a_title_is_another_entry() -> None:
    """Fault of the judge: it did not count what the empty one had claimed, and took it for invented."""
    titled = Seen(EMPTY.path, "f" * 32, "good", None, "same-title", has_conflict=False)
    judge, replica = judge_of(EMPTY, titled)
    judge.check_events(
        replica,
        [
            event("deleted", 1, "h-index", None, moved_to={"kb_name": "kb", "entry_id": "same-title"}),
            event(
                "created",
                2,
                "same-title",
                titled.revision,
                moved_from={"kb_name": "kb", "entry_id": "h-index"},
            ),
        ],
    )


def test_an_empty_file_that_stays_as_it_was_is_not_deleted() -> None:
    """And what was there all the time is no deletion."""
    judge, replica = judge_of(EMPTY, EMPTY)
    with pytest.raises(AssertionError, match="there all the time"):
        judge.check_events(replica, [event("deleted", 1, "h-index", None)])
