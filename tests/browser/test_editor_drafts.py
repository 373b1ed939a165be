"""Drafts: what was typed outlives the tab, the storage's refusal, and another tab on the same entry."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from harness.fixtures import make_small_kb
from harness.wait import eventually
from playwright.sync_api import Dialog, Error, Page, expect

from browser.browser import SERVER_GONE, Pages, Watch
from browser.editing import (
    FULL,
    TYPED,
    await_draft,
    await_saved,
    body_of,
    drafts_in,
    expect_conflict,
    expect_no_conflict,
    open_editor,
    press,
    type_text,
)

DENIED = """Object.defineProperty(window, 'localStorage', {
  get() { throw new DOMException('denied', 'SecurityError') } });"""


def crash(page: Page) -> None:
    """End the tab's process as a fault in it would."""
    with page.expect_event("crash"), contextlib.suppress(Error):
        page.goto("chrome://crash")
    page.close()


def test_a_crash_of_the_tab_keeps_the_draft(watch: Watch, open_page: Pages) -> None:
    """The tab's process dies while somebody types: the next tab offers the text, and saves it."""
    open_page.expect_complaint("a tab crashed")
    page = open_editor(open_page)
    type_text(page)
    await_draft(page)
    crash(page)
    page = open_editor(open_page)
    expect(page.get_by_role("form").get_by_text("There is an unsaved draft from")).to_be_visible()
    assert body_of(page) == "Text 1."
    press(page, "Restore draft")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    expect_no_conflict(page)
    press(page, "Save")
    await_saved(watch.kb / "entry-1.md", TYPED)
    eventually(lambda: not drafts_in(page))


def test_a_draft_of_an_older_revision_is_a_conflict(watch: Watch, open_page: Pages) -> None:
    """Restored after the file changed, a draft asks before it is saved over what is there."""
    page = open_editor(open_page)
    type_text(page)
    await_draft(page)
    page.close()
    watch.write("entry-1", "Changed meanwhile.")
    eventually(lambda: watch.api.entry("small", "entry-1")["body"] == "Changed meanwhile.")
    page = open_editor(open_page)
    assert body_of(page) == "Changed meanwhile."
    press(page, "Restore draft")
    expect_conflict(page)
    assert body_of(page) == "Text 1." + TYPED
    assert "Changed meanwhile." in (watch.kb / "entry-1.md").read_text(encoding="utf-8")
    press(page, "Keep mine")
    await_saved(watch.kb / "entry-1.md", TYPED)


def test_cancel_keeps_a_draft_and_discard_drops_it(watch: Watch, open_page: Pages) -> None:
    """Cancel asks nothing and writes nothing; the draft goes only when it is discarded in so many words."""
    page = open_editor(open_page)
    type_text(page)
    press(page, "Cancel")
    expect(page.get_by_label("Body", exact=True)).to_have_count(0)
    await_draft(page)
    assert TYPED not in (watch.kb / "entry-1.md").read_text(encoding="utf-8")
    press(page, "Edit")
    press(page, "Restore draft")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    press(page, "Cancel")
    press(page, "Edit")
    press(page, "Discard draft")
    eventually(lambda: not drafts_in(page))
    assert body_of(page) == "Text 1."


def test_restoring_over_typed_text_loses_neither(watch: Watch, open_page: Pages) -> None:
    """What was typed before Restore is pressed stays as a draft of its own."""
    page = open_editor(open_page)
    type_text(page)
    await_draft(page)
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("Live")
    press(page, "Edit")
    expect(page.get_by_role("button", name="Restore draft")).to_be_visible()
    type_text(page, " Second thought.")
    press(page, "Restore draft")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    await_draft(page, " Second thought.")
    await_draft(page)


def test_full_storage_is_told_and_loses_nothing(watch: Watch, open_page: Pages) -> None:
    """Where storage is full the page says so, closing asks, and the text is saved all the same."""
    page = open_page(goto=False)
    page.add_init_script(FULL)
    page = open_editor(open_page, page=page)
    type_text(page)
    expect(page.get_by_text("This draft lives only in this tab")).to_be_visible()
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.close(run_before_unload=True)
    eventually(lambda: page.evaluate("1") and asked == ["beforeunload"])
    # Through the page and back: this tab's memory has it.
    press(page, "Cancel")
    press(page, "Edit")
    press(page, "Restore draft")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    press(page, "Save")
    await_saved(watch.kb / "entry-1.md", TYPED)
    expect(page.get_by_label("Body", exact=True)).to_have_count(0)
    with page.expect_event("close"):  # nothing to ask about any more
        page.close(run_before_unload=True)


