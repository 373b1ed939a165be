"""Comparing is pure: what changed, in which order, and what moved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from index_builders import BAD, FakeKb, explicit, on_disk, titled

from pyrite_watch.index.owners import EMPTY_REVISION, FileRecord, KbView
from pyrite_watch.index.reconcile import Entries, apply_changes, diff, judge, plan_kb
from pyrite_watch.model.change import Change, EntryKey, EntryRef
from pyrite_watch.model.entry import EntryId, Revision
from pyrite_watch.model.kb import KbName

KEYS = st.builds(
    EntryKey,
    st.sampled_from([KbName("a"), KbName("b")]),
    st.sampled_from([EntryId(name) for name in "uvwxyz"]),
)
REFS = st.builds(
    EntryRef,
    st.sampled_from(["1.md", "2.md", "3.md", "4.md"]),
    st.sampled_from([Revision("r"), Revision("s")]),
)
STATES = st.dictionaries(KEYS, REFS)


def key(entry_id: str, kb_name: str = "a") -> EntryKey:
    return EntryKey(KbName(kb_name), EntryId(entry_id))


def ref(path: str, revision: str = "r") -> EntryRef:
    return EntryRef(path, Revision(revision))


def moves(changes: list[Change]) -> dict[str, str]:
    """From → to, as `kb/id`; fails where the two do not name each other."""
    by_key = {change.key: change for change in changes}
    found = {}
    for change in changes:
        if change.moved_to is not None:
            assert by_key[change.moved_to].moved_from == change.key
            found[f"{change.key.kb_name}/{change.key.entry_id}"] = (
                f"{change.moved_to.kb_name}/{change.moved_to.entry_id}"
            )
    assert len(found) == len([change for change in changes if change.moved_from is not None])
    return found


@given(STATES, STATES)
def test_the_changes_lead_from_the_base_to_the_target(base: Entries, target: Entries) -> None:
    """`apply_changes(base, diff(base, target)) == target`, whatever the two are."""
    assert apply_changes(base, diff(base, target)) == target


@given(STATES, STATES, st.permutations(["a", "b"]))
def test_changes_are_facts_told_once_in_order(base: Entries, target: Entries, order: list[str]) -> None:
    """Only what differs, one change an id, per KB by path (the new one; for a deletion the old one)."""
    changes = diff(base, target, order)
    assert all(change.before != change.after for change in changes)
    assert len({change.key for change in changes}) == len(changes)
    told = [(order.index(change.key.kb_name), change.path) for change in changes]
    assert told == sorted(told)


@given(STATES, STATES)
def test_moves_are_pairs_of_one_that_left_and_one_that_came(base: Entries, target: Entries) -> None:
    """One to one, of equal revision or within one path; and no pair by revision is left unmade."""
    changes = diff(base, target)
    moves(changes)
    for change in changes:
        if change.moved_to is not None:
            before, after = base[change.key], target[change.moved_to]
            same_path = (change.key.kb_name, before.path) == (change.moved_to.kb_name, after.path)
            assert change.after is None
            assert before.revision == after.revision or same_path
    alone_left = {
        change.before.revision
        for change in changes
        if change.before and not (change.after or change.moved_to)
    }
    alone_came = {
        change.after.revision
        for change in changes
        if change.after and not (change.before or change.moved_from)
    }
    assert not alone_left & alone_came


def test_the_same_id_elsewhere_is_one_update() -> None:
    """Never a deletion and a creation."""
    base, target = {key("x"): ref("1.md")}, {key("x"): ref("2.md", "s")}
    assert diff(base, target) == [Change(key("x"), ref("1.md"), ref("2.md", "s"))]


def test_what_did_not_change_makes_nothing() -> None:
    """Equal path and revision: no fact."""
    assert diff({key("x"): ref("1.md")}, {key("x"): ref("1.md")}) == []


def test_pairs_of_equal_revision_are_tied_by_path() -> None:
    """Two copies left and two came: the smaller path goes to the smaller, whatever the ids."""
    base = {key("z"): ref("1.md"), key("a"): ref("2.md")}
    target = {key("m"): ref("8.md"), key("n"): ref("7.md")}
    assert moves(diff(base, target)) == {"a/z": "a/n", "a/a": "a/m"}


def test_of_three_that_left_one_moved() -> None:
    """One to one: the others are plain deletions."""
    base = {key("x"): ref("3.md"), key("y"): ref("1.md"), key("z"): ref("2.md")}
    assert moves(diff(base, {key("n"): ref("9.md")})) == {"a/y": "a/n"}


def test_the_own_kb_goes_before_another() -> None:
    """A copy that came elsewhere at the same time does not take the pair away."""
    base = {key("x"): ref("9.md")}
    target = {key("n", "b"): ref("1.md"), key("m", "a"): ref("9.md")}
    assert moves(diff(base, target, ["b", "a"])) == {"a/x": "a/m"}


def test_a_file_that_changed_its_kb_is_a_move() -> None:
    """Equal revision pairs across KBs; the id may stay the same or not."""
    changes = diff({key("x"): ref("1.md")}, {key("x", "b"): ref("1.md")})
    assert moves(changes) == {"a/x": "b/x"}
    assert [change.after is None for change in changes] == [True, False]


def test_an_id_changed_inside_its_file_is_paired_by_the_path() -> None:
    """The revision is another, the path the same: the departure is told first."""
    changes = diff({key("z"): ref("1.md")}, {key("a"): ref("1.md", "s")})
    assert moves(changes) == {"a/z": "a/a"}
    assert [change.key for change in changes] == [key("z"), key("a")]


def test_equal_paths_in_two_kbs_are_not_one_path() -> None:
    """Only a revision pairs across KBs."""
    assert moves(diff({key("x"): ref("1.md")}, {key("y", "b"): ref("1.md", "s")})) == {}


def test_revision_goes_before_path() -> None:
    """A rename and a new file under the old name: the content is what moved."""
    base = {key("x"): ref("1.md")}
    target = {key("y"): ref("2.md"), key("n"): ref("1.md", "s")}
    assert moves(diff(base, target)) == {"a/x": "a/y"}


def test_kbs_come_in_their_order_and_unnamed_ones_last() -> None:
    """The order is that of the command line."""
    target = {key("x", name): ref("1.md", name) for name in "abcd"}
    changes = diff({}, target, ["c", "b"])
    assert [change.key.kb_name for change in changes] == ["c", "b", "a", "d"]


def record_of(kb: FakeKb, path: str) -> FileRecord:
    kb.reconcile()
    return kb.records[path]


def test_a_good_file_emptied_is_a_problem() -> None:
    """The last good version stays."""
    record = record_of(FakeKb({"a.md": explicit("x")}), "a.md")
    file = on_disk("a.md", "", record)
    assert file.is_bad
    assert file.parsed is not None
    assert [problem.kind for problem in file.parsed.problems] == ["emptied"]


def test_an_empty_file_that_was_always_empty_is_an_entry() -> None:
    """Nothing was lost: a new one, and one that was empty when last good."""
    assert on_disk("a.md", "").content is not None
    record = record_of(FakeKb({"a.md": ""}), "a.md")
    assert record.good_revision == EMPTY_REVISION
    assert judge(on_disk("a.md", ""), record).content is not None


def test_front_matter_that_lost_its_end_is_a_problem() -> None:
    """A good file of which half is there yet."""
    record = record_of(FakeKb({"a.md": explicit("x", "body")}), "a.md")
    file = on_disk("a.md", "---\nid: x\n", record)
    assert file.parsed is not None
    assert [(problem.kind, problem.line) for problem in file.parsed.problems] == [("front_matter", 1)]


def test_an_unclosed_front_matter_that_was_never_closed_is_a_body() -> None:
    """New, or known as such: then all of it is text."""
    text = "---\nnot front matter\n"
    assert on_disk("a.md", text).content is not None
    record = record_of(FakeKb({"a.md": text}), "a.md")
    assert on_disk("a.md", text + "more", record).content is not None


def test_a_file_that_owns_nothing_has_nothing_to_lose() -> None:
    """A duplicate that is emptied becomes an entry with an id of its own."""
    kb = FakeKb({"a.md": explicit("x"), "b.md": explicit("x")})
    kb.reconcile()
    kb.files["b.md"] = ""
    kb.reconcile()
    assert kb.ids == {"a.md": "x", "b.md": "b"}


def test_a_refused_file_stays_refused_when_moved() -> None:
    """A bug: an emptied file under a new name was a new empty entry, and the last good version was gone."""
    kb = FakeKb({"a.md": explicit("x"), "b.md": explicit("y")})
    kb.reconcile()
    kb.files = {"a.md": "", "b.md": "---\nid: y\n"}
    kb.reconcile()
    kb.move("a.md", "n/a.md")
    kb.move("b.md", "n/b.md")
    plan = kb.reconcile()
    assert kb.ids == {"n/a.md": "x", "n/b.md": "y"}
    assert kb.problems == {"n/a.md": "emptied", "n/b.md": "front_matter"}
    assert {key.entry_id: ref.path for key, ref in plan.after.items()} == {"x": "n/a.md", "y": "n/b.md"}


def test_a_refused_file_that_is_moved_and_rewritten_is_new() -> None:
    """What was refused are other bytes: it carries on nothing, so there is nothing to refuse it for."""
    kb = FakeKb({"a.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = BAD
    kb.reconcile()
    kb.move("a.md", "b.md")
    kb.files["b.md"] = "---\nnever closed\n"
    kb.reconcile()
    assert kb.ids == {"b.md": "b"}
    assert kb.problems == {}


def test_a_new_empty_file_beside_a_removed_emptied_one_is_new() -> None:
    """Having no bytes in common proves nothing: it must be the very file."""
    kb = FakeKb({"a.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = ""
    kb.reconcile()
    kb.files = {"b.md": ""}
    kb.reconcile()
    assert kb.ids == {"b.md": "b"}


def test_a_plan_writes_only_what_differs() -> None:
    """A file whose bytes and state are as known costs no row."""
    kb = FakeKb({"a.md": explicit("x"), "b.md": explicit("y")})
    kb.reconcile()
    kb.files["b.md"] = explicit("y", "2")
    plan = kb.reconcile()
    assert list(plan.files) == ["b.md"]
    assert list(plan.entries) == ["y"]


def test_a_bad_file_keeps_its_entry_and_says_so() -> None:
    """No change, and a problem that tells that the last good version is kept."""
    kb = FakeKb({"a.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = BAD
    plan = kb.reconcile()
    assert plan.entries == {}
    assert plan.before == plan.after
    assert plan.problems["a.md"][0].message.endswith("(last good version kept)")


def test_a_bad_file_mended_to_what_it_was_is_no_change() -> None:
    """The problem clears, and nothing else happens."""
    kb = FakeKb({"a.md": explicit("x")})
    kb.reconcile()
    kb.files["a.md"] = BAD
    kb.reconcile()
    kb.files["a.md"] = explicit("x")
    plan = kb.reconcile()
    assert diff(plan.before, plan.after) == []
    assert plan.problems == {"a.md": ()}


def test_a_racy_file_is_read_again() -> None:
    """Its state is not remembered, so that the next look takes it for another."""
    plan = plan_kb(KbView("a", {}, {"a.md": on_disk("a.md", "text", racy=True)}))
    written = plan.files["a.md"]
    assert written is not None
    assert written.state is None


def test_unchanged_bytes_leave_the_problems_alone() -> None:
    """What was not parsed says nothing about them; but its new state is remembered."""
    kb = FakeKb({"a.md": BAD})
    kb.reconcile()
    kb.inodes["a.md"] = 7
    plan = kb.reconcile()
    assert list(plan.files) == ["a.md"]
    assert kb.problems == {"a.md": "yaml"}
    assert kb.records["a.md"].state == on_disk("a.md", BAD, inode=7).state


def test_an_id_that_a_duplicate_left_behind_is_deleted() -> None:
    """A file that changes its id to one that is taken is a problem; nothing has its old id."""
    kb = FakeKb({"a.md": explicit("x"), "b.md": titled("y")})
    kb.reconcile()
    kb.files["b.md"] = explicit("x")
    plan = kb.reconcile()
    assert plan.entries == {"y": None}
    assert kb.ids == {"a.md": "x", "b.md": None}
