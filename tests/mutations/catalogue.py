"""One small change a mechanism, each of which takes it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutation:
    """A text of a product file, what stands in its place, and the tests of which one must fail."""

    name: str
    takes_out: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, copy: Path) -> Callable[[], object]:
        """Change it in a copy of the repository; what is returned undoes that."""
        path = copy / self.file
        source = path.read_text("utf-8")
        assert source.count(self.old) == 1, f"{self.name}: its text is not in {self.file} exactly once"
        path.write_text(source.replace(self.old, self.new), "utf-8")
        return lambda: path.write_text(source, "utf-8")


HARD = "tests/hard_cases"

MUTATIONS = (
    Mutation(
        "missing-wait",
        "a missing file gets time to come back",
        "pyrite_watch/disk/settle.py",
        "        return min(max(newest_s, since_s) + self.settle_s, since_s + MISSING_MAX_S)\n",
        "        return since_s\n",
        (
            f"{HARD}/test_saves.py::test_file_that_comes_back_was_never_deleted"
            "[new bytes-after 60 ms-in place]",
        ),
    ),
    Mutation(
        "incomplete-wait",
        "an unfinished file gets time for its end",
        "pyrite_watch/disk/settle.py",
        "        if now_s >= deadline:\n            return False\n",
        "        return False\n",
        (f"{HARD}/test_saves.py::test_file_that_is_empty_for_a_while_is_told_once",),
    ),
    Mutation(
        "lease",
        "a file that is open for writing is not told",
        "pyrite_watch/disk/read.py",
        "            writing = is_open_for_writing(descriptor) is True\n",
        "            writing = False\n",
        (f"{HARD}/test_saves.py::test_file_written_in_two_is_told_whole",),
    ),
    Mutation(
        "second-look",
        "a new folder is looked at again",
        "pyrite_watch/index/gather.py",
        "                self._settler.look_again(kb.kb_name, path, self._now_s, FOLDER_LOOKS_S)\n",
        "                pass\n",
        (f"{HARD}/test_folders.py", "tests/reconcile"),
    ),
    Mutation(
        "parents",
        "the roots' parents are watched",
        "pyrite_watch/disk/watch.py",
        '                ("parents", parents, PARENT_STEP_MS, False),\n',
        '                ("parents", (), PARENT_STEP_MS, False),\n',
        (f"{HARD}/test_roots.py::test_a_root_that_is_made_anew_is_noticed_before_any_sweep_or_look",),
    ),
    Mutation(
        "loop-gap",
        "a suspension puts the watcher in doubt",
        "pyrite_watch/disk/watch.py",
        "        if gap_s > GAP_S and not self._flag.is_set():\n",
        "        if False:\n",
        (f"{HARD}/test_recovery.py::test_a_suspended_process_tells_what_overflowed_meanwhile",),
    ),
    Mutation(
        "huge-batch",
        "a huge batch puts the watcher in doubt",
        "pyrite_watch/disk/watch.py",
        "            if len(changes) >= HUGE_BATCH:\n",
        "            if False:\n",
        (f"{HARD}/test_recovery.py::test_a_huge_batch_may_be_what_is_left_of_an_overflow",),
    ),
    Mutation(
        "watcher-exception",
        "a watcher that ends by an error puts itself in doubt",
        "pyrite_watch/disk/watch.py",
        "                if not self._flag.is_set():\n                    log.debug",
        "                if False:\n                    log.debug",
        (
            "tests/disk/test_watch.py",
            f"{HARD}/test_recovery.py::test_a_name_that_kills_the_watcher_is_survived",
        ),
    ),
    Mutation(
        "inotify-limit",
        "what cannot be watched is polled",
        "pyrite_watch/watching.py",
        "    polled = mode.polled | deaf if watcher is not None else frozenset(kb.name for kb in kbs)\n",
        "    polled = mode.polled\n",
        (
            "tests/disk/test_watch.py::test_past_the_limit_everything_is_swept",
            f"{HARD}/test_recovery.py::test_past_the_inotify_limit_it_sweeps_and_says_what_to_type",
        ),
    ),
    Mutation(
        "only-the-deaf",
        "beside a KB that cannot be watched the others still are",
        "pyrite_watch/watching.py",
        "    if any(able):\n",
        "    if all(able):\n",
        (f"{HARD}/test_recovery.py::test_an_unreadable_folder_makes_only_its_own_kb_polled",),
    ),
    Mutation(
        "polling",
        "network and virtual file systems are polled",
        "pyrite_watch/watching.py",
        "    polled = {name: fs_type for name, fs_type in types.items() if fs_type is not None}\n",
        "    polled = {name: fs_type for name, fs_type in types.items() if fs_type is None and fs_type}\n",
        (
            "tests/test_watching.py",
            f"{HARD}/test_polling.py::test_a_virtual_file_system_is_polled_by_itself_and_the_rest_is_not",
        ),
    ),
    Mutation(
        "forced-polling",
        "a poll comes as often as was asked for",
        "pyrite_watch/pipeline.py",
        "            pause_s = max(self.mode.poll_s, POLL_FACTOR * duration_s)\n",
        "            pause_s = 30.0\n",
        (f"{HARD}/test_polling.py::test_two_saves_within_one_second_are_both_seen",),
    ),
    Mutation(
        "links-one-by-one",
        "beside a link to a folder the folders are watched one by one",
        "pyrite_watch/disk/folders.py",
        "                as_a_whole = as_a_whole and not os.path.isdir(entry.path)\n",
        "                pass\n",
        (f"{HARD}/test_links_and_rights.py::test_no_folder_outside_is_watched",),
    ),
    Mutation(
        "new-folder",
        "a new folder that is not watched gets a new watcher",
        "pyrite_watch/disk/watch.py",
        "            if any(one_by_one or not _is_whole(path) for path in new):\n",
        "            if False:\n",
        (f"{HARD}/test_links_and_rights.py::test_new_folders_beside_links",),
    ),
    Mutation(
        "new-folder-at-once",
        "a new folder puts nothing in doubt: its watcher does not wait",
        "pyrite_watch/pipeline.py",
        "            if trouble.is_new_folder:\n",
        "            if False:\n",
        (f"{HARD}/test_links_and_rights.py::test_new_folders_again_and_again",),
    ),
    Mutation(
        "capture-signals",
        "a signal ends the server between two ticks",
        "pyrite_watch/cli/server.py",
        "        yield\n",
        "        with super().capture_signals():\n            yield\n",
        ("tests/cli/test_server.py::test_a_signal_ends_it_between_two_ticks",),
    ),
    Mutation(
        "sweep-after-rebuild",
        "a new watcher is followed by a sweep",
        "pyrite_watch/pipeline.py",
        "            self._watching.rebuild(self._kbs_by_claim())\n            self._sweep(is_check=False)\n",
        "            self._watching.rebuild(self._kbs_by_claim())\n",
        (f"{HARD}/test_recovery.py::test_what_happens_while_the_watcher_is_made_anew_is_not_lost",),
    ),
    Mutation(
        "periodic-sweep",
        "what no notification tells is found by the sweep",
        "pyrite_watch/pipeline.py",
        "            self._sweep(is_check=True)\n",
        "            self._plan_sweep(1.0)\n",
        (f"{HARD}/test_times.py::test_write_through_a_map_is_told_within_a_sweep",),
    ),
    Mutation(
        "ctime",
        "the state of a file holds its ctime",
        "pyrite_watch/disk/read.py",
        "    return FileState(status.st_mtime_ns, status.st_ctime_ns, ",
        "    return FileState(status.st_mtime_ns, 0, ",
        (f"{HARD}/test_times.py::test_restored_time_is_found_without_notification",),
    ),
    Mutation(
        "racy",
        "a file that was written just now is not remembered by its state",
        "pyrite_watch/disk/read.py",
        "    return state.ctime_ns > read_ns - RACY_NS\n",
        "    return False\n",
        ("tests/disk/test_read.py", "tests/reconcile"),
    ),
    Mutation(
        "root-identity",
        "another folder that is empty is not the root",
        "pyrite_watch/disk/root.py",
        "            if other and next(listing, None) is None:\n",
        "            if False:\n",
        (f"{HARD}/test_roots.py::test_a_root_goes_and_comes_back", "tests/disk/test_root.py"),
    ),
    Mutation(
        "git-hold",
        "git's lock holds a KB's changes",
        "pyrite_watch/disk/git.py",
        "        return now_s - self._held_since_s < LOCK_MAX_S\n",
        "        return False\n",
        (f"{HARD}/test_git.py::test_git_rewrites_400_files", "tests/disk/test_git.py"),
    ),
    Mutation(
        "git-cap",
        "a lock that stays holds nothing for long",
        "pyrite_watch/disk/git.py",
        "        if now_s - self._first_seen_s >= LOCK_MAX_S:\n            return False\n",
        "",
        ("tests/disk/test_git.py",),
    ),
    Mutation(
        "owner",
        "who owns an id keeps it",
        "pyrite_watch/index/owners.py",
        "    if record.entry_id == claim and (explicit or not view.fresh):\n        return True\n",
        "    if record.entry_id == claim and explicit:\n        return False\n",
        (f"{HARD}/test_duplicates.py", "tests/index/test_owners.py"),
    ),
    Mutation(
        "pairing",
        "an id that left and one that came are paired",
        "pyrite_watch/index/reconcile.py",
        "    if not left or not came:\n        return changes\n",
        "    return changes\n",
        (f"{HARD}/test_folders.py::test_folder_moved_to_another_kb",),
    ),
    Mutation(
        "last-good",
        "a good version stays when the file turns bad",
        "pyrite_watch/index/owners.py",
        "                own(path, record.entry_id)\n            elif file.is_bad",
        "                pass\n            elif file.is_bad",
        ("tests/index/test_owners.py", "tests/index/test_reconcile.py", f"{HARD}/test_bad_files.py"),
    ),
    Mutation(
        "last-rules",
        "ignore rules that cannot be read hold on",
        "pyrite_watch/disk/ignore.py",
        "            return None if last is None else last._own\n",
        "            return None\n",
        (f"{HARD}/test_ignore_rules.py",),
    ),
    Mutation(
        "deferred",
        "a sync does not tell a half",
        "pyrite_watch/index/gather.py",
        "        if self._settler is None and is_open and file.parsed is not None:\n",
        "        if False:\n",
        ("tests/property/test_found.py",),
    ),
    Mutation(
        "moved-wait",
        "a copy is a move only when the original stays away",
        "pyrite_watch/disk/settle.py",
        "        due_s = since_s + MOVED_S\n        if due_s <= now_s:\n            return None\n",
        "        return None\n",
        ("tests/reconcile/test_saves.py::test_a_file_that_comes_back_was_not_moved",),
    ),
    Mutation(
        "moved-owner",
        "the owner of a claimed id may come back",
        "pyrite_watch/index/missing.py",
        "        if looked is None or isinstance(looked, Folder):\n",
        "        if False:\n",
        ("tests/reconcile/test_saves.py::test_a_file_that_comes_back_was_not_moved",),
    ),
    Mutation(
        "moved-together",
        "what explains a missing file waits with it",
        "pyrite_watch/index/missing.py",
        "            del kb.disk[path]\n",
        "",
        ("tests/reconcile/test_saves.py::test_a_copy_whose_original_stays_away_is_a_move",),
    ),
    Mutation(
        "renamed-inode",
        "a renamed file is known by its inode, and waits for nothing",
        "pyrite_watch/index/missing.py",
        "            elif record.inode in inodes or (due_s",
        "            elif (due_s",
        (
            "tests/reconcile/test_saves.py::test_a_renamed_file_without_an_id_is_a_move_also_over_two_turns",
            "tests/reconcile/test_saves.py::test_a_renamed_file_is_told_at_once",
        ),
    ),
    Mutation(
        "leftovers",
        "what a crash left of a write is removed",
        "pyrite_watch/pipeline.py",
        "            self._remove_leftovers()\n            self._watching.start",
        "            self._watching.start",
        ("tests/writing/test_crash_while_writing.py", "tests/crash/test_crash.py"),
    ),
    Mutation(
        "running-mark",
        "a lost tail begins a new epoch",
        "pyrite_watch/index/log.py",
        "    lost = row is not None and (not boot or row[0] != boot)\n",
        "    lost = False\n",
        ("tests/index/test_event_log.py", "tests/crash/test_power_cut.py"),
    ),
    Mutation(
        "automerge",
        "no commit of a save merges the full text",
        "pyrite_watch/index/schema.py",
        "VALUES ('automerge', 0)",
        "VALUES ('automerge', 4)",
        ("tests/index/test_upkeep.py",),
    ),
    Mutation(
        "newest-kept",
        "compaction keeps the newest event of each entry",
        "pyrite_watch/index/log.py",
        " AND new.offset > event.offset)",
        " AND new.offset >= event.offset)",
        ("tests/index/test_compaction.py",),
    ),
    Mutation(
        "skip-known",
        "a reader that joined is not told again what its replay had",
        "pyrite_watch/live/subscriber.py",
        "        is_new = frame.offset is None or frame.offset > self.skip_until\n",
        "        is_new = True\n",
        ("tests/live",),
    ),
    Mutation(
        "full-socket",
        "nothing goes past what waits in a transport's buffer",
        "pyrite_watch/live/hub.py",
        "        sink.on_full = lambda: self._leave_current(subscriber)\n",
        "        sink.on_full = lambda: None\n",
        ("tests/live/test_feeding.py",),
    ),
    Mutation(
        "cut-off",
        "who falls off the log is cut off",
        "pyrite_watch/live/hub.py",
        "        if self._log.start != start:\n            self._cut_off_slow()\n",
        "",
        ("tests/live",),
    ),
)
"""In the order of a change's way: settle, look, watch, decide, commit, tell."""
