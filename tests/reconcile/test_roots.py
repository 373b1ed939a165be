"""Roots that go and come back, KBs that come late: hard cases 31, 32, and the first pass."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from unittest import mock

import pytest
from harness.replica import Replica

from pyrite_watch.index.store import SyncCounts

from .bed import BAD, Bed, MakeBed, failing_apply, note, short


@pytest.fixture
def filled(bed: Bed) -> Bed:
    """A bed with 20 entries."""
    for number in range(20):
        bed.write(f"{number:02}.md", note(f"n{number:02}"))
    bed.settle("").news()
    return bed


def _available(bed: Bed) -> bool:
    return bed.store.kb_row("kb").available


@pytest.mark.parametrize("act", ["deleted", "moved", "unmounted", "a file"])
@pytest.mark.parametrize("hinted", [True, False])
def test_a_vanished_root_deletes_nothing(filled: Bed, act: str, hinted: bool) -> None:
    """Row 31: no D, one `kb_synced` that says `available: false`, entries stay readable."""
    bed, root = filled, filled.roots["kb"]
    aside = bed.folder / "aside"
    os.rename(root, aside)
    if act == "unmounted":
        root.mkdir()
    elif act == "a file":
        root.write_text("x")
    names = [f"{number:02}.md" for number in range(20)] if hinted else []
    bed.settle("", *names).sweep()
    news = bed.news()
    assert [(event["type"], event["available"]) for event in news] == [("kb_synced", False)]
    assert len(bed.entries()) == 20
    assert bed.problems() == {(".", "unavailable")}
    if act == "unmounted":
        root.rmdir()
    elif act == "a file":
        root.unlink()
    os.rename(aside, root)
    bed.write("00.md", note("n00", "new"))
    bed.path("01.md").unlink()
    bed.sweep()
    assert [event["available"] for event in bed.news() if event["type"] == "kb_synced"][-1]
    assert bed.problems() == set()
    bed.check()


def test_files_that_go_before_their_root_are_not_told(filled: Bed) -> None:
    """Row 31: `rm -r` deletes the files first; before their time is over the root is gone too."""
    bed = filled
    for number in range(20):
        bed.path(f"{number:02}.md").unlink()
        bed.run(f"{number:02}.md").advance(0.05)
    bed.roots["kb"].rmdir()
    bed.settle()
    assert bed.told() == []
    assert not _available(bed)


def test_a_replaced_root_tells_the_difference(filled: Bed) -> None:
    """Row 31: another folder with files in it is believed."""
    bed, root = filled, filled.roots["kb"]
    shutil.copytree(root, bed.folder / "copy")
    os.rename(root, bed.folder / "aside")
    os.rename(bed.folder / "copy", root)
    bed.write("00.md", note("n00", "new"))
    bed.path("01.md").unlink()
    bed.reconciler.look_at_roots()
    bed.settle()
    assert bed.told() == ["U n00 00.md", "D n01 01.md"]
    assert bed.rebuilds == 1
    bed.check()


def test_a_root_that_vanishes_during_a_batch_is_not_believed(
    filled: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen of it is dropped; of the same batch, another KB's part is told."""
    bed = filled
    bed.write("00.md", note("n00", "new"))
    real = type(bed.reconciler)._believe

    def believe(*args: object) -> None:
        if bed.roots["kb"].exists():
            os.rename(bed.roots["kb"], bed.folder / "aside")
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(type(bed.reconciler), "_believe", believe)
    bed.settle("00.md")
    assert bed.told() == []
    assert not _available(bed)
    monkeypatch.undo()
    os.rename(bed.folder / "aside", bed.roots["kb"])
    bed.sweep()
    assert bed.told() == ["U n00 00.md"]
    bed.check()


