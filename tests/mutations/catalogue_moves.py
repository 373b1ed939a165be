"""Moves and heirs, as `catalogue` has them: which missing file is which other, and who has its id next."""

from __future__ import annotations

from mutations.mutation import Mutation

HARD = "tests/hard_cases"
HEIR_TESTS = "tests/reconcile/test_heirs.py"
HEIRS = f"{HEIR_TESTS}::test_an_heir_that_is_being_written"

MOVE_MUTATIONS = (
    Mutation(
        "moved-wait",
        "a copy is a move only when the original stays away",
        "pyrite_watch/index/missing.py",
        "        for dirty in settler.wait_missing(unexplained, now_s, seen_s):\n",
        "        for dirty in unexplained:\n",
        ("tests/reconcile/test_moves.py::test_a_file_that_comes_back_was_not_moved",),
    ),
    Mutation(
        "moved-owner",
        "the owner of a claimed id may come back",
        "pyrite_watch/index/missing.py",
        "        if looked is None or isinstance(looked, Folder):\n",
        "        if False:\n",
        ("tests/reconcile/test_moves.py::test_a_file_that_comes_back_was_not_moved",),
    ),
    Mutation(
        "moved-together",
        "what may be a missing file waits with it",
        "pyrite_watch/index/missing.py",
        "            del kb.disk[path]\n",
        "",
        ("tests/reconcile/test_moves.py::test_a_copy_whose_original_stays_away_is_a_move",),
    ),
    Mutation(
        "gone-not-held",
        "what is known to be gone is told with its newcomer, whoever else may come back",
        "pyrite_watch/index/missing.py",
        " and gone.due_of(kb, path) is None:\n",
        ":\n",
        ("tests/reconcile/test_moves.py::test_a_renamed_file_is_not_taken_for_another_of_its_content",),
    ),
    Mutation(
        "reused-inode",
        "an inode alone does not name a file",
        "pyrite_watch/index/owners.py",
        "(self.state.device, self.state.inode, self.state.mtime_ns)",
        "(self.state.device, self.state.inode, 0)",
        ("tests/reconcile/test_moves.py::test_a_new_file_with_the_inode_of_a_missing_one_is_no_rename",),
    ),
    Mutation(
        "renamed-file",
        "a renamed file is known, and waits for nothing",
        "pyrite_watch/index/missing.py",
        "            if record.entry_id is not None and record.identity in newcomers:\n",
        "            if False:\n",
        (
            "tests/reconcile/test_moves.py::test_a_renamed_file_without_an_id_is_a_move_also_over_two_turns",
            "tests/reconcile/test_moves.py::test_a_renamed_file_is_told_at_once",
        ),
    ),
    Mutation(
        "moved-folder",
        "a folder that is moved into a new one is watched anew",
        "pyrite_watch/disk/watch.py",
        "            is_deaf = moved.note(came, went, time.monotonic())\n",
        "            is_deaf = False\n",
        (f"{HARD}/test_folders.py::test_folders_moved_into_new_ones_are_heard",),
    ),
    Mutation(
        "rules-hold-missing",
        "a missing file waits while the rules file is away, too",
        "pyrite_watch/index/missing.py",
        """            if kb.rules.is_unfinished and (whole := """,
        """            if False and (whole := """,
        ("tests/reconcile/test_saves.py", "tests/reconcile/test_moves.py"),
    ),
    Mutation(
        "heir-look",
        "who waits for an id is looked at when its owner goes",
        "pyrite_watch/reconciler.py",
        "                    look_at_heirs(self.store.connection, gatherer, settler, gather)\n",
        "                    pass\n",
        (f"{HEIRS}_when_the_owner_goes_takes_over",),
    ),
    Mutation(
        "heir-missing",
        "a missing file waits for the heir that is being written",
        "pyrite_watch/index/missing.py",
        "            if entry_id is not None and entry_id in heirs:\n",
        "            if False:\n",
        (
            f"{HEIRS}_when_the_owner_goes_takes_over",
            f"{HEIR_TESTS}::test_an_heir_that_is_cut_when_the_owner_goes_takes_over",
        ),
    ),
    Mutation(
        "heir-id",
        "another id waits for the heir that is being written",
        "pyrite_watch/reconciler.py",
        "                hold_for_heirs(settler, gathers, now_s)\n",
        "                pass\n",
        (f"{HEIRS}_when_the_owner_takes_another_id_takes_over",),
    ),
    Mutation(
        "heir-edit",
        "an edit of the owner waits for nobody",
        "pyrite_watch/index/heirs.py",
        "        held = due.keys() & freed_ids(kb) if due else set()\n",
        "        held = due.keys()\n",
        (f"{HEIRS}_when_the_owner_takes_another_id_takes_over",),
    ),
)
