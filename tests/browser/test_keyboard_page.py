"""Keys, help and toasts: for people without a mouse, and never against people who type."""

from __future__ import annotations

from playwright.sync_api import expect

from browser.browser import Pages, Watch
from browser.editing import body_of, type_text


def test_e_edits_and_typing_is_typing(watch: Watch, open_page: Pages) -> None:
    """`e` opens the editor; in a field all letters are text, also those that are keys."""
    page = open_page("/k/small/entry-1")
    expect(page.get_by_role("status")).to_contain_text("Live")
    page.keyboard.press("e")
    body = page.get_by_label("Body", exact=True)
    expect(body).to_be_focused()
    type_text(page, "/jkepn?")
    assert body_of(page) == "Text 1./jkepn?"
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()


def test_the_help_is_a_dialog(open_page: Pages) -> None:
    """`?` lists the keys; the focus stays in the dialog, Escape closes it and gives the focus back."""
    page = open_page("/k/small/entry-1")
    edit = page.get_by_role("button", name="Edit", exact=True)
    edit.focus()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    for words in ("Search", "Next entry in the list", "Pause or resume updates", "Edit this entry"):
        expect(dialog.get_by_text(words, exact=True)).to_be_visible()
    page.keyboard.press("e")
    expect(page.get_by_label("Body", exact=True)).to_have_count(0)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(edit).to_be_focused()


def test_the_search_key_types_no_slash(open_page: Pages) -> None:
    """`/` goes to the search field, and is not typed into it."""
    page = open_page("/k/small/entry-1")
    expect(page.get_by_role("status")).to_contain_text("Live")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox", name="Search")
    expect(search).to_be_focused()
    page.keyboard.type("j/k")
    expect(search).to_have_value("j/k")


def test_keys_with_modifiers_are_the_browsers(open_page: Pages) -> None:
    """Ctrl, Alt and Cmd with a letter do nothing here."""
    page = open_page("/k/small/entry-1")
    expect(page.get_by_role("status")).to_contain_text("Live")
    for key in ("Control+e", "Alt+e", "Meta+e"):
        page.keyboard.press(key)
    expect(page.get_by_label("Body", exact=True)).to_have_count(0)
    page.keyboard.press("e")
    expect(page.get_by_label("Body", exact=True)).to_be_visible()


TOASTS = """async () => {
  const { makeToasts } = await import(new URL("web/toasts.js", document.baseURI).href);
  const region = document.createElement("section");
  region.id = "tried";
  document.body.append(region);
  window.tried = makeToasts(region);
}"""


def test_at_most_three_toasts_and_faults_stay(open_page: Pages) -> None:
    """A fourth toast takes the place of the oldest that is no fault; behind three faults it waits."""
    page = open_page("/k/small/entry-1")
    page.evaluate(TOASTS)
    page.evaluate(
        "tried.show('fault 1', {kind: 'error'}); for (const n of [2, 3, 4]) tried.show(`word ${n}`)"
    )
    toasts = page.locator("#tried p")
    assert toasts.all_inner_texts() == ["fault 1", "word 3", "word 4"]
    page.evaluate("for (const n of [2, 3, 4]) tried.show(`fault ${n}`, {kind: 'error'})")
    assert toasts.all_inner_texts() == ["fault 1", "fault 2", "fault 3"]
    page.locator("#tried").get_by_role("button", name="Close message").first.click()
    assert toasts.all_inner_texts() == ["fault 2", "fault 3", "fault 4"]


def test_a_toast_with_the_focus_makes_no_room(open_page: Pages) -> None:
    """Bug: the oldest went, also from under whoever was about to press its button."""
    page = open_page("/k/small/entry-1")
    page.evaluate(TOASTS)
    page.evaluate("for (const n of [1, 2, 3]) tried.show(`word ${n}`, {action: {label: 'Undo', run() {}}})")
    undo = page.locator("#tried").get_by_role("button", name="Undo").first
    undo.focus()
    page.evaluate("tried.show('word 4')")
    assert page.locator("#tried p").all_inner_texts() == ["word 1", "word 3", "word 4"]
    expect(undo).to_be_focused()


def test_a_toast_waits_for_whoever_is_at_it(open_page: Pages) -> None:
    """A toast goes by itself, but not under the pointer or the focus; it takes no focus; faults stay."""
    page = open_page("/k/small/entry-1", reduced_motion="reduce")
    page.evaluate(TOASTS)
    page.evaluate(
        "tried.show('fault', {kind: 'error'});"
        "tried.show('goes', {action: {label: 'Undo', run: () => (window.undone = 1)}})"
    )
    assert page.evaluate("document.activeElement.closest('#tried')") is None
    undo = page.locator("#tried").get_by_role("button", name="Undo")
    undo.focus()
    waited = page.evaluate(
        "new Promise(done => setTimeout(() => done(document.querySelectorAll('#tried p').length), 13000))"
    )
    assert waited == 2  # real time is the case: 12 s is what a toast with an action has
    page.keyboard.press("Enter")
    assert page.evaluate("window.undone") == 1
    page.evaluate("tried.show('goes too')")
    expect(page.locator("#tried p")).to_have_text(["fault"])
