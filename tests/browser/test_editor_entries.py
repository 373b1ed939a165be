"""New entries and deletions: a dialog each, nothing typed is lost in one, nothing is deleted unseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.fixtures import make_small_kb
from harness.wait import eventually
from playwright.sync_api import Locator, Page, Route, expect

from browser.browser import SERVER_GONE, Pages, Watch
from browser.editing import (
    FULL,
    TYPED,
    await_draft,
    await_saved,
    body_of,
    drafts_in,
    held,
    open_editor,
    press,
    type_text,
)


def new_entry(page: Page, title: str, body: str) -> Locator:
    """Open the dialog and fill it in."""
    press(page, "New entry")
    dialog = page.get_by_role("dialog", name="New entry")
    dialog.get_by_label("Title", exact=True).fill(title)
    dialog.get_by_label("Body", exact=True).fill(body)
    return dialog


def save(dialog: Locator) -> None:
    """Press the dialog's own button."""
    dialog.get_by_role("button", name="Save", exact=True).click()


def test_a_new_entry_is_made_and_shown(watch: Watch, open_page: Pages) -> None:
    """Title, type and body become a file, the page goes to it, and no draft is left."""
    page = open_page("/k/small")
    dialog = new_entry(page, "A new thing", TYPED)
    expect(dialog.get_by_label("Knowledge base")).to_have_value("small")
    dialog.get_by_label("Type", exact=True).fill("idea")
    save(dialog)
    text = await_saved(watch.kb / "a-new-thing.md", TYPED, "type: idea", "A new thing")
    assert "id: a-new-thing" in text
    expect(page.locator("article[data-id='a-new-thing']")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert drafts_in(page) == []


def test_the_types_of_the_kb_are_suggested(watch: Watch, open_page: Pages) -> None:
    """The list of types holds those that the knowledge base has."""
    (watch.kb / "idea.md").write_text("---\ntitle: I\ntype: idea\n---\n\nx\n", encoding="utf-8")
    eventually(lambda: watch.api.entry("small", "i"))
    page = open_page("/k/small")
    press(page, "New entry")
    expect(page.locator("#entry-types option[value=idea]")).to_have_count(1)
    expect(page.locator("#entry-types option[value=note]")).to_have_count(1)


def test_an_id_that_is_taken_is_told(watch: Watch, open_page: Pages) -> None:
    """A title that makes an id which exists replaces nothing; the text stays, and another title works."""
    open_page.expect_complaint("409")
    page = open_page("/k/small")
    before = (watch.kb / "entry-1.md").read_bytes()
    dialog = new_entry(page, "Entry 1", TYPED)
    save(dialog)
    expect(dialog.get_by_text("Not created:")).to_be_visible()
    expect(dialog.get_by_label("Body", exact=True)).to_have_value(TYPED)
    assert (watch.kb / "entry-1.md").read_bytes() == before
    dialog.get_by_label("Title", exact=True).fill("Entry one")
    save(dialog)
    await_saved(watch.kb / "entry-one.md", TYPED)


def test_a_new_entry_that_is_left_is_a_draft(watch: Watch, open_page: Pages) -> None:
    """Escape closes the dialog, and what was typed is offered by the next one."""
    page = open_page("/k/small")
    new_entry(page, "Unfinished", TYPED)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    await_draft(page)
    assert page.evaluate("document.activeElement.textContent") == "New entry"
    press(page, "New entry")
    press(page, "Restore draft")
    dialog = page.get_by_role("dialog", name="New entry")
    expect(dialog.get_by_label("Body", exact=True)).to_have_value(TYPED)
    expect(dialog.get_by_label("Title", exact=True)).to_have_value("Unfinished")
    save(dialog)
    await_saved(watch.kb / "unfinished.md", TYPED)
    eventually(lambda: not drafts_in(page))


def test_a_draft_of_a_new_entry_outlives_a_full_storage(watch: Watch, open_page: Pages) -> None:
    """Bug: Restore moved it to another key, for which there was no room, and dropped the copy that was."""
    page = open_page("/k/small")
    new_entry(page, "Unfinished", TYPED)
    page.keyboard.press("Escape")
    await_draft(page)
    page.evaluate(f"{FULL} 0")  # a function that is all of it would be called
    press(page, "New entry")
    press(page, "Restore draft")
    dialog = page.get_by_role("dialog", name="New entry")
    expect(dialog.get_by_label("Body", exact=True)).to_have_value(TYPED)
    expect(dialog.get_by_text("This draft lives only in this tab")).to_be_visible()
    assert any(TYPED in draft for draft in drafts_in(page))
    page.close()
    page = open_page("/k/small")
    press(page, "New entry")
    press(page, "Restore draft")
    save(dialog := page.get_by_role("dialog", name="New entry"))
    await_saved(watch.kb / "unfinished.md", TYPED)
    expect(dialog).to_have_count(0)
    assert drafts_in(page) == []


def test_two_tabs_with_one_draft_write_two(watch: Watch, open_page: Pages) -> None:
    """Bug: a draft that was offered to two tabs was under one key in both: the one wrote over what the other
    typed on, and dropped it with its own save."""
    one = open_page("/k/small")
    new_entry(one, "Unfinished", TYPED)
    one.keyboard.press("Escape")
    await_draft(one)
    two = open_page("/k/small")
    for page in (one, two):
        press(page, "New entry")
        expect(page.get_by_role("button", name="Restore draft")).to_be_visible()
    for page, text in ((one, " From one."), (two, " From two.")):
        press(page, "Restore draft")
        expect(page.get_by_label("Body", exact=True)).to_have_value(TYPED)
        type_text(page, text)
        await_draft(page, text)
    await_draft(one, " From one.")
    assert len(drafts_in(one)) == 2
    save(two.get_by_role("dialog"))
    await_saved(watch.kb / "unfinished.md", TYPED + " From two.")
    expect(two.get_by_role("dialog")).to_have_count(0)
    await_draft(one, " From one.")
    dialog = one.get_by_role("dialog")
    dialog.get_by_label("Title", exact=True).fill("Another")
    save(dialog)
    await_saved(watch.kb / "another.md", TYPED + " From one.")
    eventually(lambda: not drafts_in(one))


def test_a_draft_that_another_tab_took_up_is_not_discarded(watch: Watch, open_page: Pages) -> None:
    """Bug: where the storage was full, and so the tab that restored it went on with the stored copy, Discard
    in a tab that had offered it before took that away."""
    one = open_page("/k/small")
    new_entry(one, "Unfinished", TYPED)
    one.keyboard.press("Escape")
    await_draft(one)
    two, three = open_page("/k/small"), open_page("/k/small")
    for page in (one, two, three):
        press(page, "New entry")
        expect(page.get_by_role("button", name="Restore draft")).to_be_visible()
        page.evaluate(f"{FULL} 0")  # a function that is all of it would be called
    press(one, "Restore draft")
    expect(one.get_by_text("This draft lives only in this tab")).to_be_visible()
    press(two, "Discard draft")
    expect(two.get_by_text("Not discarded: another tab is typing that draft.")).to_be_visible()
    press(three, "Restore draft")
    expect(three.get_by_label("Body", exact=True)).to_have_value(TYPED)
    three.get_by_label("Title", exact=True).fill("Third")
    save(three.get_by_role("dialog"))
    await_saved(watch.kb / "third.md", TYPED)
    expect(three.get_by_role("dialog")).to_have_count(0)
    await_draft(one)


def test_without_locks_a_new_entry_that_is_being_typed_stays(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], small_kb: Path
) -> None:
    """Bug: on a plain name a tab was offered what another was typing just then, and wrote to the same draft.
    Restored it is a copy; discarded, it is kept again by whoever types it."""
    watch = serve(small_kb, options=["--allow-host", "notes.test"])
    open_page = pages_of(watch.url.replace("127.0.0.1", "notes.test"))
    one, two = open_page("/k/small"), open_page("/k/small")
    assert one.evaluate("!navigator.locks")
    new_entry(one, "Unfinished", TYPED)
    await_draft(one)
    press(two, "New entry")
    expect(two.get_by_role("button", name="Restore draft")).to_be_visible()
    type_text(one, " On.")
    await_draft(one, " On.")
    press(two, "Restore draft")
    expect(two.get_by_label("Body", exact=True)).to_have_value(TYPED + " On.")
    eventually(lambda: len(drafts_in(one)) == 2, what="a draft of either tab")
    two.get_by_label("Title", exact=True).fill("Copied")
    type_text(two, " From two.")
    save(two.get_by_role("dialog"))
    await_saved(watch.kb / "copied.md", TYPED + " On. From two.")
    expect(two.locator("article[data-id=copied]")).to_be_visible()
    [draft] = drafts_in(one)
    assert "Unfinished" in draft
    two.go_back()
    press(two, "New entry")
    press(two, "Discard draft")
    eventually(lambda: drafts_in(one) and draft not in drafts_in(one), what="it is kept again")
    assert body_of(one) == TYPED + " On."
    await_draft(one, " On.")