def test_a_root_replaced_during_a_batch_tells_the_difference_at_once(
    filled: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen of the old one is dropped; the new one is compared without a further hint."""
    bed, root = filled, filled.roots["kb"]
    shutil.copytree(root, bed.folder / "copy")
    (bed.folder / "copy" / "01.md").write_text(note("n01", "copied"))
    bed.write("00.md", note("n00", "of the old root"))
    real = type(bed.reconciler)._believe

    def believe(*args: object) -> None:
        if (bed.folder / "copy").exists():
            os.rename(root, bed.folder / "aside")
            os.rename(bed.folder / "copy", root)
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(type(bed.reconciler), "_believe", believe)
    bed.settle("00.md")
    assert bed.told() == ["U n01 01.md"]
    assert bed.rebuilds == 1
    bed.check()


def test_an_unavailable_root_is_told_although_the_first_commit_failed(filled: Bed) -> None:
    """Bug: the look was remembered, its commit was not tried again, and nobody was ever told."""
    bed = filled
    os.rename(bed.roots["kb"], bed.folder / "aside")
    with failing_apply(bed, sqlite3.OperationalError("disk full")):
        with pytest.raises(sqlite3.OperationalError):
            bed.reconciler.look_at_roots()
        bed.reconciler.look_at_roots()
    assert not _available(bed)
    assert bed.problems() == {(".", "unavailable")}
    os.rename(bed.folder / "aside", bed.roots["kb"])
    bed.write("00.md", note("n00", "new"))
    with failing_apply(bed, sqlite3.OperationalError("disk full")):
        with pytest.raises(sqlite3.OperationalError):
            bed.reconciler.look_at_roots()
        bed.reconciler.look_at_roots()
    assert _available(bed)
    assert bed.problems() == set()
    bed.settle()
    assert bed.told() == ["U n00 00.md"]
    bed.check()


def test_a_root_found_gone_in_a_batch_is_told_although_its_commit_failed(filled: Bed) -> None:
    """The same, where a hint's pass finds the root gone."""
    bed = filled
    os.rename(bed.roots["kb"], bed.folder / "aside")
    with failing_apply(bed, sqlite3.OperationalError("disk full")):
        bed.hint("00.md")
        bed.clock.advance(1)
        with pytest.raises(sqlite3.OperationalError):
            bed.settle()
    bed.settle().reconciler.look_at_roots()
    assert not _available(bed)
    assert [event["available"] for event in bed.news()] == [False]


def test_a_retargeted_root_link_tells_the_difference(tmp_path: Path) -> None:
    """Row 32: a root that is a link works, and gives the difference when it leads elsewhere."""
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
    (tmp_path / "v1" / "a.md").write_text(note("a"))
    (tmp_path / "v2" / "a.md").write_text(note("a", "new"))
    (tmp_path / "v2" / "b.md").write_text(note("b"))
    link = tmp_path / "link"
    os.symlink("v1", link)
    bed = Bed(tmp_path, roots={"kb": link}).start()
    try:
        os.symlink("v2", tmp_path / "new")
        os.replace(tmp_path / "new", link)
        bed.reconciler.look_at_roots()
        bed.settle()
        assert bed.told() == ["U a a.md", "C b b.md"]
        assert bed.rebuilds == 1
        bed.check()
    finally:
        bed.close()


def test_a_root_link_retargeted_into_another_kb_takes_its_files_over(tmp_path: Path) -> None:
    """Bug: which KBs lie in which was found at the start only, so their files were told twice."""
    for folder in ("outer/inner", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "a.md").write_text(note("a"))
    link = tmp_path / "link"
    os.symlink("elsewhere", link)
    bed = Bed(tmp_path, roots={"outer": tmp_path / "outer", "linked": link}).start()
    try:
        assert list(bed.index()) == [("outer", "a")]
        link.unlink()
        os.symlink("outer/inner", link)
        bed.sweep()
        assert list(bed.index()) == [("linked", "a")]
        assert bed.told() == ["D a inner/a.md > linked/a", "C a a.md < outer/a"]
        bed.check_events()
    finally:
        bed.close()


# -- the first pass ---------------------------------------------------------------------------


def test_a_first_index_is_silent_and_then_the_epoch_begins(make_bed: MakeBed) -> None:
    """It is the state at the first position."""
    bed = make_bed()
    bed.write("a.md", note("a"))
    bed.write("bad.md", "---\n- 1\n---\n")
    bed.open()
    assert not bed.store.has_epoch
    passing = bed.store.position.epoch
    bed.reconciler.first_pass()
    assert bed.events == []
    assert bed.epochs == [bed.store.position.epoch]
    assert bed.epochs != [passing]
    assert bed.store.position.offset == 0
    assert list(bed.entries()) == ["a"]
    assert not bed.reconciler.progress.active


def test_an_interrupted_first_index_is_resumed(make_bed: MakeBed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Still silent, one epoch, and ids as if it had been one pass: the smallest path owns."""
    monkeypatch.setattr("pyrite_watch.reconciler.FIRST_INDEX_PATHS", 3)
    bed = make_bed()
    for number in range(10):
        bed.write(f"{number}.md", note(f"n{number}"))
    bed.open()
    bed.reconciler.stopping = lambda: bed.reconciler.progress.done >= 6
    bed.reconciler.first_pass()
    assert not bed.store.has_epoch
    assert len(bed.entries()) == 6
    bed.write("0.md", note("n0", "changed meanwhile"))
    bed.restart()
    assert bed.events == []
    assert bed.store.has_epoch
    bed.replica = Replica(bed.state())
    bed.check()


def test_a_kb_added_to_a_state_is_told_as_created_by_a_sweep(make_bed: MakeBed) -> None:
    """Origin `sweep`, then its `kb_synced`; the other KB says nothing."""
    bed = make_bed("one", "two")
    bed.write("a.md", note("a"), kb="one")
    bed.write("b.md", note("b"), kb="two")
    bed.start("one")
    epoch = bed.store.position.epoch
    bed.restart()
    assert [(event["kb_name"], event["type"], event["origin"]) for event in bed.news()] == [
        ("two", "entry_created", "sweep"),
        ("two", "kb_synced", "sweep"),
    ]
    assert bed.store.position.epoch == epoch
    bed.check()


def test_a_kb_that_is_no_longer_named_is_hidden_and_told_anew_when_it_is_back(make_bed: MakeBed) -> None:
    """Silent when it goes; when it is back, all its entries as created, then the difference."""
    bed = make_bed("one", "two")
    bed.write("a.md", note("a"), kb="two")
    bed.write("b.md", note("b"), kb="two")
    bed.start()
    bed.restart("one")
    assert bed.news() == []
    assert bed.index() == {}
    bed.write("b.md", note("b", "new"), kb="two")
    bed.restart()
    assert bed.told() == ["C a a.md", "C b b.md", "U b b.md"]


def test_a_kb_that_is_back_is_synced_after_what_is_told_anew(make_bed: MakeBed) -> None:
    """One `kb_synced` with all that it holds, problems too; none where it holds nothing."""
    bed = make_bed("one", "two", "empty")
    bed.write("a.md", note("a"), kb="two")
    bed.write("bad.md", BAD, kb="two")
    bed.start()
    bed.restart("one")
    bed.restart()
    created, synced = bed.news()
    assert short(created) == "C a a.md"
    assert (synced["kb_name"], synced["origin"], short(synced)) == ("two", "sweep", "S +1 ~0 -0")
    assert (synced["problems"], synced["available"]) == (1, True)


def test_a_kb_that_is_back_with_problems_alone_is_synced(make_bed: MakeBed) -> None:
    """Whoever loaded the state meanwhile did not see them."""
    bed = make_bed("one", "two")
    bed.write("bad.md", BAD, kb="two")
    bed.start()
    bed.restart("one")
    bed.restart()
    assert [(short(event), event["problems"]) for event in bed.news()] == [("S +0 ~0 -0", 1)]


def test_a_kb_that_went_in_the_middle_of_its_first_index_is_told_in_full(
    make_bed: MakeBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: what had been committed of it by then was told to nobody who loaded the state meanwhile."""
    monkeypatch.setattr("pyrite_watch.reconciler.MAX_BATCH_PATHS", 2)
    bed = make_bed("one", "two")
    for number in range(5):
        bed.write(f"{number}.md", note(f"n{number}"), kb="two")
    bed.start("one")
    bed.store.close()
    bed.open()
    bed.reconciler.stopping = lambda: len(bed.entries("two")) >= 2
    bed.reconciler.first_pass()
    assert len(bed.entries("two")) == 2
    bed.restart("one")
    bed.replica = Replica(bed.state())
    bed.restart()
    assert len(bed.replica.entries) == 0
    bed.check()
    assert len(bed.replica.entries) == 5


def test_a_failure_tells_a_kb_that_is_back_once(make_bed: MakeBed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: the first pass is repeated after an error, and told the first of two KBs twice."""
    bed = make_bed("one", "two", "three")
    for kb in ("two", "three"):
        bed.write("a.md", note("a"), kb=kb)
    bed.start()
    bed.restart("one")
    bed.store.close()
    bed.open()
    real = bed.store.tell_all
    failed: list[str] = []

    def tell_all(name: str) -> object:
        if name == "three" and not failed:
            failed.append(name)
            raise sqlite3.OperationalError("database is locked")
        return real(name)

    monkeypatch.setattr(bed.store, "tell_all", tell_all)
    with pytest.raises(sqlite3.OperationalError):
        bed.reconciler.first_pass()
    bed.reconciler.first_pass()
    assert [event["kb_name"] for event in bed.news() if event["entry_id"]] == ["two", "three"]


def test_a_kb_that_was_away_at_the_first_index_is_indexed_when_it_comes(tmp_path: Path) -> None:
    """Bug: it stayed without history for good, so that its ids changed hands with each save."""
    roots = {"one": tmp_path / "one", "late": tmp_path / "late"}
    roots["one"].mkdir()
    bed = Bed(tmp_path, roots=roots).start()
    try:
        assert not bed.store.kb_row("late").indexed
        roots["late"].mkdir()
        bed.write("x.md", note(), kb="late")
        bed.sweep()
        assert bed.told() == ["C x x.md"]
        assert bed.store.kb_row("late").indexed
        bed.write("a.md", note("x"), kb="late")
        bed.settle("a.md", kb="late")
        assert bed.told() == []
        assert bed.problems() == {("a.md", "duplicate_id")}
    finally:
        bed.close()


# -- sync ---------------------------------------------------------------------------------------


def test_a_sync_without_change_tells_kb_synced(filled: Bed) -> None:
    """And only that, once."""
    assert filled.reconciler.sync(["kb"]) == {}
    news = filled.news()
    assert [(event["type"], event["added"], event["removed"]) for event in news] == [("kb_synced", 0, 0)]


def test_a_sync_waits_for_nothing_and_counts(filled: Bed) -> None:
    """A deletion, an empty new file and an update, at once."""
    bed = filled
    bed.path("00.md").unlink()
    bed.write("01.md", note("n01", "new"))
    bed.write("empty.md", "")
    assert bed.reconciler.sync(["kb"]) == {"kb": SyncCounts(1, 1, 1)}
    assert bed.told() == ["D n00 00.md", "U n01 01.md", "C empty empty.md"]
    bed.settle()
    assert bed.news() == []
    bed.check()


def test_a_sync_of_a_kb_that_is_away_says_so(filled: Bed) -> None:
    """`kb_synced` with `available: false`; no entry event."""
    os.rename(filled.roots["kb"], filled.folder / "aside")
    filled.reconciler.sync(["kb"])
    assert [event["available"] for event in filled.news()] == [False, False]


# -- failures -------------------------------------------------------------------------------------


def _change_much(bed: Bed) -> list[str]:
    bed.write("00.md", note("n00", "new"))
    bed.path("01.md").unlink()
    os.rename(bed.path("02.md"), bed.path("x.md"))
    bed.write("f/g/new.md", note("new"))
    bed.write("bad.md", "---\n- 1\n---\n")
    return ["00.md", "01.md", "02.md", "x.md", "f", "bad.md"]


EXPECTED = ["U n00 00.md", "U n02 x.md < 02.md", "C new f/g/new.md", "D n01 01.md"]


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_after_a_failed_commit_every_path_is_still_dirty(filled: Bed, failures: int) -> None:
    """Row 44: the same events later, each once, also of paths that waited or came from folders."""
    bed = filled
    hints = _change_much(bed)
    bed.hint(*hints)
    with failing_apply(bed, sqlite3.OperationalError("disk full"), failures):
        for _ in range(failures):
            with pytest.raises(sqlite3.OperationalError):
                bed.settle()
    assert bed.told() == []
    bed.settle()
    assert sorted(bed.told()) == sorted(EXPECTED)
    bed.check()


def test_a_failed_sync_forgets_nothing(filled: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: after an error the paths of the later batches were forgotten until the next sweep."""
    bed = filled
    monkeypatch.setattr("pyrite_watch.reconciler.MAX_BATCH_PATHS", 2)
    _change_much(bed)
    with failing_apply(bed, sqlite3.OperationalError("disk full")), pytest.raises(sqlite3.OperationalError):
        bed.reconciler.sync(["kb"])
    bed.settle()
    assert sorted(bed.told()) == sorted(EXPECTED)
    bed.check()


def test_a_batch_that_has_no_room_forgets_nothing_when_it_fails(
    filled: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had been left for the next batch is dirty as well."""
    bed = filled
    monkeypatch.setattr("pyrite_watch.index.gather.MAX_BATCH_PATHS", 2)
    bed.hint(*_change_much(bed))
    with failing_apply(bed, sqlite3.OperationalError("disk full")), pytest.raises(sqlite3.OperationalError):
        bed.settle()
    bed.settle()
    assert sorted(bed.told()) == sorted(EXPECTED)
    bed.check()


# -- git --------------------------------------------------------------------------------------------


def take_git_lock(bed: Bed) -> None:
    """Make the KB a repository in which git is at work."""
    bed.path(".git").mkdir()
    bed.reconciler.look_at_roots()
    bed.path(".git/index.lock").touch()


def git_changes_two_and_one_is_named(bed: Bed) -> None:
    """While the lock is held `00.md` and `01.md` are written; only of the first comes a hint."""
    take_git_lock(bed)
    bed.write("00.md", note("n00", "new"))
    bed.run("00.md").advance(0.02)
    bed.write("01.md", note("n01", "new"))


def test_a_young_lock_holds_the_changes_until_it_goes(filled: Bed) -> None:
    """Row 12: one batch, one `kb_synced`."""
    bed = filled
    take_git_lock(bed)
    for number in range(20):
        bed.write(f"{number:02}.md", note(f"n{number:02}", "new"))
        bed.run(f"{number:02}.md").advance(0.02)
    assert bed.news() == []
    bed.path(".git/index.lock").unlink()
    bed.advance(0.02)
    assert bed.news() == []
    bed.settle()
    assert [event["type"] for event in bed.news()] == ["entry_updated"] * 20 + ["kb_synced"]
    bed.check()


def test_what_no_hint_names_in_time_is_told_with_the_rest(filled: Bed) -> None:
    """Row 12. Bug: on a busy machine hints of what a checkout wrote last came when git was long quiet, and
    were a batch of their own."""
    bed = filled
    before = len(bed.reports)
    git_changes_two_and_one_is_named(bed)
    bed.write("new.md", note("new"))
    bed.path("02.md").unlink()
    bed.path(".git/index.lock").unlink()
    bed.settle()
    assert bed.told() == ["U n00 00.md", "U n01 01.md", "D n02 02.md", "C new new.md"]
    bed.settle("01.md", "02.md", "new.md")
    assert bed.told() == []
    assert len([report for report in bed.reports[before:] if report.events]) == 1
    bed.check()


def test_where_there_are_many_files_hints_alone_count(filled: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """To compare all of them would hold up a save."""
    monkeypatch.setattr("pyrite_watch.git_patience.MAX_LOOKED_OVER", 10)
    bed = filled
    git_changes_two_and_one_is_named(bed)
    bed.path(".git/index.lock").unlink()
    bed.settle()
    assert bed.told() == ["U n00 00.md"]
    bed.settle("01.md")
    assert bed.told() == ["U n01 01.md"]
    bed.check()


def test_what_git_did_to_another_kb_unnoticed_is_told_with_the_rest(make_bed: MakeBed) -> None:
    """Row 21: no hint at all has named that one when git is quiet."""
    bed = make_bed("one", "two").start()
    bed.write("x.md", note("x"), kb="one")
    bed.settle("x.md", kb="one").told()
    (bed.folder / ".git").mkdir()
    (bed.folder / ".git/index.lock").touch()
    os.rename(bed.path("x.md", "one"), bed.path("x.md", "two"))
    bed.run("x.md", kb="two").advance(0.2)
    (bed.folder / ".git/index.lock").unlink()
    bed.settle()
    assert bed.told() == ["D x x.md > two/x", "C x x.md < one/x"]
    assert len([report for report in bed.reports if report.events]) == 2, "the first file, then one batch"
    bed.check()


def test_what_is_held_is_kept_when_the_look_at_the_rest_fails(
    filled: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite is busy, say: all of it is dirty again, and the look is made again."""
    bed = filled
    git_changes_two_and_one_is_named(bed)
    bed.path(".git/index.lock").unlink()
    with monkeypatch.context() as patch:
        busy = mock.Mock(side_effect=sqlite3.OperationalError("database is locked"))
        patch.setattr("pyrite_watch.index.gather.Gatherer.differing", busy)
        with pytest.raises(sqlite3.OperationalError):
            bed.settle()
    assert bed.told() == []
    bed.settle()
    assert bed.told() == ["U n00 00.md", "U n01 01.md"]
    bed.check()


def test_a_lock_left_behind_holds_for_five_seconds(filled: Bed) -> None:
    """Row 15: events after the cap, and at once from then on."""
    bed = filled
    take_git_lock(bed)
    bed.write("00.md", note("n00", "new"))
    bed.run("00.md").advance(4.8)
    assert bed.told() == []
    bed.advance(0.3)
    assert bed.told() == ["U n00 00.md"]
    bed.write("00.md", note("n00", "newer"))
    bed.run("00.md")
    assert bed.told() == ["U n00 00.md"]
