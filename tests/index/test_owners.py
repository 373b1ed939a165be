"""Who owns which id: every rule of the interface's section 2, by batches over a KB without SQLite."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_builders import BAD, FakeKb, explicit, on_disk, titled

from pyrite_watch.disk.parse import revision_of
from pyrite_watch.index.owners import EMPTY_REVISION, FileRecord, KbView, assign_ids, path_id
from pyrite_watch.model.entry import EntryId


def known(path: str, text: str, entry_id: str | None, claim: str, *, explicit: bool = True) -> FileRecord:
    """The record of a file outside the batch."""
    file = on_disk(path, text)
    owned = None if entry_id is None else EntryId(entry_id)
    return FileRecord(
        path, file.state, file.revision, owned, claim, explicit, "front", file.revision if owned else None
    )


def test_an_explicit_id_is_taken_as_written() -> None:
    """The front matter's word goes before title and name."""
    kb = FakeKb({"sub/a.md": "---\nid: My_Id\ntitle: T\n---\n"})
    kb.reconcile()
    assert kb.ids == {"sub/a.md": "My_Id"}


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("sub/a.md", "---\ntitle: Über den Hügel!\n---\n", "ber-den-h-gel"),
        ("sub/A b.md", "text", "A b"),
        ("sub/cafe\u0301.md", "text", "caf\u00e9"),
        ("sub/a.md", "---\ntitle: 日本\n---\n", "a"),
    ],
)
def test_without_an_explicit_id_it_is_derived(path: str, text: str, expected: str) -> None:
    """From the title's slug, else from the stem in NFC."""
    kb = FakeKb({path: text})
    kb.reconcile()
    assert kb.ids == {path: expected}


def test_a_derived_index_becomes_the_path() -> None:
    """Forty folders with an `index.md` are forty entries and no problem; the root's is just `index`."""
    kb = FakeKb({f"s{number:02}/index.md": "text" for number in range(40)} | {"index.md": "text"})
    kb.reconcile()
    assert kb.ids == {f"s{number:02}/index.md": f"s{number:02}-index" for number in range(40)} | {
        "index.md": "index"
    }
    assert kb.problems == {}


def test_an_explicit_index_is_an_id_like_any_other() -> None:
    """Only a derived `index` is refused."""
    kb = FakeKb({"guide/a.md": explicit("index")})
    kb.reconcile()
    assert kb.ids == {"guide/a.md": "index"}


def test_the_smallest_path_gets_a_shared_derived_id() -> None:
    """The others get their paths' form, and none is a problem."""
    kb = FakeKb({"b/x.md": titled("Same"), "a/x.md": titled("Same"), "c/x.md": titled("Same")})
    kb.reconcile()
    assert kb.ids == {"a/x.md": "same", "b/x.md": "b-x", "c/x.md": "c-x"}
    assert kb.problems == {}


def test_a_derived_id_is_kept_once_decided() -> None:
    """Neither a smaller path that comes, nor the first one's end, changes whose id is what."""
    kb = FakeKb({"b/x.md": titled("Same"), "c/x.md": titled("Same")})
    kb.reconcile()
    kb.files["a/x.md"] = titled("Same")
    kb.reconcile()
    assert kb.ids == {"a/x.md": "a-x", "b/x.md": "same", "c/x.md": "c-x"}
    del kb.files["b/x.md"]
    kb.files["c/x.md"] = titled("Same", "edited")
    kb.reconcile()
    assert kb.ids == {"a/x.md": "a-x", "c/x.md": "c-x"}


def test_another_title_asks_for_another_derived_id() -> None:
    """Only the claim itself asks anew: an edit of the body does not."""
    kb = FakeKb({"a.md": titled("One")})
    kb.reconcile()
    kb.files["a.md"] = titled("One", "more")
    kb.reconcile()
    assert kb.ids == {"a.md": "one"}
    kb.files["a.md"] = titled("Two")
    kb.reconcile()
    assert kb.ids == {"a.md": "two"}


def test_a_derived_id_yields_to_an_explicit_one_of_the_same_batch() -> None:
    """Who says the id goes before who happens to have it, also with a larger path."""
    kb = FakeKb({"a.md": titled("x"), "z.md": explicit("x")})
    kb.reconcile()
    assert kb.ids == {"a.md": "a", "z.md": "x"}
    assert kb.problems == {}