def test_a_late_answer_of_a_new_entry_takes_nobody_away(watch: Watch, open_page: Pages) -> None:
    """Bug: whoever had left the dialog while its save was unanswered was taken to the new entry from wherever
    they were by then."""
    page = open_page("/k/small")
    dialog = new_entry(page, "A new thing", TYPED)
    with held(page, "POST") as let:
        save(dialog)
        await_saved(watch.kb / "a-new-thing.md", TYPED)
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        page.locator("main [data-id=entry-2] a").click()
        expect(page.locator("article .body")).to_have_text("Text 2.")
        let()
    toast = page.locator("#toasts .toast", has_text="Created “A new thing”.")
    expect(toast).to_be_visible()
    expect(page).to_have_url(f"{watch.url}/k/small/entry-2")
    assert drafts_in(page) == []
    toast.get_by_role("button", name="Show").click()
    expect(page).to_have_url(f"{watch.url}/k/small/a-new-thing")


@pytest.mark.parametrize(
    ("button", "answer", "words"),
    [
        ("New entry", "Save", "“Entry 9”: Not created: Busy. Your text is kept."),
        ("Delete", "Delete", "“Title of entry-1”: Not deleted: Busy."),
    ],
    ids=["a new entry", "a deletion"],
)
def test_a_late_refusal_of_a_dialog_is_told(
    watch: Watch, open_page: Pages, button: str, answer: str, words: str
) -> None:
    """Bug: it was written into the dialog that was closed by then, and nobody read it."""
    open_page.expect_complaint("503")
    page = open_page("/k/small/entry-1" if button == "Delete" else "/k/small")
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "GET":
            route.continue_()
        else:
            waiting.append(route)

    page.route("**/api/entries**", hold)
    press(page, button)
    dialog = page.get_by_role("dialog")
    if button == "New entry":
        dialog.get_by_label("Title", exact=True).fill("Entry 9")
    dialog.get_by_role("button", name=answer, exact=True).click()
    eventually(lambda: page.evaluate("1") and waiting, what="it is sent")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    waiting[0].fulfill(status=503, json={"detail": {"code": "INDEX_BUSY", "message": "Busy."}})
    expect(page.locator("#toasts .toast[data-kind=error]")).to_contain_text(words)


