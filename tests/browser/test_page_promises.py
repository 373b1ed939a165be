"""What the page promises, and which tests hold it to that, in a real browser over real files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent

PROMISES = {
    "1 an event touches only what it concerns, by KB and id": """
        page_entry::test_an_entry_of_the_same_id_in_another_kb_moves_nothing
        editor_conflicts::test_the_same_name_in_another_kb_moves_nothing
        page_lists::test_home_lists_the_kbs_and_follows_their_counts
        page_lists::test_the_newest_comes_first_and_a_title_follows
        page_entry::test_links_follow_what_they_lead_to
        page_entry::test_who_links_here_follows
    """,
    "1 the open entry is morphed in place; changed blocks are marked": """
        page_entry::test_a_change_leaves_scroll_focus_selection_and_open_details
        page_entry::test_a_change_above_the_screen_shifts_nothing_that_is_read
        page_entry::test_text_inside_the_changed_block_stays_selected
        page_entry::test_changed_blocks_are_marked_found_by_a_key_and_explained
    """,
    "2 text being typed is never lost": """
        editor_conflicts::test_a_change_on_disk_while_typing_asks_and_keeps_the_text
        editor_conflicts::test_keep_mine_saves_over_what_is_on_disk
        editor_conflicts::test_load_from_disk_can_be_undone
        editor_conflicts::test_compare_shows_both_texts
        editor_conflicts::test_a_save_that_the_event_has_not_reached_is_refused_and_asked
        editor_conflicts::test_a_file_that_is_deleted_while_typing_can_be_made_again
        editor_conflicts::test_a_renamed_file_is_followed
        editor_conflicts::test_an_entry_moved_to_another_kb_is_followed
        editor_drafts::test_a_crash_of_the_tab_keeps_the_draft
        editor_drafts::test_full_storage_is_told_and_loses_nothing
        editor_drafts::test_two_tabs_on_one_entry_keep_both_texts
        editor_saves::test_a_server_that_is_gone_keeps_the_text
        editor_saves::test_a_change_while_the_server_was_killed_is_found
        editor_saves::test_a_new_epoch_looks_again
        editor_saves::test_a_root_that_vanishes_keeps_the_text
    """,
    "3 one's own save is no change elsewhere; deleted stays readable; moved updates the address": """
        editor_saves::test_the_event_of_a_save_may_overtake_its_answer
        editor_saves::test_a_save_by_key_goes_on_typing
        page_entry::test_a_deleted_entry_stays_readable_and_comes_back
        page_entry::test_a_moved_file_keeps_the_entry
        page_entry::test_a_renamed_entry_gets_its_new_address
    """,
    "4 a storm is one line and one announcement; at most three toasts": """
        page_live::test_a_storm_is_one_line_and_one_announcement
        page_lists::test_a_checkout_of_300_files_is_one_line_and_the_list_is_true
        keyboard_page::test_at_most_three_toasts_and_faults_stay
    """,
    "5 after sleep or a restart what changed is listed, or it says that it was reloaded": """
        page_live::test_a_restart_lists_what_changed_meanwhile
        page_live::test_a_new_epoch_is_told_and_everything_is_true_again
        page_live::test_a_short_break_shows_no_banner
        page_lists::test_a_kb_that_is_served_no_more_leaves_its_list
        page_live::test_a_server_that_is_gone_leaves_what_is_shown
        live_network::test_after_sleep_it_looks_at_once
        live_shared::test_a_frozen_tab_holds_nobody_up_and_misses_nothing
    """,
    "6 pause holds and counts; a hidden tab counts in its title": """
        page_live::test_pause_holds_and_counts_and_resume_merges
        page_store::test_pause_holds_a_storm_that_is_under_way
        page_store::test_too_much_to_merge_is_dropped_and_loaded_by_resume
        page_live::test_a_hidden_tab_counts_in_its_title
        page_live::test_a_hidden_tab_counts_also_what_is_held_or_replayed
    """,
    "7 accessible": """
        page_look::test_axe_finds_nothing_in_any_view
        page_look::test_axe_finds_nothing_while_one_works
        page_look::test_less_motion_means_none
        page_look::test_all_can_be_reached_by_keys
        page_look::test_an_event_never_moves_the_focus
        page_entry::test_what_goes_with_an_entry_hands_its_focus_on
        page_rows::test_a_line_of_activity_that_goes_leaves_the_focus_in_the_list
        page_marks::test_a_bar_that_goes_hands_its_focus_on
        page_marks::test_a_difference_is_read_and_gives_the_focus_back
        keyboard_page::test_a_toast_with_the_focus_makes_no_room
        keyboard_page::test_e_edits_and_typing_is_typing
        keyboard_page::test_the_help_is_a_dialog
        keyboard_page::test_the_search_key_types_no_slash
    """,
    "8 fast (figures.py measures it)": """
        page_lists::test_ten_thousand_entries_scroll_filter_and_sort
        page_size::test_a_first_view_is_small
    """,
    "shows: KBs, entries, an entry, search, activity, problems, one status in words": """
        page_lists::test_home_lists_the_kbs_and_follows_their_counts
        page_lists::test_activity_tells_what_where_when_and_by_whom
        page_lists::test_search_finds_marks_and_follows
        page_rows::test_a_day_later_times_are_told_by_their_day
        page_lists::test_problems_are_listed_and_go_when_mended
        page_late::test_problems_that_are_not_known_are_not_denied
        page_late::test_only_what_the_server_knows_to_be_gone_is_called_deleted
        page_entry::test_an_entry_is_shown_with_what_belongs_to_it
        page_live::test_a_first_index_shows_its_progress
    """,
    "one socket for all tabs; another version, a plain name, a proxy, https": """
        live_shared::test_two_tabs_share_one_socket
        live_shared::test_a_tab_without_workers_has_a_socket_of_its_own
        live_shared::test_a_worker_of_another_version_is_not_joined
        live_shared::test_a_crash_of_a_tab_leaves_the_others_going
        live_network::test_silence_is_noticed
        page_live::test_a_newer_server_is_offered_not_imposed
        page_live::test_a_newer_server_is_not_offered_while_one_types
        page_live::test_a_server_that_is_newer_from_the_start_is_told
        page_proxy::test_everything_works_on_https_below_a_path
        page_proxy::test_a_plain_name_is_no_secure_context_and_works_all_the_same
    """,
    "bad input has a decent view": """
        page_entry::test_hostile_html_does_nothing
        page_entry::test_hostile_names_are_text
        page_entry::test_an_entry_of_2_mb_is_shown_and_followed
        page_entry::test_ten_thousand_headings_are_shown_and_followed
        page_entry::test_right_to_left_text_runs_right_to_left
        page_entry::test_broken_front_matter_is_shown_with_the_last_good_version
        page_lists::test_an_unknown_address_has_a_view
    """,
}


@pytest.mark.parametrize("promise", PROMISES)
def test_every_promise_has_its_tests(promise: str) -> None:
    """Each that is named here is there."""
    for name in PROMISES[promise].split():
        file, _, test = name.partition("::")
        assert re.search(rf"^def {test}\(", (HERE / f"test_{file}.py").read_text(), re.MULTILINE), name