def test_a_move_keeps_an_explicit_id() -> None:
    """The path is not part of the identity."""
    kb = FakeKb({"a.md": explicit("x")})
    kb.reconcile()
    kb.move("a.md", "deep/down/b.md")
    kb.reconcile()
    assert kb.ids == {"deep/down/b.md": "x"}


def test_a_duplicate_waits_and_is_a_problem() -> None:
    """The owner keeps its id, though the other's path is smaller."""
    kb = FakeKb({"m.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = explicit("x", "other")
    kb.reconcile()
    assert kb.ids == {"a.md": None, "m.md": "x"}
    assert kb.problems == {"a.md": "duplicate_id"}


def test_nobody_takes_an_id_by_being_edited() -> None:
    """No flip-flop: whichever is saved, and how often, the owner stays."""
    kb = FakeKb({"m.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = explicit("x", "other")
    for number in range(4):
        kb.files["am"[number % 2] + ".md"] = explicit("x", f"edit {number}")
        kb.reconcile()
        assert kb.ids == {"a.md": None, "m.md": "x"}


def test_the_waiting_file_takes_over_when_the_owner_goes() -> None:
    """Its own bytes did not change: the owner's end is what concerns it."""
    kb = FakeKb({"m.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = explicit("x", "other")
    kb.reconcile()
    del kb.files["m.md"]
    kb.reconcile()
    assert kb.ids == {"a.md": "x"}
    assert kb.problems == {}


def test_the_waiting_file_takes_over_when_the_owner_changes_its_id() -> None:
    """An id is given up also by the file that lives on."""
    kb = FakeKb({"m.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = explicit("x", "other")
    kb.reconcile()
    kb.files["m.md"] = explicit("y")
    kb.reconcile()
    assert kb.ids == {"a.md": "x", "m.md": "y"}


def test_a_bad_owner_still_owns() -> None:
    """Its last good version stays, so nobody takes over."""
    kb = FakeKb({"m.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = explicit("x", "other")
    kb.reconcile()
    kb.files["m.md"] = BAD
    kb.reconcile()
    assert kb.ids == {"a.md": None, "m.md": "x"}
    assert kb.problems == {"a.md": "duplicate_id", "m.md": "yaml"}


@pytest.mark.parametrize("new_inode", [False, True])
def test_an_owner_renamed_in_the_batch_stays_owner(new_inode: bool) -> None:
    """Even where the one that waits is a copy with a smaller path, and git gave a new inode."""
    kb = FakeKb({"m.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = explicit("x")
    kb.reconcile()
    kb.move("m.md", "z.md")
    if new_inode:
        del kb.inodes["z.md"]
    kb.reconcile()
    assert kb.ids == {"a.md": None, "z.md": "x"}
    assert kb.problems == {"a.md": "duplicate_id"}


def test_an_owner_renamed_and_edited_at_once_stays_owner() -> None:
    """The same inode tells it from the one that waits."""
    kb = FakeKb({"m.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = explicit("x", "other")
    kb.reconcile()
    kb.move("m.md", "z.md")
    kb.files["z.md"] = explicit("x", "edited too")
    kb.reconcile()
    assert kb.ids == {"a.md": None, "z.md": "x"}


def test_of_two_new_files_the_owners_bytes_are_the_owner() -> None:
    """Git gave it a new inode, and a newcomer with a smaller path claims the id in the same batch."""
    kb = FakeKb({"m.md": explicit("x")})
    kb.reconcile()
    kb.files = {"z.md": explicit("x"), "b.md": explicit("x", "new")}
    kb.reconcile()
    assert kb.ids == {"b.md": None, "z.md": "x"}


def test_of_two_new_files_the_owners_inode_is_the_owner() -> None:
    """It was renamed and edited at once, and so its bytes tell nothing."""
    kb = FakeKb({"m.md": explicit("x")})
    kb.reconcile()
    kb.move("m.md", "z.md")
    kb.files |= {"z.md": explicit("x", "edited"), "b.md": explicit("x", "new")}
    kb.reconcile()
    assert kb.ids == {"b.md": None, "z.md": "x"}


def test_the_problem_names_the_owner_of_today() -> None:
    """The owner was renamed: a sentence with its old path would send a person to no file."""
    kb = FakeKb({"m.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = explicit("x", "other")
    kb.reconcile()
    kb.move("m.md", "z.md")
    plan = kb.reconcile()
    assert [problem.message for problem in plan.problems["a.md"]] == ["its id belongs to z.md"]


@pytest.mark.parametrize(
    "texts", [(explicit("x"), explicit("y")), (titled("x"), titled("y")), (titled("x"), explicit("y"))]
)
def test_two_files_may_swap_their_names(texts: tuple[str, str]) -> None:
    """Each id follows its content."""
    kb = FakeKb({"1.md": texts[0], "2.md": texts[1]})
    kb.reconcile()
    kb.files = {"1.md": texts[1], "2.md": texts[0]}
    kb.reconcile()
    assert kb.ids == {"1.md": "y", "2.md": "x"}
    assert kb.problems == {}


def test_nfc_and_nfd_of_one_name_are_one_id_and_a_problem() -> None:
    """Side by side they differ in no form of an id; the second waits, and takes over in the end."""
    names = sorted(unicodedata.normalize(form, "café.md") for form in ("NFC", "NFD"))
    kb = FakeKb(dict.fromkeys(names, "text"))
    kb.reconcile()
    assert kb.ids == {names[0]: "caf\u00e9", names[1]: None}
    assert kb.problems == {names[1]: "duplicate_id"}
    del kb.files[names[0]]
    kb.reconcile()
    assert kb.ids == {names[1]: "caf\u00e9"}


def test_without_history_the_smallest_path_owns_a_double_id() -> None:
    """A rebuild gives the same whatever happened before."""
    kb = FakeKb({"c.md": explicit("x", "1"), "b.md": explicit("x", "2"), "d.md": explicit("x", "3")})
    kb.reconcile(fresh=True)
    assert kb.ids == {"b.md": "x", "c.md": None, "d.md": None}


def test_a_fresh_index_lets_a_later_explicit_id_take_a_derived_one() -> None:
    """A first index comes in batches: a derived owner gives way to a later explicit one."""
    kb = FakeKb({"a.md": titled("x")})
    kb.reconcile(fresh=True)
    assert kb.ids == {"a.md": "x"}
    kb.files["z.md"] = explicit("x")
    kb.reconcile(fresh=True)
    assert kb.ids == {"a.md": "a", "z.md": "x"}


def test_with_history_a_derived_owner_keeps_its_id() -> None:
    """An entry that is known under an id does not lose it to a newcomer."""
    kb = FakeKb({"a.md": titled("x")})
    kb.reconcile()
    kb.files["z.md"] = explicit("x")
    kb.reconcile()
    assert kb.ids == {"a.md": "x", "z.md": None}


def test_an_owner_outside_the_batch_is_respected() -> None:
    """The batch concerns few paths; the index knows who has the id."""
    outside = known("m.md", explicit("x"), "x", "x")
    view = KbView("kb", {}, {"a.md": on_disk("a.md", explicit("x", "2"))}, {EntryId("x"): outside})
    ids = assign_ids(view)
    assert (ids.owned, ids.waiting) == ({}, {"a.md": "m.md"})


def test_a_derived_id_owned_outside_the_batch_falls_back_to_the_path() -> None:
    """Both forms are asked for before one is given."""
    outside = {EntryId("same"): known("m.md", titled("Same"), "same", "same", explicit=False)}
    disk = {"a/x.md": on_disk("a/x.md", titled("Same"))}
    assert assign_ids(KbView("kb", {}, disk, outside)).owned == {"a/x.md": "a-x"}
    outside[EntryId("a-x")] = known("n.md", explicit("a-x"), "a-x", "a-x")
    assert assign_ids(KbView("kb", {}, disk, outside)).waiting == {"a/x.md": "n.md"}


def test_a_moved_bad_file_keeps_its_last_good_version() -> None:
    """The same bytes under another name carry on the id; the text shown is the last good one."""
    kb = FakeKb({"a.md": explicit("x")})
    kb.reconcile()
    good = kb.records["a.md"].good_revision
    kb.files["a.md"] = BAD
    kb.reconcile()
    kb.move("a.md", "sub/b.md")
    kb.reconcile()
    assert kb.ids == {"sub/b.md": "x"}
    assert kb.records["sub/b.md"].good_revision == good
    assert kb.problems == {"sub/b.md": "yaml"}


def test_bad_files_of_equal_bytes_keep_their_own_versions_when_moved() -> None:
    """Their names alone would cross them: the inodes tell which is which."""
    kb = FakeKb({"a.md": explicit("x"), "b.md": explicit("y")})
    kb.reconcile()
    kb.files = {"a.md": BAD, "b.md": BAD}
    kb.reconcile()
    kb.move("a.md", "n/2.md")
    kb.move("b.md", "n/1.md")
    kb.reconcile()
    assert kb.ids == {"n/1.md": "y", "n/2.md": "x"}


def test_a_bad_file_moved_over_another_bad_one_keeps_its_version() -> None:
    """The path was known before, but owned nothing that could be lost."""
    kb = FakeKb({"a.md": explicit("x"), "b.md": BAD + "never good"})
    kb.reconcile()
    kb.files["a.md"] = BAD
    kb.reconcile()
    kb.move("a.md", "b.md")
    kb.reconcile()
    assert kb.ids == {"b.md": "x"}


def test_a_bad_copy_beside_the_original_owns_nothing() -> None:
    """Only what vanished can have moved."""
    kb = FakeKb({"a.md": explicit("x")})
    kb.reconcile()
    kb.files = {"a.md": BAD, "b.md": BAD}
    kb.reconcile()
    assert kb.ids == {"a.md": "x", "b.md": None}


def test_one_vanished_bad_file_is_carried_on_once() -> None:
    """Two copies of it came: one id, one owner."""
    kb = FakeKb({"a.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = BAD
    kb.reconcile()
    kb.files = {"b.md": BAD, "c.md": BAD}
    kb.reconcile()
    assert kb.ids == {"b.md": "x", "c.md": None}


def test_a_files_path_form_is_in_nfc() -> None:
    """Ids compare equal whatever form the file system keeps."""
    assert path_id("a/cafe\u0301.md") == "a-caf\u00e9"


def test_the_empty_revision_is_that_of_no_bytes() -> None:
    """The constant is the hash."""
    assert revision_of(b"") == EMPTY_REVISION


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["edit", "remove", "move"]),
            st.sampled_from(["a.md", "b.md", "c.md", "d/a.md"]),
            st.sampled_from(["a.md", "b.md", "c.md", "e/a.md"]),
            st.sampled_from([explicit("x"), explicit("y"), explicit("x", "2"), titled("x"), "text", "", BAD]),
            st.booleans(),
        ),
        max_size=14,
    )
)
def test_ids_have_one_owner_that_stays(steps: list[tuple[str, str, str, str, bool]]) -> None:
    """After any history: one owner an id, no theft, and nobody waits for an id that is free."""
    kb = FakeKb()
    for action, path, other, text, commit in steps:
        if action == "edit":
            kb.files[path] = text
        elif path in kb.files and action == "remove":
            del kb.files[path]
        elif path in kb.files and path != other:
            kb.move(path, other)
        if not commit:
            continue
        before = dict(kb.records)
        kb.reconcile()
        owned = [entry_id for entry_id in kb.ids.values() if entry_id is not None]
        assert len(owned) == len(set(owned))
        for path_now, record in kb.records.items():
            was = before.get(path_now)
            if was is not None and was.entry_id is not None:
                claims = [(each.explicit, each.claim) for each in (was, record)]
                assert record.entry_id == was.entry_id or claims[0] != claims[1]
            if record.entry_id is None and kb.problems.get(path_now) == "duplicate_id":
                asked = {record.claim} if record.explicit else {record.claim, path_id(path_now)}
                assert asked <= {*owned, "index"}
        settled = replace_states(kb.records)
        kb.reconcile()
        assert replace_states(kb.records) == settled


def replace_states(records: dict[str, FileRecord]) -> dict[str, FileRecord]:
    """Copy the records without what only the file system decides."""
    return {path: replace(record, state=None) for path, record in records.items()}
