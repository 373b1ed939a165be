"""Who has an id next, while the file that waits for it is being written."""

from __future__ import annotations

from .bed import Bed, note


def duplicate(bed: Bed) -> None:
    """The owner of `x` is b.md; a.md waits for it."""
    bed.write("b.md", note("x"))
    bed.write("a.md", note("x", "other"))
    bed.settle("b.md").settle("a.md").told()


def test_an_heir_that_is_being_written_when_the_owner_goes_takes_over(bed: Bed) -> None:
    """Bug: the id became free without it: told as deleted, then as created. Nobody named the heir."""
    duplicate(bed)
    with bed.path("a.md").open("ab") as heir:
        bed.path("b.md").unlink()
        bed.run("b.md")
        for _ in range(30):
            bed.advance(0.01)
        heir.write(b"More.\n")
    bed.settle("a.md")
    assert bed.told() == ["U x a.md < b.md"]
    assert bed.problems() == set()
    bed.check()


def test_an_heir_that_is_cut_when_the_owner_goes_takes_over(bed: Bed) -> None:
    """It is empty for a moment, and closed: the same, where a program saves in two openings."""
    duplicate(bed)
    bed.path("b.md").unlink()
    bed.run("b.md").advance(0.1)
    bed.write("a.md", "")
    bed.advance(0.05)
    assert bed.told() == []
    bed.write("a.md", note("x", "new"))
    bed.settle("a.md")
    assert bed.told() == ["U x a.md < b.md"]
    bed.check()


def test_an_heir_that_stays_open_takes_over_when_its_time_is_over(bed: Bed) -> None:
    """A program that never closes a file holds nothing back for longer than any unfinished file."""
    duplicate(bed)
    with bed.path("a.md").open("ab"):
        bed.path("b.md").unlink()
        bed.run("b.md")
        for _ in range(60):
            bed.advance(0.01)
        assert bed.told() == ["U x a.md < b.md"]
    bed.check()


def test_an_heir_that_is_being_written_when_the_owner_takes_another_id_takes_over(bed: Bed) -> None:
    """Another id is the same as a deletion for who waits for it; one more edit of the owner is not."""
    duplicate(bed)
    with bed.path("a.md").open("ab") as heir:
        bed.write("b.md", note("x", "an edit"))
        bed.run("a.md", "b.md")
        assert bed.told() == ["U x b.md"]
        bed.write("b.md", note("y"))
        bed.run("b.md").advance(0.1)
        assert bed.told() == []
        heir.write(b"More.\n")
    bed.settle("a.md")
    assert bed.told() == ["U x a.md < b.md", "C y b.md"]
    assert bed.problems() == set()
    bed.check()
