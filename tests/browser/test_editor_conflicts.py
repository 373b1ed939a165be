"""What happens to a text being typed when its file changes: nothing, and the page says what it can do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.editors import save_in_vim
from harness.fixtures import make_small_kb, write_entry
from harness.tools import run_tool
from harness.wait import eventually
from playwright.sync_api import Route, expect

from browser.browser import RECORD_SAID, Pages, Watch
from browser.editing import (
    TYPED,
    await_draft,
    await_saved,
    body_of,
    drafts_in,
    expect_conflict,
    expect_no_conflict,
    held,
    open_editor,
    press,
    revision_of,
    type_text,
)


def change_in_vim(file: Path) -> None:
    """Change the body in a real editor."""
    save_in_vim(file, "%s/Text 1/Text from vim/", "wq", backupcopy="no", temporary=file.parent.parent.parent)


def change_by_sed(file: Path) -> None:
    """Change the body by `sed -i`."""
    run_tool("sed", "-i", "s/Text 1/Text from sed/", file, cwd=file.parent)


@pytest.mark.parametrize("change", [change_in_vim, change_by_sed])
def test_a_change_on_disk_while_typing_asks_and_keeps_the_text(
    watch: Watch, open_page: Pages, change: Callable[[Path], None]
) -> None:
    """The text stays as typed, the age of the change counts up, and all three ways out are there."""
    file = watch.kb / "entry-1.md"
    page = open_editor(open_page)
    type_text(page)
    change(file)
    expect_conflict(page)
    assert body_of(page) == "Text 1." + TYPED
    for name in ("Load from disk", "Compare"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    first = page.get_by_text("Changed on disk").inner_text()
    expect(page.get_by_text("Changed on disk")).not_to_have_text(first)
    assert "Text from" in file.read_text(encoding="utf-8")


def test_keep_mine_saves_over_what_is_on_disk(watch: Watch, open_page: Pages) -> None:
    """Keep mine writes the typed body; what was changed beside the body stays."""
    file = watch.kb / "entry-1.md"
    page = open_editor(open_page)
    type_text(page)
    text = file.read_text(encoding="utf-8").replace("type: note", "type: note\nkept: yes # so")
    file.write_text(text.replace("Text 1.", "Other."), encoding="utf-8")
    expect_conflict(page)
    press(page, "Keep mine")
    saved = await_saved(file, TYPED)
    assert saved.endswith("\n\nText 1." + TYPED + "\n")
    assert "kept: yes # so\n" in saved
    expect_no_conflict(page)
    eventually(lambda: not drafts_in(page), what="no draft after the save")


def test_keep_mine_again_after_a_further_change(watch: Watch, open_page: Pages) -> None:
    """A change between the question and the answer is a conflict again, and is not overwritten unseen."""
    open_page.expect_complaint("412")
    file = watch.kb / "entry-1.md"
    page = open_editor(open_page)
    type_text(page)
    write_entry(file, "entry-1", "Second.")
    expect_conflict(page)
    with held(page, "PUT", answer_first=False) as let:
        press(page, "Keep mine")
        eventually(lambda: page.evaluate("1"))
        write_entry(file, "entry-1", "Third.")
        eventually(lambda: watch.api.entry("small", "entry-1")["body"] == "Third.")
        let()
    expect_conflict(page)
    assert "Third." in file.read_text(encoding="utf-8")
    assert body_of(page) == "Text 1." + TYPED
    press(page, "Keep mine")
    await_saved(file, TYPED)


def test_load_from_disk_can_be_undone(watch: Watch, open_page: Pages) -> None:
    """Loading shows the disk's text, keeps the typed one as a draft, and Undo brings it back."""
    file = watch.kb / "entry-1.md"
    page = open_editor(open_page)
    type_text(page)
    write_entry(file, "entry-1", "From the disk.")
    expect_conflict(page)
    press(page, "Load from disk")
    expect(page.get_by_label("Body", exact=True)).to_have_value("From the disk.")
    expect_no_conflict(page)
    await_draft(page)
    press(page, "Undo")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    expect_conflict(page)
    press(page, "Keep mine")
    await_saved(file, TYPED)