def test_denied_storage_is_told_and_loses_nothing(watch: Watch, open_page: Pages) -> None:
    """Where the browser denies its storage, the editor works, and says that the draft is in this tab only."""
    page = open_page(goto=False)
    page.add_init_script(DENIED)
    page = open_editor(open_page, page=page)
    type_text(page)
    expect(page.get_by_text("This draft lives only in this tab")).to_be_visible()
    watch.write("entry-1", "From the disk.")
    expect_conflict(page)
    press(page, "Load from disk")
    press(page, "Undo")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    press(page, "Keep mine")
    await_saved(watch.kb / "entry-1.md", TYPED)


def test_two_tabs_on_one_entry_keep_both_texts(watch: Watch, open_page: Pages) -> None:
    """Either tab warns, keeps its own draft, and the later save asks before it writes over the earlier."""
    one, two = open_editor(open_page), open_editor(open_page)
    type_text(one, " From tab one.")
    type_text(two, " From tab two.")
    for page in (one, two):
        expect(page.get_by_role("form").get_by_text("being edited in another tab")).to_be_visible()
    await_draft(one, "From tab one.")
    await_draft(one, "From tab two.")
    press(one, "Save")
    await_saved(watch.kb / "entry-1.md", "From tab one.")
    expect_conflict(two)
    assert body_of(two) == "Text 1. From tab two."
    assert any("tab two" in draft for draft in drafts_in(two))
    press(two, "Keep mine")
    await_saved(watch.kb / "entry-1.md", "From tab two.")


def test_a_draft_that_another_tab_types_is_not_offered(watch: Watch, open_page: Pages) -> None:
    """A second tab says that the entry is being edited, and does not take the first one's text away."""
    one = open_editor(open_page)
    type_text(one)
    await_draft(one)
    two = open_editor(open_page)
    expect(two.get_by_role("form").get_by_text("being edited in another tab")).to_be_visible()
    expect(two.get_by_role("button", name="Restore draft")).to_have_count(0)
    one.close()
    two.reload()
    expect(two.get_by_role("status")).to_contain_text(re.compile("Live"))
    press(two, "Edit")
    expect(two.get_by_role("button", name="Restore draft")).to_be_visible()


def test_typing_back_to_what_was_there_is_no_draft(watch: Watch, open_page: Pages) -> None:
    """Text that equals the file's again leaves nothing behind."""
    page = open_editor(open_page)
    type_text(page, "x")
    await_draft(page, "Text 1.x")
    page.keyboard.press("Backspace")
    eventually(lambda: not drafts_in(page))
    press(page, "Cancel")
    expect(page.get_by_text("Your text is kept")).to_have_count(0)


def test_drafts_belong_to_kb_and_id(watch: Watch, open_page: Pages) -> None:
    """A draft of one entry is not offered for another."""
    page = open_editor(open_page)
    type_text(page)
    await_draft(page)
    page = open_editor(open_page, "/k/small/entry-2")
    assert body_of(page) == "Text 2."
    type_text(page, "!")
    await_draft(page, "Text 2.!")
    expect(page.get_by_role("button", name="Restore draft")).to_have_count(0)


def test_a_draft_of_a_deleted_entry_is_offered(watch: Watch, open_page: Pages) -> None:
    """Bug: Edit was hidden with the file, so the text could be reached no more. Also in a new tab, whose home
    view tells of it; and a look at it without typing keeps no draft of nothing."""
    open_page.expect_complaint("404")
    page = open_editor(open_page)
    type_text(page)
    press(page, "Cancel")
    await_draft(page)
    (watch.kb / "entry-1.md").unlink()
    expect(page.locator("article .notice").first).to_contain_text("An unsaved draft of it is kept")
    page.goto(f"{watch.url}/")
    expect(page.locator("main .notice")).to_contain_text(
        "Unsaved drafts of entries that are gone: small / entry-1"
    )
    page.locator("main .notice a").click()
    expect(page.locator("article .notice").first).to_contain_text("There is no entry")
    press(page, "Edit")
    expect(page.get_by_role("button", name="Restore draft")).to_be_visible()
    press(page, "Cancel")
    assert len(drafts_in(page)) == 1
    press(page, "Edit")
    press(page, "Restore draft")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    page.get_by_label("Title", exact=True).fill("Again")
    press(page, "Keep mine")
    await_saved(watch.kb / "entry-1.md", TYPED)


