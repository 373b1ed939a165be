"""Saves that are answered when the reader is elsewhere, or the entry is."""

from __future__ import annotations

import re

from harness.wait import eventually
from playwright.sync_api import Page, Route, expect

from browser.browser import Pages, Watch
from browser.editing import (
    TYPED,
    await_draft,
    await_saved,
    body_of,
    drafts_in,
    expect_conflict,
    held,
    open_editor,
    press,
    type_text,
)


def go_to_list(page: Page) -> None:
    """Leave an entry for the list of its KB."""
    page.locator(".crumbs a", has_text="small").click()
    expect(page.locator("main li[data-id=entry-2]")).to_be_visible()


def test_a_late_answer_takes_nobody_back(watch: Watch, open_page: Pages) -> None:
    """Bug: whoever had gone on while a save was unanswered was brought back to the entry, and its draft
    stayed."""
    page = open_editor(open_page)
    type_text(page)
    with held(page, "PUT") as let:
        press(page, "Save")
        await_saved(watch.kb / "entry-1.md", TYPED)
        go_to_list(page)
        await_draft(page)  # nobody knows yet
        let()
        eventually(lambda: not drafts_in(page), what="the draft goes with the answer")
    expect(page).to_have_url(f"{watch.url}/k/small")
    expect(page.locator("main li[data-id=entry-2]")).to_be_visible()


def test_a_late_answer_leaves_another_entrys_editor(watch: Watch, open_page: Pages) -> None:
    """Bug: it closed the view of whatever entry was edited by then, and that editor was on its own."""
    page = open_editor(open_page)
    type_text(page)
    with held(page, "PUT") as let:
        press(page, "Save")
        await_saved(watch.kb / "entry-1.md", TYPED)
        go_to_list(page)
        page.locator("main [data-id=entry-2] a").click()
        press(page, "Edit")
        expect(page.get_by_label("Body", exact=True)).to_be_editable()
        type_text(page, " Second.")
        let()
        eventually(lambda: not any(TYPED in draft for draft in drafts_in(page)), what="the draft goes")
    expect(page).to_have_url(f"{watch.url}/k/small/entry-2")
    assert body_of(page) == "Text 2. Second."
    expect(page.locator("article .body")).to_be_hidden()
    watch.write("entry-2", "Theirs.")  # it still hears of its file
    expect_conflict(page)
    press(page, "Keep mine")
    await_saved(watch.kb / "entry-2.md", " Second.")


def test_a_late_refusal_is_told_wherever_one_is(watch: Watch, open_page: Pages) -> None:
    """The save of an entry that was left fails: a message says so and stays, and the draft is kept."""
    open_page.expect_complaint("503")
    page = open_editor(open_page)
    type_text(page)
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "PUT":
            waiting.append(route)
        else:
            route.continue_()

    page.route("**/api/entries/**", hold)
    press(page, "Save")
    eventually(lambda: page.evaluate("1") and waiting, what="the save is sent")
    go_to_list(page)
    waiting[0].fulfill(status=503, json={"detail": {"code": "INDEX_BUSY", "message": "Busy."}})
    toast = page.locator("#toasts .toast[data-kind=error]")
    expect(toast).to_contain_text("“Title of entry-1”: Not saved: Busy. Your text is kept.")
    expect(page).to_have_url(f"{watch.url}/k/small")
    await_draft(page)
    assert TYPED not in (watch.kb / "entry-1.md").read_text(encoding="utf-8")


def test_what_was_typed_on_begins_from_ones_own_save(watch: Watch, open_page: Pages) -> None:
    """Bug: left before the save was answered, the draft of what was typed after it kept the revision before:
    restored, it was asked about one's own save."""
    page = open_editor(open_page)
    type_text(page)
    with held(page, "PUT") as let:
        page.keyboard.press("Control+s")
        await_saved(watch.kb / "entry-1.md", TYPED)
        type_text(page, " More.")
        go_to_list(page)
        await_draft(page, " More.")
        let()
        revision = watch.api.entry("small", "entry-1")["revision"]
        await_draft(page, revision)
    page.locator("main [data-id=entry-1] a").click()
    press(page, "Edit")
    press(page, "Restore draft")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED + " More.")
    press(page, "Save")  # a question would stand against it
    await_saved(watch.kb / "entry-1.md", TYPED + " More.")
    eventually(lambda: not drafts_in(page))


def test_ones_own_save_is_not_marked(watch: Watch, open_page: Pages) -> None:
    """Bug: where the event came before the answer, one's own text got a bar that shows what changed."""
    page = open_editor(open_page)
    type_text(page)
    bars = page.locator(".gutter button")
    with held(page, "PUT") as let:
        press(page, "Save")
        await_saved(watch.kb / "entry-1.md", TYPED)
        expect(page.locator("article .body")).to_contain_text(TYPED)  # behind the editor: it is seen
        let()
    expect(page.get_by_label("Body", exact=True)).to_have_count(0)
    expect(page.locator("article .body")).to_be_visible()
    expect(bars).to_have_count(0)
    watch.write("entry-1", "Theirs.")
    expect(bars).to_have_count(1)


def test_a_save_at_a_new_address_brings_the_view_there(watch: Watch, open_page: Pages) -> None:
    """Bug: while paused the editor followed a new id alone; after its save the view said "deleted"."""
    file = watch.kb / "entry-1.md"
    page = open_editor(open_page)
    press(page, "Pause")
    type_text(page)
    file.write_text(file.read_text(encoding="utf-8").replace("id: entry-1", "id: renamed"), encoding="utf-8")
    expect_conflict(page)
    expect(page).to_have_url(f"{watch.url}/k/small/entry-1")
    press(page, "Keep mine")
    await_saved(file, "id: renamed", TYPED)
    expect(page).to_have_url(f"{watch.url}/k/small/renamed")
    press(page, "Cancel")
    press(page, "Resume")
    expect(page.get_by_role("status")).to_contain_text(re.compile("small: .* deleted"))  # it has caught up
    expect(page.locator("article[data-id=renamed] .body")).to_have_text("Text 1." + TYPED)
    expect(page.locator("article .notice:visible")).to_have_count(0)
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_visible()


def test_a_new_entry_beside_an_open_editor_moves_nobody(watch: Watch, open_page: Pages) -> None:
    """The dialog's save goes to the new entry only where nothing else is being edited."""
    open_page.expect_complaint("404")
    page = open_editor(open_page)
    type_text(page)
    press(page, "Cancel")
    await_draft(page)
    (watch.kb / "entry-1.md").unlink()
    expect(page.locator("article .notice").first).to_contain_text("was deleted at")
    page.reload()
    press(page, "Edit")
    press(page, "Restore draft")
    press(page, "New entry")
    dialog = page.get_by_role("dialog", name="New entry")
    dialog.get_by_label("Title", exact=True).fill("Beside it")
    dialog.get_by_role("button", name="Save", exact=True).click()
    await_saved(watch.kb / "beside-it.md", "Beside it")
    expect(dialog).to_have_count(0)
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    expect(page).to_have_url(f"{watch.url}/k/small/entry-1")