def test_undo_brings_back_also_text_that_was_typed_back(watch: Watch, open_page: Pages) -> None:
    """Bug: a text that equals what it began as is nobody's, but where the disk has another: Undo forgot that,
    and the disk's came in over it while its draft was dropped."""
    page = open_editor(open_page)
    type_text(page, "x")
    watch.write("entry-1", "From the disk.")
    expect_conflict(page)
    page.keyboard.press("Backspace")
    assert body_of(page) == "Text 1."
    press(page, "Load from disk")
    expect(page.get_by_label("Body", exact=True)).to_have_value("From the disk.")
    press(page, "Undo")
    expect_conflict(page)
    watch.write("entry-1", "Later.")  # by then it has looked at the disk
    press(page, "Compare")
    expect(page.get_by_role("group", name="On disk")).to_contain_text("Later.")
    assert body_of(page) == "Text 1."
    await_draft(page, "Text 1.")
    press(page, "Keep mine")
    await_saved(watch.kb / "entry-1.md", "Text 1.")


def test_what_is_typed_after_an_answer_is_text(watch: Watch, open_page: Pages) -> None:
    """Bug: the focus fell out of the page with the button that was pressed, and what was typed next was lost
    or pressed keys of the page. Also where the question goes by itself."""
    file = watch.kb / "entry-1.md"
    page = open_editor(open_page)
    body = page.get_by_label("Body", exact=True)
    type_text(page)
    watch.write("entry-1", "From the disk.")
    expect_conflict(page)
    with held(page, "PUT") as let:
        press(page, "Keep mine")
        page.keyboard.type("p!")  # "p" would pause
        let()
    expect_no_conflict(page)
    page.keyboard.type("p?")
    expect(body).to_have_value("Text 1." + TYPED + "p!p?")
    watch.write("entry-1", "From the disk again.")
    expect_conflict(page)
    press(page, "Load from disk")
    press(page, "Undo")
    expect(body).to_have_value("Text 1." + TYPED + "p!p?")
    expect(body).to_be_focused()
    expect_conflict(page)
    page.get_by_role("button", name="Compare", exact=True).focus()
    kept = file.read_bytes()
    file.unlink()
    expect_conflict(page, "Deleted")
    expect(body).to_be_focused()  # there is nothing to compare
    page.get_by_role("button", name="Keep mine", exact=True).focus()
    file.write_bytes(kept.replace(b"From the disk again.", f"Text 1.{TYPED}p!p?".encode()))
    expect_no_conflict(page)
    expect(body).to_be_focused()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()


def test_text_from_right_to_left_is_written_so(watch: Watch, open_page: Pages) -> None:
    """Title, body and both sides of the comparison take their direction from what is in them."""
    watch.write("entry-1", "שלום עולם")
    page = open_editor(open_page)
    parts = [page.get_by_label(name, exact=True) for name in ("Title", "Body")]
    parts[0].fill("שלום")
    watch.write("entry-1", "ערב טוב")
    expect_conflict(page)
    press(page, "Compare")
    parts += [page.get_by_role("group", name=name).locator("pre").last for name in ("On disk", "Mine")]
    for part in parts:
        expect(part).to_have_css("direction", "rtl")
    press(page, "Cancel")
    page.goto(f"{watch.url}/k/small")
    press(page, "New entry")
    dialog = page.get_by_role("dialog", name="New entry")
    for name in ("Title", "Body"):
        dialog.get_by_label(name, exact=True).fill("שלום")
        expect(dialog.get_by_label(name, exact=True)).to_have_css("direction", "rtl")


def test_what_load_from_disk_replaced_is_offered_again(watch: Watch, open_page: Pages) -> None:
    """The replaced text outlives the page: the next editor of that entry offers it."""
    page = open_editor(open_page)
    type_text(page)
    watch.write("entry-1", "From the disk.")
    expect_conflict(page)
    press(page, "Load from disk")
    page.close()
    page = open_editor(open_page)
    press(page, "Restore draft")
    expect(page.get_by_label("Body", exact=True)).to_have_value("Text 1." + TYPED)
    expect_conflict(page)


def test_compare_shows_both_texts(watch: Watch, open_page: Pages) -> None:
    """Compare marks the words that only the disk has, and those that only the editor has."""
    page = open_editor(open_page)
    type_text(page, " mine")
    watch.write("entry-1", "Text 1. theirs")
    expect_conflict(page)
    press(page, "Compare")
    expect(page.get_by_role("group", name="On disk").locator("del")).to_have_text("theirs")
    expect(page.get_by_role("group", name="Mine").locator("ins")).to_have_text("mine")
    type_text(page, "more")
    expect(page.get_by_role("group", name="Mine").locator("ins")).to_have_text("minemore")


