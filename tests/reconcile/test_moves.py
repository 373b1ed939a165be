"""Renames, moves and copies, within a KB and between two, with hints of every kind."""

from __future__ import annotations

import itertools
import os

import pytest

from .bed import Bed, MakeBed, note


def _folder(bed: Bed, folder: str, count: int = 200) -> None:
    for number in range(count):
        bed.write(f"{folder}/{number:03}.md", note(f"n{number:03}", f"body {number}"))


@pytest.mark.parametrize("order", [["old", "new"], ["new", "old"]])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_moved_folder_is_an_update_of_each_entry(bed: Bed, order: list[str], at_once: bool) -> None:
    """Row 19: 200 U with `previous_path`, whichever folder is named first, and however late the other."""
    _folder(bed, "old")
    bed.settle("old").told()
    os.rename(bed.path("old"), bed.path("new"))
    if at_once:
        bed.settle(*order)
    else:
        bed.run(order[0])
        bed.settle(order[1])
    assert bed.told() == [f"U n{n:03} new/{n:03}.md < old/{n:03}.md" for n in range(200)]
    bed.check()


def test_a_folder_moved_out_and_in_is_deleted_and_created(bed: Bed) -> None:
    """Row 19: 200 D in one batch, 200 C in one batch."""
    _folder(bed, "sub")
    bed.settle("sub").news()
    os.rename(bed.path("sub"), bed.folder / "outside")
    bed.settle("sub")
    news = bed.news()
    assert [event["type"] for event in news] == ["entry_deleted"] * 200 + ["kb_synced"]
    os.rename(bed.folder / "outside", bed.path("back"))
    bed.settle("back")
    assert [event["type"] for event in bed.news()] == ["entry_created"] * 200 + ["kb_synced"]
    bed.check()


@pytest.mark.parametrize("new", ["b.md", "A.md", "sub/a.md"])
@pytest.mark.parametrize("order", list(itertools.permutations(["a.md", "NEW"])))
@pytest.mark.parametrize("split", [False, True])
def test_a_renamed_file_is_one_update(bed: Bed, new: str, order: tuple[str, str], split: bool) -> None:
    """Row 20: also by case only; the hints in any order, in one turn or two."""
    bed.write("a.md", note("x"))
    bed.settle("a.md").told()
    bed.path(new).parent.mkdir(exist_ok=True)
    os.rename(bed.path("a.md"), bed.path(new))
    hints = [new if hint == "NEW" else hint for hint in order]
    if split:
        bed.run(hints[0])
        bed.settle(hints[1])
    else:
        bed.settle(*hints)
    assert bed.told() == [f"U x {new} < a.md"]
    bed.check()


def test_a_renamed_file_is_told_at_once(bed: Bed) -> None:
    """It is known by its inode and mtime, also where it was read in the moment of its writing."""
    bed.write("a.md", note("x"))
    bed.settle("a.md").told()
    os.rename(bed.path("a.md"), bed.path("b.md"))
    bed.run("a.md", "b.md")
    assert bed.told() == ["U x b.md < a.md"]


def test_a_file_renamed_over_one_of_the_same_content_is_told_at_once(bed: Bed) -> None:
    """Nothing of that one's content is new, but which file it is."""
    bed.write("a.md", note())
    bed.write("b.md", note())
    bed.settle("a.md", "b.md").told()
    os.rename(bed.path("a.md"), bed.path("b.md"))
    bed.run("a.md", "b.md")
    assert bed.told() == ["D a a.md"]


@pytest.mark.parametrize("content", [note("x"), note("new")])
def test_a_new_file_with_the_inode_of_a_missing_one_is_no_rename(bed: Bed, content: str) -> None:
    """File systems give an inode away again at once: a file that was saved by deletion was told as deleted
    when another new file had got the number that it once had."""
    bed.write("a.md", note("x"))
    bed.settle("a.md").told()
    # In place of the reuse, which nobody can order: the same inode with other bytes, written later.
    os.rename(bed.path("a.md"), bed.path("b.md"))
    bed.write("b.md", content)
    written_ns = os.stat(bed.path("b.md")).st_mtime_ns + 10_000_000
    os.utime(bed.path("b.md"), ns=(written_ns, written_ns))
    bed.run("a.md", "b.md")
    assert bed.told() == ([] if content == note("x") else ["C new b.md"])
    bed.write("a.md", note("x"))
    bed.settle("a.md")
    assert bed.told() == []
    bed.check()


