"""When a dirty path is looked at. Pure: the times are given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyrite_watch.disk.settle import (
    MISSING_MAX_S,
    RECHECK_S,
    SOON_FOR_S,
    SOON_S,
    DirtyPath,
    Settler,
    merge,
)
from pyrite_watch.model.entry import Revision
from pyrite_watch.model.kb import KbName

KB = KbName("kb")


@pytest.fixture
def settler() -> Settler:
    """With the default times: 120 ms and 400 ms."""
    return Settler(0.12, 0.4)


def _taken(settler: Settler, now_s: float) -> list[str]:
    return [dirty.path for dirty in settler.take_due(now_s)]


def _miss(settler: Settler, path: str, now_s: float) -> list[DirtyPath]:
    settler.add(KB, path, "disk", now_s)
    return settler.wait_missing(settler.take_due(now_s), now_s, now_s)


def test_a_hint_is_due_at_once_and_once(settler: Settler) -> None:
    """However often it was given."""
    for _ in range(3):
        settler.add(KB, "a.md", "disk", 5.0)
    assert settler.next_due_s() == 5.0
    assert _taken(settler, 5.0) == ["a.md"]
    assert _taken(settler, 9.0) == []
    assert settler.next_due_s() is None
    assert len(settler) == 0


def test_one_path_of_two_kbs_is_two(settler: Settler) -> None:
    """Paths are relative to a KB."""
    settler.add(KbName("one"), "a.md", "disk", 0.0)
    settler.add(KbName("two"), "a.md", "disk", 0.0)
    assert len(settler.take_due(0.0)) == 2


@pytest.mark.parametrize("first", ["disk", "sweep"])
def test_disk_outranks_sweep(settler: Settler, first: str) -> None:
    """What a hint has named is no repair, in whichever order they come."""
    settler.add(KB, "a.md", "disk" if first == "disk" else "sweep", 0.0)
    settler.add(KB, "a.md", "sweep" if first == "disk" else "disk", 0.0)
    assert [dirty.origin for dirty in settler.take_due(0.0)] == ["disk"]


def test_a_merged_hint_keeps_the_earlier_times_and_is_no_second_look() -> None:
    """The folder's own hint still orders its looks."""
    old = DirtyPath(KB, "a", "sweep", 1.0, 5.0, missing_since_s=2.0)
    new = DirtyPath(KB, "a", "disk", 3.0, 4.0, is_folder_look=True)
    merged = merge(old, new)
    assert merged == DirtyPath(KB, "a", "disk", 1.0, 4.0, missing_since_s=2.0)
    assert merge(new, old) == merged


def test_an_incomplete_file_waits_400_ms_from_its_first_hint(settler: Settler) -> None:
    """It is looked at again every 20 ms meanwhile, and further hints don't extend the time."""
    settler.add(KB, "a.md", "disk", 0.0)
    now_s, looks = 0.0, 0
    while True:
        (dirty,) = settler.take_due(now_s)
        if not settler.wait_incomplete(dirty, now_s, 0.0):
            break
        looks += 1
        settler.add(KB, "a.md", "disk", now_s)
        due_s = settler.next_due_s()
        assert due_s == now_s
        now_s += RECHECK_S
    assert now_s == pytest.approx(0.4, abs=RECHECK_S)
    assert looks == pytest.approx(20, abs=1)


def test_an_incomplete_file_is_rechecked_without_a_hint(settler: Settler) -> None:
    """Its closing is not always notified; the last look is at the deadline."""
    settler.add(KB, "a.md", "disk", 0.0)
    (dirty,) = settler.take_due(0.0)
    assert settler.wait_incomplete(dirty, 0.0, 0.0)
    assert settler.next_due_s() == SOON_S
    (dirty,) = settler.take_due(0.395)
    assert settler.wait_incomplete(dirty, 0.395, 0.0)
    assert settler.next_due_s() == 0.4