def test_a_save_that_the_event_has_not_reached_is_refused_and_asked(watch: Watch, open_page: Pages) -> None:
    """Where no event came (no socket), the 412 alone opens the question."""
    page = open_page(goto=False)
    page.add_init_script("delete window.SharedWorker")  # whose sockets cannot be routed
    page.route_web_socket(
        "**/ws*",
        lambda socket: socket.connect_to_server().on_message(
            lambda message: None if '"entry_' in str(message) else socket.send(message)
        ),
    )
    open_page.expect_complaint("412")
    page = open_editor(open_page, page=page)
    type_text(page)
    watch.write("entry-1", "From the disk.")
    eventually(lambda: watch.api.entry("small", "entry-1")["body"] == "From the disk.")
    expect(page.get_by_role("button", name="Keep mine")).to_be_hidden()
    press(page, "Save")
    expect_conflict(page)
    assert body_of(page) == "Text 1." + TYPED
    assert "From the disk." in (watch.kb / "entry-1.md").read_text()
    press(page, "Save")
    expect(page.get_by_role("form").get_by_text("Not saved yet")).to_be_visible()
    press(page, "Keep mine")
    await_saved(watch.kb / "entry-1.md", TYPED)


def test_a_change_while_nothing_was_typed_comes_in_quietly(watch: Watch, open_page: Pages) -> None:
    """An editor without typed text shows the disk's, the caret where it was in the text."""
    watch.write("entry-1", "One line.\nThe middle.\nThe end.")
    page = open_editor(open_page)
    body = page.get_by_label("Body", exact=True)
    expect(body).to_have_value("One line.\nThe middle.\nThe end.")
    body.evaluate(
        "area => area.setSelectionRange(area.value.indexOf('middle'), area.value.indexOf('middle') + 6)"
    )
    watch.write("entry-1", "A first line.\nOne line.\nThe middle.\nThe end, later.")
    expect(body).to_have_value("A first line.\nOne line.\nThe middle.\nThe end, later.")
    expect_no_conflict(page)
    assert page.evaluate("document.activeElement.name") == "body"
    assert body.evaluate("area => area.value.slice(area.selectionStart, area.selectionEnd)") == "middle"
    type_text(page)
    press(page, "Save")
    await_saved(watch.kb / "entry-1.md", "The end, later." + TYPED)


def test_a_file_that_is_deleted_while_typing_can_be_made_again(watch: Watch, open_page: Pages) -> None:
    """The text stays; Keep mine creates the entry with its id, title, type and front matter."""
    file = watch.kb / "entry-1.md"
    file.write_text(
        "---\nid: entry-1\ntitle: First\ntype: idea\nmood: calm\n---\n\nText 1.\n", encoding="utf-8"
    )
    page = open_editor(open_page)
    expect(page.get_by_label("Title", exact=True)).to_have_value("First")
    type_text(page)
    file.unlink()
    expect_conflict(page, "Deleted")
    assert body_of(page) == "Text 1." + TYPED
    press(page, "Keep mine")
    text = await_saved(file, TYPED, "id: entry-1", "First", "type: idea", "mood: calm")
    assert "Text 1." + TYPED in text
    expect_no_conflict(page)


def test_what_is_not_indexed_yet_is_not_called_deleted(watch: Watch, open_page: Pages) -> None:
    """Bug: a first index had not come to the entry yet, and the editor said that its file was gone."""
    open_page.expect_complaint("404")
    page = open_page(goto=False)
    page.route("**/health", lambda route: route.fulfill(json={"indexing": {"done": 1, "total": 2}}))
    page.goto(f"{watch.url}/k/small/entry-1")
    expect(page.locator("#status")).to_contain_text("Indexing 1 of 2")
    page.evaluate(RECORD_SAID)
    press(page, "Edit")
    expect(page.get_by_label("Body", exact=True)).to_be_editable()
    type_text(page)
    unknown = {"detail": {"code": "NOT_FOUND", "message": "There is no entry 'entry-1'."}}
    refused: list[Route] = []

    def refuse(route: Route) -> None:
        refused.append(route)
        route.fulfill(status=404, json=unknown)

    page.route("**/api/entries/entry-1?*", refuse)
    watch.write("entry-1", "One.")
    eventually(lambda: page.evaluate("1") and len(refused) > 1, what="view and editor have asked")
    page.unroute("**/api/entries/entry-1?*", refuse)
    watch.write("entry-1", "Two.")
    expect_conflict(page)
    assert not page.evaluate("window.said.filter((text) => text.includes('is gone'))")
    assert body_of(page) == "Text 1." + TYPED