def test_a_link_to_a_file_that_comes_back_is_no_move(bed: Bed) -> None:
    """Two names of one file: that the other is looked at does not explain why this one is missing."""
    bed.write("a.md", note("x"))
    os.link(bed.path("a.md"), bed.path("b.md"))
    bed.settle("a.md", "b.md").told()
    os.unlink(bed.path("a.md"))
    bed.run("a.md", "b.md")
    bed.write("a.md", note("x"))
    bed.settle("a.md")
    assert bed.told() == []
    bed.check()


def test_a_renamed_file_without_an_id_is_a_move_also_over_two_turns(bed: Bed) -> None:
    """A missing file that waits is explained by its content when that comes: one batch, paired."""
    bed.write("a.md", note())
    bed.settle("a.md").told()
    os.rename(bed.path("a.md"), bed.path("b.md"))
    bed.run("a.md").advance(0.05)
    assert bed.told() == []
    bed.run("b.md")
    assert bed.told() == ["D a a.md > kb/b", "C b b.md < kb/a"]
    bed.settle()
    assert bed.told() == []
    bed.check()


@pytest.mark.parametrize(
    ("entry_id", "hints"), [(None, ["a.md", "b.md"]), ("x", ["a.md", "b.md"]), ("x", ["b.md"])]
)
def test_a_file_that_comes_back_was_not_moved(bed: Bed, entry_id: str | None, hints: list[str]) -> None:
    """It is looked at just when git has taken it away and not yet written it again, while a new file has
    the same content, or its id. (It was told as moved, and then as moved back.)"""
    bed.write("a.md", note(entry_id))
    bed.settle("a.md").told()
    bed.write("b.md", note(entry_id))
    os.unlink(bed.path("a.md"))
    bed.run(*hints)
    assert bed.told() == []
    bed.write("a.md", note(entry_id))
    bed.settle("a.md")
    assert bed.told() == ([] if entry_id else ["C b b.md"])
    bed.check()


def test_who_asks_for_an_id_waits_while_its_owner_may_come_back(bed: Bed) -> None:
    """It asked all along, and is only looked at just when the owner's file is saved by deletion. (It became
    the owner, and was no more as soon as the file was back.)"""
    bed.write("a.md", note("x"))
    bed.settle("a.md")
    bed.write("b.md", note("x", "another"))
    bed.settle("b.md").told()
    for stays_away in (False, True):
        os.utime(bed.path("b.md"))
        os.unlink(bed.path("a.md"))
        bed.run("a.md", "b.md").advance(0.1)
        assert bed.told() == []
        if not stays_away:
            bed.write("a.md", note("x"))
            bed.settle("a.md")
            assert bed.told() == []
            bed.check()
    bed.advance(0.02)
    assert bed.told() == ["U x b.md < a.md"]
    bed.settle()
    assert bed.told() == []
    bed.check()


@pytest.mark.parametrize("entry_id", [None, "x"])
def test_a_copy_whose_original_stays_away_is_a_move(bed: Bed, entry_id: str | None) -> None:
    """In one batch, when its time is over; also where the copy is named again in that time."""
    bed.write("a.md", note(entry_id))
    bed.settle("a.md").told()
    bed.write("b.md", note(entry_id))
    os.unlink(bed.path("a.md"))
    bed.run("a.md", "b.md").advance(0.01).run("b.md")
    assert bed.told() == []
    bed.advance(0.11)
    moved = ["D a a.md > kb/b", "C b b.md < kb/a"]
    assert bed.told() == (["U x b.md < a.md"] if entry_id else moved)
    bed.settle()
    assert bed.told() == []
    bed.check()


def test_a_renamed_file_is_not_taken_for_another_of_its_content(bed: Bed) -> None:
    """It is known which one it is, while another one is just being saved by deletion."""
    bed.write("a.md", note())
    bed.write("c.md", note())
    bed.settle("a.md", "c.md").told()
    os.rename(bed.path("a.md"), bed.path("b.md"))
    os.unlink(bed.path("c.md"))
    bed.run("a.md", "b.md", "c.md")
    assert bed.told() == ["D a a.md > kb/b", "C b b.md < kb/a"]
    bed.advance(0.05).write("c.md", note())
    bed.settle("c.md")
    assert bed.told() == []
    bed.check()


def test_a_copy_is_told_with_the_one_that_is_gone(bed: Bed) -> None:
    """It may be either of two; one of them comes back, and the other never does."""
    bed.write("a.md", note())
    bed.write("c.md", note())
    bed.settle("a.md", "c.md").told()
    os.unlink(bed.path("a.md"))
    bed.write("b.md", note())
    bed.run("a.md", "b.md").advance(0.06)
    os.unlink(bed.path("c.md"))
    bed.run("c.md").advance(0.05)
    bed.write("c.md", note())
    bed.settle("c.md")
    assert bed.told() == ["D a a.md > kb/b", "C b b.md < kb/a"]
    bed.check()