@pytest.mark.parametrize(("age_s", "waits"), [(0.0, True), (0.3, True), (0.4, False), (1e9, False)])
def test_a_file_that_was_left_unfinished_long_ago_does_not_wait(
    settler: Settler, age_s: float, waits: bool
) -> None:
    """It is not being written."""
    settler.add(KB, "a.md", "disk", 0.0)
    (dirty,) = settler.take_due(0.0)
    assert settler.wait_incomplete(dirty, 0.0, age_s) is waits


def test_a_missing_file_waits_120_ms(settler: Settler) -> None:
    """From when it was first seen to be missing; then it is gone."""
    assert _miss(settler, "a.md", 1.0) == []
    assert settler.next_due_s() == pytest.approx(1.12)
    assert settler.take_due(1.1) == []
    (dirty,) = settler.take_due(1.12)
    assert settler.wait_missing([dirty], 1.12, 1.12) == [dirty]
    assert len(settler) == 0


def test_a_hint_about_a_missing_file_has_it_looked_at_at_once(settler: Settler) -> None:
    """It may be back; if not, it was in between, so its time begins anew."""
    _miss(settler, "a.md", 1.0)
    settler.add(KB, "a.md", "disk", 1.05)
    (dirty,) = settler.take_due(1.05)
    assert settler.wait_missing([dirty], 1.05, 1.05) == []
    assert settler.next_due_s() == pytest.approx(1.17)


def test_a_missing_file_that_is_named_all_the_time_is_told_in_the_end(settler: Settler) -> None:
    """Its time begins anew for two seconds at most."""
    _miss(settler, "a.md", 0.0)
    over: list[float] = []
    for number in range(1, 60):
        now_s = number * 0.05
        settler.add(KB, "a.md", "disk", now_s)
        over += [now_s for _ in settler.wait_missing(settler.take_due(now_s), now_s, now_s)]
    assert over[0] == pytest.approx(MISSING_MAX_S + 0.1, abs=0.06)


def test_a_missing_file_that_was_seen_meanwhile_has_all_its_time_again(settler: Settler) -> None:
    """Bug: half-written when it was looked at, and gone again, it was told as deleted at once."""
    _miss(settler, "a.md", 1.0)
    settler.add(KB, "a.md", "disk", 1.1)
    (dirty,) = settler.take_due(1.1)
    dirty = replace(dirty, missing_since_s=1.0)  # as without the hint
    assert settler.wait_incomplete(dirty, 1.1, 0.0)
    (dirty,) = settler.take_due(1.13)
    assert dirty.unfinished_since_s == 1.1, "and all its time to be finished"
    assert settler.wait_missing([dirty], 1.13, 1.13) == []
    assert settler.next_due_s() == pytest.approx(1.25)


def test_a_stream_of_deletions_waits_together(settler: Settler) -> None:
    """One batch, and none is looked at before."""
    for number in range(10):
        now_s = number * 0.1
        assert _miss(settler, f"{number}.md", now_s) == []
    assert settler.take_due(1.01) == []
    due = settler.take_due(1.03)
    assert len(due) == 10
    assert settler.wait_missing(due, 1.03, 1.03) == due


def test_a_stream_of_deletions_holds_each_for_two_seconds_at_most(settler: Settler) -> None:
    """The first ones are told although it goes on."""
    over: list[DirtyPath] = []
    for number in range(100):
        now_s = number * 0.05
        gone = _miss(settler, f"{number}.md", now_s)
        for dirty in gone:
            assert dirty.missing_since_s is not None
            assert now_s - dirty.missing_since_s <= MISSING_MAX_S + 0.06
        over += gone
    assert len(over) == pytest.approx(60, abs=2)


def test_deletions_in_one_kb_do_not_hold_those_of_another(settler: Settler) -> None:
    """Each KB is told by itself."""
    _miss(settler, "a.md", 0.0)
    settler.add(KbName("other"), "b.md", "disk", 0.1)
    settler.wait_missing(settler.take_due(0.1), 0.1, 0.1)
    assert _taken(settler, 0.12) == ["a.md"]