def test_a_file_that_goes_and_comes_back_is_no_conflict(watch: Watch, open_page: Pages) -> None:
    """Deleted, then created again with the same bytes: the question goes by itself."""
    file = watch.kb / "entry-1.md"
    kept = file.read_bytes()
    page = open_editor(open_page)
    type_text(page)
    file.unlink()
    expect_conflict(page, "Deleted")
    file.write_bytes(kept)
    expect_no_conflict(page)
    press(page, "Save")
    await_saved(file, TYPED)


def test_a_renamed_file_is_followed(watch: Watch, open_page: Pages) -> None:
    """Another path, the same id: no question, and a save goes to the file where it is."""
    page = open_editor(open_page)
    type_text(page)
    (watch.kb / "entry-1.md").rename(watch.kb / "renamed.md")
    eventually(lambda: watch.api.entry("small", "entry-1")["path"] == "renamed.md")
    expect_no_conflict(page)
    press(page, "Save")
    await_saved(watch.kb / "renamed.md", TYPED)
    assert not (watch.kb / "entry-1.md").exists()


def test_an_entry_moved_to_another_kb_is_followed(
    home: Path, serve: Callable[..., Watch], pages_of: Callable[[str], Pages]
) -> None:
    """Moved with its file to another knowledge base: the text follows, and is saved there."""
    one, two = make_small_kb(home / "notes" / "one"), make_small_kb(home / "notes" / "two", 0)
    watch = serve(one, two)
    pages = pages_of(watch.url)
    page = open_editor(pages, "/k/one/entry-1")
    type_text(page)
    (one / "entry-1.md").rename(two / "entry-1.md")
    eventually(lambda: "/k/two/entry-1" in page.evaluate("location.pathname"), what="the address follows")
    expect_no_conflict(page)
    assert body_of(page) == "Text 1." + TYPED
    press(page, "Save")
    await_saved(two / "entry-1.md", TYPED)
    assert not (one / "entry-1.md").exists()


def test_the_same_name_in_another_kb_moves_nothing(
    home: Path, serve: Callable[..., Watch], pages_of: Callable[[str], Pages]
) -> None:
    """Changes and deletion of an entry of the same id elsewhere do not reach this editor."""
    one, two = make_small_kb(home / "notes" / "one"), make_small_kb(home / "notes" / "two")
    watch = serve(one, two)
    page = open_editor(pages_of(watch.url), "/k/one/entry-1")
    type_text(page)
    write_entry(two / "entry-1.md", "entry-1", "Elsewhere.")
    eventually(lambda: watch.api.entry("two", "entry-1")["body"] == "Elsewhere.")
    (two / "entry-1.md").unlink()
    # A change of its own entry comes later on the same socket: by then those have been heard.
    write_entry(one / "entry-1.md", "entry-1", "Here.")
    expect_conflict(page)
    expect(page.get_by_text("Deleted on disk")).to_have_count(0)
    assert body_of(page) == "Text 1." + TYPED
    press(page, "Keep mine")
    await_saved(one / "entry-1.md", TYPED)


def test_the_same_text_on_disk_is_no_conflict(watch: Watch, open_page: Pages) -> None:
    """Somebody else wrote the very text: nothing is asked, and the draft goes."""
    page = open_editor(open_page)
    type_text(page)
    await_draft(page)
    watch.write("entry-1", "Text 1." + TYPED)
    eventually(lambda: not drafts_in(page), what="no draft left")
    expect_no_conflict(page)
    assert revision_of(watch.kb / "entry-1.md") == watch.api.entry("small", "entry-1")["revision"]


def test_a_conflict_is_announced_once(watch: Watch, open_page: Pages) -> None:
    """Bug: another program that saved again and again was announced each time, over what one typed. A
    conflict after the answer to the first is one of its own."""
    page = open_editor(open_page)
    page.evaluate(RECORD_SAID)
    said = "window.said.filter((text) => text.startsWith('The file of this entry is another now'))"
    type_text(page)
    watch.write("entry-1", "Theirs 1.")
    expect_conflict(page)
    press(page, "Compare")
    for number in (2, 3, 4):
        watch.write("entry-1", f"Theirs {number}.")
        expect(page.get_by_role("group", name="On disk")).to_contain_text(f"Theirs {number}.")
    assert len(page.evaluate(said)) == 1
    press(page, "Load from disk")
    type_text(page, " More.")
    watch.write("entry-1", "Theirs 5.")
    expect_conflict(page)
    assert len(page.evaluate(said)) == 2
