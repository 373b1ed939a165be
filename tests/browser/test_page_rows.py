"""What one looks at in a list stays in place and keeps the focus while its entries change; times in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.fixtures import make_small_kb, write_entry
from playwright.sync_api import Locator, Page, expect

from browser.browser import Pages, Watch, wait_for

TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
IDS = """(onlySeen) => [...document.querySelectorAll('main [data-kb][data-id]')]
  .map((row) => [row.dataset.id, row.getBoundingClientRect()])
  .filter(([, {top, bottom}]) => !onlySeen || (top >= 0 && bottom <= innerHeight))
  .sort(([, a], [, b]) => a.top - b.top).map(([id]) => id)"""
FOLLOW_ROW = """(id) => {
  const row = document.querySelector(`main [data-id="${id}"]`);
  const top = row.getBoundingClientRect().top;
  window.strayed = 0;
  const look = () => {
    window.strayed = Math.max(window.strayed, Math.abs(row.getBoundingClientRect().top - top));
    requestAnimationFrame(look);
  };
  look();
}"""


def live(page: Page) -> Page:
    """Wait until the page is live."""
    expect(page.locator("#status")).to_contain_text("Live")
    return page


def ids_at(page: Page, scroll: int) -> list[str]:
    """Scroll there; the entries whose rows there are, from the top."""
    page.evaluate(f"scrollTo(0, {scroll})")
    page.evaluate(TWO_FRAMES)
    ids: list[str] = page.evaluate(IDS, False)
    return ids


@contextmanager
def many_at_once(page: Page, count: int) -> Iterator[None]:
    """Let the page have all that is written meanwhile at once: more than it asks for one by one."""
    page.keyboard.press("p")
    yield
    expect(page.locator("#held")).to_have_text(f"{count} held")
    with page.expect_response("**/api/state*"):
        page.keyboard.press("p")


def test_what_is_read_stays_when_the_rows_above_it_change(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """Bug: a list was held by its topmost row, also where that one went to the top of the list, and the
    reader with it. Two that change one after the other, and so many that the whole state comes."""
    kb = make_small_kb(home / "notes" / "guide", 300)
    page = live(pages_of(serve(kb).url)("/k/guide"))
    wait_for(page, "document.querySelectorAll('main [data-id] a').length > 5")
    last = ids_at(page, 300 * 60)
    ids_at(page, 6_000)
    seen = page.evaluate(IDS, True)
    page.evaluate(FOLLOW_ROW, seen[5])
    for entry_id in seen[:2]:
        write_entry(kb / f"{entry_id}.md", entry_id, "It goes to the top.")
        expect(page.locator(f"main [data-id={entry_id}]")).to_have_count(0)
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("window.strayed") < 1

    before = page.evaluate("scrollY")
    many = [*seen[2:5], *last[-20:], *(f"new-{number}" for number in range(20))]
    with many_at_once(page, len(many)):
        for entry_id in many:
            write_entry(kb / f"{entry_id}.md", entry_id, "So do these.")
    expect(page.locator("main")).to_contain_text("320 entries")
    wait_for(page, f"scrollY > {before + 39 * 60}")  # as many rows came to be above it
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("window.strayed") < 1


def test_a_row_keeps_the_focus_when_its_entry_changes(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """Bug: what the row shows was made anew, and the link that had the focus with it."""
    kb = make_small_kb(home / "notes" / "guide", 60)
    page = live(pages_of(serve(kb).url)("/k/guide"))
    wait_for(page, "document.querySelectorAll('main [data-id] a').length > 5")
    for _ in range(3):
        page.keyboard.press("j")
    focused = page.evaluate("document.activeElement.closest('[data-id]').dataset.id")
    row = page.locator(f"main [data-id={focused}]")
    titled = "---\nid: {}\ntitle: {}\n---\n\nText.\n"
    (kb / f"{focused}.md").write_text(titled.format(focused, "Another title"), encoding="utf-8")
    expect(row.locator("a")).to_have_text("Another title")
    expect(row).to_have_attribute("aria-posinset", "1")
    expect(row.locator("a")).to_be_focused()
    with many_at_once(page, 60):
        for number in range(1, 61):
            text = titled.format(f"entry-{number}", "A storm")
            (kb / f"entry-{number}.md").write_text(text, encoding="utf-8")
    expect(row.locator("a")).to_have_text("A storm")
    expect(row.locator("a")).to_be_focused()


def test_a_link_keeps_the_focus_while_what_is_beside_it_changes(open_page: Pages, watch: Watch) -> None:
    """Bug: a KB's count, or another entry that links here, took it away."""
    watch.write("entry-2", "See [[entry-1]].")
    page = live(open_page("/"))
    row = page.locator("main .rows [data-kb=small]").first
    row.locator("a").focus()
    watch.write("entry-6", "New.")
    expect(row).to_contain_text("6 entries")
    expect(row.locator("a")).to_be_focused()
    live(page).goto(f"{watch.url}/k/small/entry-1")
    live(page)
    linked = page.locator(".linked [data-id]")
    linked.locator("a").focus()
    watch.write("entry-3", "See [[entry-1]].")
    expect(linked).to_have_count(2)
    expect(page.locator(".linked [data-id=entry-2] a")).to_be_focused()