def test_an_heir_is_told_with_the_one_that_is_gone(bed: Bed) -> None:
    """It asks for two ids, say, of which one owner is gone and the other may come back."""
    bed.write("a.md", note("x"))
    bed.write("c.md", note())
    bed.settle("a.md", "c.md").told()
    os.rename(bed.path("a.md"), bed.path("t.txt"))
    bed.run("a.md").advance(0.1)
    os.unlink(bed.path("c.md"))
    os.rename(bed.path("t.txt"), bed.path("b.md"))
    bed.run("b.md", "c.md")
    assert bed.told() == ["U x b.md < a.md"]
    bed.write("c.md", note())
    bed.settle("c.md")
    assert bed.told() == []
    bed.check()


def test_a_copy_in_another_kb_whose_original_stays_away_is_a_move(make_bed: MakeBed) -> None:
    """Both wait, and are told in one batch."""
    bed = make_bed("one", "two").start()
    bed.write("a.md", note("a"), kb="one")
    bed.settle("a.md", kb="one").told()
    bed.write("a.md", note("a"), kb="two")
    os.unlink(bed.path("a.md", "one"))
    bed.hint("a.md", kb="one").run("a.md", kb="two")
    assert bed.told() == []
    bed.advance(0.12)
    assert bed.told() == ["D a a.md > two/a", "C a a.md < one/a"]
    bed.check()


@pytest.mark.parametrize("hints", [["a.md", "b.md"], ["b.md"], ["a.md"]])
def test_two_files_that_swap_names_are_two_updates(bed: Bed, hints: list[str]) -> None:
    """Row 20: even where only one of them is named."""
    bed.write("a.md", note("one"))
    bed.write("b.md", note("two"))
    bed.settle("a.md", "b.md").told()
    os.rename(bed.path("a.md"), bed.path("t"))
    os.rename(bed.path("b.md"), bed.path("a.md"))
    os.rename(bed.path("t"), bed.path("b.md"))
    bed.settle(*hints)
    assert bed.told() == ["U two a.md < b.md", "U one b.md < a.md"]
    bed.check()


@pytest.mark.parametrize("split", [False, True])
def test_a_file_moved_to_another_kb_is_one_batch(make_bed: MakeBed, split: bool) -> None:
    """Row 21: D and C are paired, also where the new file is named 50 ms after the old one."""
    bed = make_bed("one", "two").start()
    bed.write("a.md", note("a"), kb="one")
    bed.settle("a.md", kb="one").told()
    os.rename(bed.path("a.md", "one"), bed.path("a.md", "two"))
    bed.hint("a.md", kb="one")
    if split:
        bed.run(kb="one").advance(0.05)
    bed.settle("a.md", kb="two")
    assert bed.told() == ["D a a.md > two/a", "C a a.md < one/a"]
    assert len(bed.reports) == 2
    bed.check()


def test_a_new_id_in_the_same_file_is_a_paired_move(bed: Bed) -> None:
    """Row 22."""
    bed.write("a.md", note("old"))
    bed.settle("a.md").told()
    bed.write("a.md", note("new"))
    bed.settle("a.md")
    assert bed.told() == ["D old a.md > kb/new", "C new a.md < kb/old"]
    bed.check()


@pytest.mark.parametrize("away_first", [True, False])
def test_what_git_moves_from_one_kb_to_another_is_one_batch(make_bed: MakeBed, away_first: bool) -> None:
    """Row 21. Bug: each KB waited for git by itself, and the two halves were told apart."""
    bed = make_bed("one", "two").start()
    bed.write("x.md", note("x"), kb="one")
    bed.settle("x.md", kb="one").told()
    (bed.folder / ".git").mkdir()
    (bed.folder / ".git/index.lock").touch()
    hints = ["one", "two"] if away_first else ["two", "one"]
    os.rename(bed.path("x.md", "one"), bed.path("x.md", "two"))
    bed.run("x.md", kb=hints[0]).advance(0.005)
    bed.run("x.md", kb=hints[1]).advance(0.2)
    (bed.folder / ".git/index.lock").unlink()
    bed.settle()
    assert bed.told() == ["D x x.md > two/x", "C x x.md < one/x"]
    assert len([report for report in bed.reports if report.events]) == 2, "the first file, then one batch"