def test_a_draft_follows_an_entry_that_is_renamed(watch: Watch, open_page: Pages) -> None:
    """Bug: it stayed under the old id, where nobody looks."""
    page = open_editor(open_page)
    type_text(page)
    press(page, "Cancel")
    await_draft(page)
    file = watch.kb / "entry-1.md"
    file.write_text(file.read_text(encoding="utf-8").replace("id: entry-1", "id: renamed"), encoding="utf-8")
    expect(page.locator("article")).to_have_attribute("data-id", "renamed")
    press(page, "Edit")
    press(page, "Restore draft")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)


def test_a_draft_of_a_kb_that_is_not_served_is_offered(watch: Watch, open_page: Pages, home: Path) -> None:
    """Bug: home led to it, and Edit showed a refusal in place of the text. A save is refused in words, until
    the knowledge base is back."""
    open_page.expect_complaint("404")
    open_page.expect_complaint(SERVER_GONE)
    page = open_editor(open_page)
    type_text(page)
    press(page, "Cancel")
    await_draft(page)
    page.close()
    watch.stop()
    served = watch.roots
    watch.roots = (make_small_kb(home / "notes" / "other"),)
    watch.start()
    page = open_page("/")
    page.locator("main .notice a", has_text="small / entry-1").click()
    expect(page.locator("article .notice").first).to_contain_text("An unsaved draft of it is kept")
    press(page, "Edit")
    form = page.get_by_role("form")
    expect(form.get_by_text("There is no knowledge base 'small'.")).to_be_visible()
    press(page, "Restore draft")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    press(page, "Save")
    expect(form.get_by_text("Not saved: There is no knowledge base 'small'.")).to_be_visible()
    await_draft(page)
    watch.stop()
    watch.roots = served
    watch.start()
    press(page, "Keep mine")
    assert "title: Title of entry-1" in await_saved(watch.kb / "entry-1.md", "Text 1." + TYPED)


def test_a_draft_of_a_deleted_entry_is_listed_where_storage_is_denied(watch: Watch, open_page: Pages) -> None:
    """Bug: home looked for drafts in the storage, and when that was denied no more in the tab's memory."""
    open_page.expect_complaint("404")
    page = open_page(goto=False)
    page.add_init_script(DENIED)
    page = open_editor(open_page, page=page)
    type_text(page)
    press(page, "Cancel")
    (watch.kb / "entry-1.md").unlink()
    expect(page.locator("article .notice").first).to_contain_text("An unsaved draft of it is kept")
    page.locator(".crumbs a", has_text="Knowledge bases").click()
    expect(page.locator("main .notice")).to_contain_text("small / entry-1")


def test_what_is_set_aside_in_a_full_storage_keeps_its_stored_copy(watch: Watch, open_page: Pages) -> None:
    """Bug: with no room for a second copy, the only one that outlives the tab went with "Load from disk"."""
    page = open_editor(open_page)
    type_text(page)
    press(page, "Cancel")
    await_draft(page)
    watch.write("entry-1", "From the disk.")
    expect(page.locator("article .body")).to_have_text("From the disk.")
    page.evaluate(f"{FULL} 0")  # a function that is all of it would be called
    press(page, "Edit")
    press(page, "Restore draft")
    expect_conflict(page)
    press(page, "Load from disk")
    watch.write("entry-1", "Later.")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Later.")
    assert any(TYPED in draft for draft in drafts_in(page))
    page.close()
    page = open_editor(open_page)
    press(page, "Restore draft")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)


def test_without_locks_a_draft_that_is_being_typed_stays(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], small_kb: Path
) -> None:
    """A tab on a plain name cannot know that another is typing the draft which it takes or discards: that tab
    keeps its text again."""
    watch = serve(small_kb, options=["--allow-host", "notes.test"])
    open_page = pages_of(watch.url.replace("127.0.0.1", "notes.test"))
    one = open_editor(open_page)
    assert one.evaluate("!navigator.locks")
    type_text(one)
    await_draft(one)
    two = open_editor(open_page)
    press(two, "Restore draft")
    expect(two.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    eventually(lambda: len(drafts_in(one)) == 2, what="a draft of either tab")
    type_text(two, " From two.")
    press(two, "Save")
    await_saved(watch.kb / "entry-1.md", TYPED + " From two.")
    expect_conflict(one)
    assert body_of(one) == "Text 1." + TYPED
    await_draft(one)