def test_a_date_is_that_day_everywhere(open_page: Pages, watch: Watch) -> None:
    """Bug: west of Greenwich it was the day before. One without a clock shows none, also today."""
    page = live(open_page("/k/small", timezone_id="America/New_York", locale="en-US"))
    today = page.evaluate(
        "[new Date().getFullYear(), new Date().getMonth() + 1, new Date().getDate()]"
        ".map((one) => String(one).padStart(2, '0')).join('-')"
    )
    for entry_id, day in (("then", "2020-01-15"), ("now", today)):
        text = f"---\nid: {entry_id}\ntitle: T\nupdated_at: {day}\n---\n\nText.\n"
        (watch.kb / f"{entry_id}.md").write_text(text, encoding="utf-8")
    expect(page.locator("main [data-id=then] time")).to_have_text("Jan 15, 2020")
    expect(page.locator("main [data-id=now] time")).to_have_text(re.compile(r"^[A-Z][a-z]{2} [0-9]{1,2}$"))
    page.locator("main [data-id=then] a").click()
    expect(page.locator("article dl time").first).to_have_text("Jan 15, 2020")


def test_entries_of_one_moment_have_one_order(open_page: Pages, watch: Watch) -> None:
    """Whichever came first: a state that is loaded again moves no row that nobody changed."""
    page = open_page("/k/small")
    expect(page.locator("#status")).to_contain_text("Live")
    rows = page.locator("main [data-id^=same-]")
    for count, name in enumerate(("same-3", "same-1", "same-2"), 1):
        text = f"---\nid: {name}\ntitle: {name}\nupdated_at: 2026-03-01\n---\n\nText.\n"
        (watch.kb / f"{name}.md").write_text(text, encoding="utf-8")
        expect(rows).to_have_count(count)
    for _ in range(2):
        expect(rows.locator("a")).to_have_text(["same-1", "same-2", "same-3"])
        page.reload()
        expect(page.locator("#status")).to_contain_text("Live")


ACTIVITY = """async () => {
  const { makeActivity } = await import(new URL("web/activity.js", document.baseURI).href);
  const { list, add } = makeActivity({ of: () => new Map() }, () => {});
  document.querySelector("main").append(list);
  let number = 0;
  window.tell = (count, every_ms) => {
    for (let n = 0; n < count; n++) {
      number += 1;
      const ts = new Date(number * every_ms).toISOString();
      add([[{ type: "entry_updated", kb_name: "kb", entry_id: `e-${number}`, path: "e.md", ts }, {}]]);
    }
    return list.children.length;
  };
  window.isAtList = () => document.activeElement === list;
}"""


def test_a_line_of_activity_that_goes_leaves_the_focus_in_the_list(open_page: Pages) -> None:
    """Bug: it was lost with the oldest line, and with those that a storm sums up."""
    page = live(open_page("/problems"))
    page.evaluate(ACTIVITY)
    assert page.evaluate("tell(200, 2_000)") == 200  # each one by itself
    page.locator("#activity a").last.focus()
    assert page.evaluate("tell(1, 2_000)") == 200
    assert page.evaluate("isAtList()")
    page.evaluate(ACTIVITY)
    page.evaluate("tell(1, 1)")
    page.locator("#activity").last.locator("a").focus()
    assert page.evaluate("tell(60, 1)") == 1
    assert page.evaluate("isAtList()")


def test_a_day_later_times_are_told_by_their_day(open_page: Pages, watch: Watch) -> None:
    """Bug: in a tab that stays open, what changed yesterday at two looked like today. A file's own stay."""
    page = open_page(goto=False)
    page.clock.install()
    page.goto(watch.url)
    live(page)
    watch.write("entry-1", "Today <time datetime='2020-01-15T12:00:00Z'>at noon</time>.")
    active = page.locator("#activity li[data-id=entry-1] time")
    row = page.locator("main .window [data-id=entry-1] time")
    fact = page.locator("article dl time").first
    expect(active).to_contain_text(":")

    def go(name: str) -> None:
        page.get_by_role("link", name=name, exact=True).first.click()

    def expect_day(time: Locator) -> None:
        expect(time).to_have_text(re.compile(r"^[A-Z][a-z]{2} [0-9]{1,2}$"))

    go("small")
    expect(row).to_contain_text(":")
    page.clock.fast_forward("24:00:00")
    expect_day(row)
    go("Knowledge bases")
    expect_day(active)
    go("Title of entry-1")
    expect_day(fact)
    page.clock.fast_forward("24:00:00")
    expect(page.locator(".body time")).to_have_text("at noon")
