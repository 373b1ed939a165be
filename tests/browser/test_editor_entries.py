"""New entries and deletions: a dialog each, nothing typed is lost in one, nothing is deleted unseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.fixtures import make_small_kb
from harness.wait import eventually
from playwright.sync_api import Locator, Page, expect

from browser.browser import SERVER_GONE, Pages, Watch
from browser.editing import FULL, TYPED, await_draft, await_saved, drafts_in, open_editor, press, type_text


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