def test_a_new_entry_without_a_server_stays(watch: Watch, open_page: Pages) -> None:
    """The server goes while somebody types: it is told, the text stays and is saved when it is back."""
    open_page.expect_complaint(SERVER_GONE)
    page = open_page("/k/small")
    dialog = new_entry(page, "Later", TYPED)
    watch.kill()
    save(dialog)
    expect(dialog.get_by_text("the server does not answer")).to_be_visible()
    expect(dialog.get_by_label("Body", exact=True)).to_have_value(TYPED)
    watch.start()
    save(dialog)
    await_saved(watch.kb / "later.md", TYPED)


def test_the_kb_is_chosen(home: Path, serve: Callable[..., Watch], pages_of: Callable[[str], Pages]) -> None:
    """The new entry goes to the knowledge base that was chosen."""
    one, two = make_small_kb(home / "notes" / "one"), make_small_kb(home / "notes" / "two")
    page = pages_of(serve(one, two).url)("/k/one")
    dialog = new_entry(page, "Where", TYPED)
    dialog.get_by_label("Knowledge base").select_option("two")
    save(dialog)
    await_saved(two / "where.md", TYPED)
    assert not (one / "where.md").exists()


def test_delete_asks_and_deletes(watch: Watch, open_page: Pages) -> None:
    """Delete asks first, with Cancel in focus; the answer removes the file."""
    page = open_page("/k/small/entry-1")
    press(page, "Delete")
    dialog = page.get_by_role("dialog", name="Delete this entry?")
    expect(dialog.get_by_text("Title of entry-1")).to_be_visible()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert (watch.kb / "entry-1.md").exists()
    press(page, "Delete")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(dialog).to_have_count(0)
    eventually(lambda: not (watch.kb / "entry-1.md").exists())
    expect(
        page.get_by_role("region", name="Messages").get_by_text("Deleted “Title of entry-1”.")
    ).to_be_visible()


def test_what_changed_is_not_deleted_unseen(watch: Watch, open_page: Pages) -> None:
    """The file changed while the question stood: it is asked again, and deleted only then."""
    open_page.expect_complaint("412")
    page = open_page("/k/small/entry-1")
    press(page, "Delete")
    dialog = page.get_by_role("dialog")
    watch.write("entry-1", "Changed.")
    eventually(lambda: watch.api.entry("small", "entry-1")["body"] == "Changed.")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(dialog.get_by_text("changed on disk since")).to_be_visible()
    assert (watch.kb / "entry-1.md").exists()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(dialog).to_have_count(0)
    eventually(lambda: not (watch.kb / "entry-1.md").exists())


def test_deleted_in_another_tab_while_typing(watch: Watch, open_page: Pages) -> None:
    """The other tab's deletion leaves this tab's text, which can be made an entry again."""
    page = open_editor(open_page)
    type_text(page)
    other = open_page("/k/small/entry-1")
    press(other, "Delete")
    other.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    press(page, "Keep mine")
    await_saved(watch.kb / "entry-1.md", TYPED)
