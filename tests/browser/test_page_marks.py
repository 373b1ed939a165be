"""The marks at a text's side: every change of what one reads has one, and it tells all of it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from browser.browser import Pages, Watch


def open_entry(open_page: Pages, blocks: int) -> Page:
    """Open `entry-1`, and wait until all of it is shown and live."""
    page = open_page("/k/small/entry-1")
    expect(page.locator("#status")).to_contain_text("Live")
    expect(page.locator(".body > *")).to_have_count(blocks)
    return page


def difference(page: Page, number: int) -> tuple[str, str]:
    """Click a bar; give what it says was there before, and what is there in its place."""
    page.locator(".gutter button").nth(number).click()
    shown = page.get_by_role("dialog", name="What changed")
    expect(shown).to_be_visible()
    gone, come = ("".join(shown.locator(tag).all_inner_texts()) for tag in ("del", "ins"))
    page.keyboard.press("Escape")
    expect(shown).to_be_hidden()
    return gone, come


def test_a_footnote_that_changes_is_marked(open_page: Pages, watch: Watch) -> None:
    """Bug: all footnotes are one block that keeps its name, and only a new name was a change."""
    text = "A claim.[^1]\n\n[^1]: The note {} so.\n"
    watch.write("entry-1", text.format("was"))
    page = open_entry(open_page, 2)
    watch.write("entry-1", text.format("is"))
    expect(page.locator(".body section")).to_contain_text("The note is so.")
    expect(page.locator(".gutter button")).to_have_count(1)
    assert difference(page, 0) == ("was", "is")


def test_a_mark_tells_what_was_removed_and_what_changed(open_page: Pages, watch: Watch) -> None:
    """Bug: of a paragraph removed and then a change below it, in either order, the second was left out."""
    watch.write("entry-1", "Head.\n\nFirst goes.\n\nOne was so.\n\nSecond goes.\n\nTwo was so.")
    page = open_entry(open_page, 5)
    bars = page.locator(".gutter button")
    watch.write("entry-1", "Head.\n\nOne was so.\n\nSecond goes.\n\nTwo is so.")
    expect(page.locator(".body > *")).to_have_count(4)
    expect(bars).to_have_count(2)
    expect(page.locator(".gutter .gone")).to_have_count(1)
    watch.write("entry-1", "Head.\n\nOne is so.\n\nTwo is so.")
    expect(page.locator(".body > *")).to_have_count(3)
    expect(page.locator(".gutter .gone")).to_have_count(0)
    expect(bars).to_have_count(2)
    told = sorted(difference(page, number) for number in range(2))
    for (gone, come), name in zip(told, ("First", "Second"), strict=True):
        assert f"{name} goes." in gone
        assert gone.endswith("was")
        assert come == "is"


def test_a_difference_is_read_and_gives_the_focus_back(open_page: Pages, watch: Watch) -> None:
    """Bug: it was told to nobody who does not see it. It has the focus; its bar says that it is open."""
    watch.write("entry-1", "One was so.\n\nBetween.\n\nTwo was so.")
    page = open_entry(open_page, 3)
    watch.write("entry-1", "One is so.\n\nBetween.\n\nTwo is so.")
    bars = page.locator(".gutter button")
    expect(bars).to_have_count(2)
    page.keyboard.press("n")
    expect(bars.nth(0)).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    shown = page.get_by_role("dialog", name="What changed")
    expect(shown).to_be_focused()
    expect(bars.nth(0)).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(shown).to_be_hidden()
    expect(bars.nth(0)).to_be_focused()
    expect(bars.nth(0)).to_have_attribute("aria-expanded", "false")
    bars.nth(0).click()
    bars.nth(1).click()
    expect(shown).to_be_focused()
    expect(bars.nth(0)).to_have_attribute("aria-expanded", "false")
    expect(bars.nth(1)).to_have_attribute("aria-expanded", "true")
    bars.nth(1).press("Enter")
    expect(shown).to_be_hidden()
    expect(bars.nth(1)).to_have_attribute("aria-expanded", "false")


def test_a_bar_that_goes_hands_its_focus_on(open_page: Pages, watch: Watch) -> None:
    """Bug: with the block that it stood at, what one had gone to by `n` was lost."""
    watch.write("entry-1", "First.\n\nOne was so.\n\n## Between\n\nTwo was so.")
    page = open_entry(open_page, 4)
    watch.write("entry-1", "First.\n\nOne is so.\n\n## Between\n\nTwo is so.")
    bars = page.locator(".gutter button")
    expect(bars).to_have_count(2)
    page.keyboard.press("n")
    expect(bars.nth(0)).to_be_focused()
    watch.write("entry-1", "First.\n\n## Between\n\nTwo is so.")
    expect(page.locator(".body > *")).to_have_count(3)
    assert page.evaluate("document.activeElement.matches('.gutter button')")