def test_a_missing_file_replaces_the_wait_for_its_end(settler: Settler) -> None:
    """Bug: the older hint stayed, without a time of its own, and was postponed for ever."""
    settler.add(KB, "a.md", "disk", 0.0)
    (dirty,) = settler.take_due(0.0)
    settler.wait_incomplete(dirty, 0.0, 0.0)
    assert settler.wait_missing([DirtyPath(KB, "a.md", "disk", 0.01, 0.01)], 0.01, 0.01) == []
    assert settler.next_due_s() == pytest.approx(0.13)
    assert _taken(settler, 0.13) == ["a.md"]


def test_a_missing_file_is_explained_by_what_it_held(settler: Settler) -> None:
    """It goes on waiting until somebody says that it is gone."""
    held = frozenset({Revision("r1"), Revision("r2")})
    settler.wait_missing([DirtyPath(KB, "a.md", "disk", 0.0, 0.0, missing_revisions=held)], 0.0, 0.0)
    assert [dirty.path for dirty in settler.explained_by({Revision("r2")})] == ["a.md"]
    assert settler.explained_by({Revision("r3")}) == []
    assert len(settler) == 1


def test_a_folder_is_looked_at_again_at_the_given_times(settler: Settler) -> None:
    """Once each, however many hints ordered it, and marked so that it orders no more."""
    for _ in range(3):
        settler.look_again(KB, "f", 1.0, (0.06, 0.4))
    assert settler.next_due_s() == 1.06
    (look,) = settler.take_due(1.06)
    assert look.is_folder_look
    assert _taken(settler, 1.3) == []
    assert _taken(settler, 1.4) == ["f"]
    assert settler.next_due_s() is None


def test_what_is_put_back_is_due_again_as_it_was(settler: Settler) -> None:
    """After a failure; a newer hint stays, as it says the same and more."""
    settler.add(KB, "a.md", "disk", 1.0)
    settler.look_again(KB, "f", 1.0, (0.0,))
    due = settler.take_due(1.0)
    for dirty in due:
        settler.put_back(dirty)
    assert settler.take_due(1.0) == due
    settler.add(KB, "a.md", "disk", 2.0)
    settler.put_back(due[0])
    assert len(settler) == 1


def test_a_file_that_is_not_closed_for_long_is_looked_at_less_often() -> None:
    """The first looks come fast: most saves are closed a moment after their first notification."""
    settler = Settler(0.12, 0.4)
    dirty = DirtyPath(KbName("kb"), "a.md", "disk", 0.0, 0.0)
    assert settler.wait_incomplete(dirty, 5.0, 0.0)
    assert settler.next_due_s() == pytest.approx(5.0 + SOON_S)
    (dirty,) = settler.take_due(5.0 + SOON_FOR_S)
    assert settler.wait_incomplete(dirty, 5.0 + SOON_FOR_S, 0.0)
    assert settler.next_due_s() == pytest.approx(5.0 + SOON_FOR_S + RECHECK_S)


def test_the_time_of_an_unfinished_file_begins_with_the_look_that_found_it_so(settler: Settler) -> None:
    """Bug: a hint that had waited for git had used it up, and a half was told at once."""
    dirty = DirtyPath(KB, "a.md", "disk", 0.0, 3.0)
    assert settler.wait_incomplete(dirty, 3.0, 0.0)
    (dirty,) = settler.take_due(3.3)
    assert settler.wait_incomplete(dirty, 3.3, 0.0)
    (dirty,) = settler.take_due(3.41)
    assert not settler.wait_incomplete(dirty, 3.41, 0.0)


def test_the_time_of_a_missing_file_begins_when_it_was_seen_to_be(settler: Settler) -> None:
    """Bug: it began with the pass; where that had walked for long, it was over at once."""
    assert settler.wait_missing([DirtyPath(KB, "a.md", "disk", 0.0, 0.0)], 0.0, 5.0) == []
    assert settler.next_due_s() == pytest.approx(5.12)
