"""Lists, search, problems and addresses: what a tab shows beside an open entry."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.corpus import generate_many
from harness.fixtures import make_small_kb, write_entry
from harness.tools import git
from harness.wait import eventually
from playwright.sync_api import Page, Route, expect

from browser.browser import SERVER_GONE, Pages, Watch, wait_for

MANY = 10_000
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
TOP_ROW = """(() => {
  const rows = [...document.querySelectorAll('[data-kb][data-id]')];
  const row = rows.filter((row) => row.getBoundingClientRect().top >= 0)
    .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)[0];
  return [row.dataset.id, Math.round(row.getBoundingClientRect().top)];
})()"""


def live(page: Page) -> Page:
    """Wait until the page is live."""
    expect(page.locator("#status")).to_contain_text("Live")
    return page


def test_home_lists_the_kbs_and_follows_their_counts(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """Each KB has its name, description and count; only the count of the KB that grew changes."""
    first, second = make_small_kb(home / "notes" / "first"), make_small_kb(home / "notes" / "second", 3)
    (second / "kb.yaml").write_text("name: second\ndescription: What it is about\n", encoding="utf-8")
    watch = serve(first, second)
    page = live(pages_of(watch.url)("/"))
    rows = page.locator("main li[data-kb]:not([data-id])")
    expect(rows.nth(0)).to_contain_text("5 entries")
    expect(rows.nth(1)).to_contain_text("3 entries")
    expect(rows.nth(1)).to_contain_text("What it is about")
    write_entry(second / "entry-4.md", "entry-4", "New.")
    expect(page.locator("main li[data-kb=second]:not([data-id])").first).to_contain_text("4 entries")
    expect(page.locator("main li[data-kb=first]:not([data-id])").first).to_contain_text("5 entries")


def test_activity_tells_what_where_when_and_by_whom(open_page: Pages, watch: Watch) -> None:
    """An event is a line: what happened, where, when, by whom, and how late it came; also what happened
    before the page was opened, which came late for no other reason."""
    page = live(open_page("/"))
    expect(page.locator("main")).to_contain_text("Nothing has changed yet.")
    watch.write("entry-2", "Changed.")
    line = page.locator("#activity li[data-id=entry-2]")
    expect(line).to_contain_text("changed")
    expect(line).to_contain_text("small / Title of entry-2")
    expect(line).to_contain_text("entry-2.md")
    expect(line.locator("time")).to_have_text(re.compile(r"^\d+:\d+:\d+"))
    expect(line.locator(".origin")).to_have_text(re.compile(r"^disk · \d+ (ms|s late)$"))
    line = live(open_page("/")).locator("#activity li[data-id=entry-2]")
    expect(line).to_contain_text("changed")
    expect(line.locator(".origin")).to_have_text("disk")


@pytest.mark.timeout(120)  # most of it is their first index
def test_ten_thousand_entries_scroll_filter_and_sort(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """All can be reached while only the rows near the screen exist; what is read stays while others come."""
    kb = generate_many(home / "notes" / "many", MANY)
    watch = serve(kb)
    page = live(pages_of(watch.url)("/k/many"))
    rows = page.locator("main [data-kb=many][data-id]")
    expect(page.locator("main")).to_contain_text("10,000 entries")
    wait_for(page, "document.querySelectorAll('main [data-id] a').length > 5")
    assert rows.count() < 100
    page.get_by_label("Sort").select_option("title")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator(f"main [aria-posinset='{MANY}']")).to_be_visible()
    assert rows.count() < 100

    page.get_by_label("Sort").select_option("time")
    page.evaluate("scrollTo(0, 200_000)")
    page.evaluate(TWO_FRAMES)
    before = page.evaluate(TOP_ROW)
    write_entry(kb / "new.md", "new-one", "It comes at the top.")
    expect(page.locator("main")).to_contain_text("10,001 entries")
    wait_for(page, f"JSON.stringify({TOP_ROW}) === JSON.stringify({before!r})".replace("'", '"'))

    page.get_by_label("Filter").fill("entry-004321")
    expect(rows).to_have_count(1)
    expect(page.locator("main")).to_contain_text("1 of 10,001 entries")
    page.get_by_label("Filter").fill("there is no such thing")
    expect(page.locator("main")).to_contain_text("No entry matches this filter.")


def test_a_row_with_the_focus_stays_while_one_scrolls(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """However far: the next key goes on from there."""
    page = live(pages_of(serve(generate_many(home / "notes" / "many", 1_000)).url)("/k/many"))
    wait_for(page, "document.querySelectorAll('main [data-id] a').length > 5")
    for _ in range(3):
        page.keyboard.press("j")
    focused = "document.activeElement.closest('[data-id]')?.ariaPosInSet"
    assert page.evaluate(focused) == "3"
    page.evaluate("scrollTo(0, 30_000)")
    page.evaluate(TWO_FRAMES)
    assert page.evaluate(focused) == "3"
    page.keyboard.press("j")
    assert page.evaluate(focused) == "4"


def test_the_newest_comes_first_and_a_title_follows(open_page: Pages, watch: Watch) -> None:
    """A changed entry goes to the top of the list, with the title that it has now; a deleted one goes."""
    page = live(open_page("/k/small"))
    watch.write("entry-4", "Changed.")
    expect(page.locator("main [data-id]").first).to_have_attribute("data-id", "entry-4")
    (watch.kb / "entry-4.md").write_text(
        "---\nid: entry-4\ntitle: Another title\n---\n\nx\n", encoding="utf-8"
    )
    expect(page.locator("main [data-id=entry-4] a")).to_have_text("Another title")
    (watch.kb / "entry-4.md").unlink()
    expect(page.locator("main [data-id=entry-4]")).to_have_count(0)
    expect(page.locator("main")).to_contain_text("4 entries")


def test_an_empty_kb_says_what_to_do(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """A KB without entries and an unknown KB each have a sentence."""
    watch = serve(make_small_kb(home / "notes" / "empty", 0))
    open_page = pages_of(watch.url)
    page = live(open_page("/k/empty"))
    expect(page.locator("main")).to_contain_text("No entries yet.")
    page.goto(f"{watch.url}/k/nowhere")
    expect(page.locator("main")).to_contain_text("There is no knowledge base “nowhere” here.")


def test_an_unknown_address_has_a_view(open_page: Pages) -> None:
    """An address that shows nothing says so in words, and leads home."""
    open_page.expect_complaint("404")
    page = open_page("/k/small/x/y")
    expect(page.locator("main")).to_contain_text("Nothing is here", timeout=5_000)
    page.get_by_role("link", name="All knowledge bases").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Knowledge bases")


def test_back_restores_the_list_where_it_was(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """Links change the view, not the page; Back brings the list back as it was scrolled and filtered."""
    watch = serve(generate_many(home / "notes" / "many", 600))
    page = live(pages_of(watch.url)("/k/many"))
    page.evaluate("window.marker = true")
    page.get_by_label("Filter").fill("entry-0")
    page.evaluate("scrollTo(0, 9_000)")
    page.evaluate(TWO_FRAMES)
    before = page.evaluate(TOP_ROW)
    page.locator(f"main [data-id={before[0]}] a").click()
    wait_for(page, "document.querySelector('article')?.dataset.revision.length === 32")
    page.go_back()
    wait_for(page, "scrollY === 9000")
    page.evaluate(TWO_FRAMES)
    assert page.evaluate(TOP_ROW) == before
    expect(page.get_by_label("Filter")).to_have_value("entry-0")
    assert page.evaluate("window.marker")


def test_a_modified_click_is_the_browsers(open_page: Pages) -> None:
    """A click with Ctrl opens a tab; this one stays where it is."""
    page = live(open_page("/k/small"))
    with page.context.expect_page() as opened:
        page.locator("main [data-id=entry-1] a").click(modifiers=["Control"])
    expect(opened.value.locator("article")).to_have_attribute("data-id", "entry-1")
    expect(page.locator("main [data-id=entry-1] a")).to_be_visible()


def test_search_finds_marks_and_follows(open_page: Pages, watch: Watch) -> None:
    """The words are marked in the text around them; what comes to hold them is found without asking."""
    watch.write("entry-1", "An uncommon marmalade, and <b>bold</b> words.")
    page = live(open_page("/"))
    page.get_by_role("searchbox", name="Search").fill("marmalade")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{watch.url}/search?q=marmalade")
    hit = page.locator("main [data-kb=small][data-id=entry-1]")
    expect(hit.locator("mark")).to_have_text("marmalade")
    assert hit.locator("b").count() == 0
    watch.write("entry-3", "More marmalade.")
    expect(page.locator("main [data-id=entry-3] a")).to_be_visible()
    page.goto(f"{watch.url}/search?q=nothingofthekind")
    expect(page.locator("main")).to_contain_text("No entry holds “nothingofthekind”.")


def test_problems_are_listed_and_go_when_mended(open_page: Pages, watch: Watch) -> None:
    """A file that cannot be parsed is listed with its reason, its KB counts it, and both clear."""
    page = live(open_page("/problems"))
    expect(page.locator("main")).to_contain_text("No problems")
    (watch.kb / "entry-2.md").write_text("---\ntitle: [broken\n---\n", encoding="utf-8")
    expect(page.locator("main li")).to_contain_text("small/entry-2.md")
    expect(page.locator("main li a")).to_have_text("Title of entry-2")
    page.get_by_role("link", name="Knowledge bases").click()
    page.get_by_role("link", name="1 problem").click()
    expect(page).to_have_url(f"{watch.url}/problems?kb=small")
    watch.write("entry-2", "Mended.")
    expect(page.locator("main")).to_contain_text("No problems")


def test_a_checkout_of_300_files_is_one_line_and_the_list_is_true(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """`git checkout` of a branch that changes 300 files: one line, and every title is that of the branch."""
    kb = make_small_kb(home / "notes" / "guide", 300)
    git(kb, "init", "--quiet", "--initial-branch=base")
    git(kb, "add", "--all")
    git(kb, "commit", "--quiet", "--message=base")
    git(kb, "checkout", "--quiet", "-b", "other")
    for number in range(1, 301):
        text = f"---\nid: entry-{number}\ntitle: Branch {number}\ntype: note\n---\n\nNew {number}.\n"
        (kb / f"entry-{number}.md").write_text(text, encoding="utf-8")
    git(kb, "commit", "--quiet", "--all", "--message=other")
    git(kb, "checkout", "--quiet", "base")
    watch = serve(kb)
    open_page = pages_of(watch.url)
    page, listed = live(open_page("/")), live(open_page("/k/guide"))
    listed.get_by_label("Sort").select_option("title")
    expect(listed.locator("main [data-id=entry-1] a")).to_have_text("Title of entry-1")
    git(kb, "checkout", "--quiet", "other")
    expect(page.locator("#activity li")).to_have_text([re.compile("guide: 300 changed")])
    expect(listed.locator("main [data-id=entry-1] a")).to_have_text("Branch 1")
    listed.get_by_label("Filter").fill("Title of")
    expect(listed.locator("main")).to_contain_text("No entry matches this filter.")


def test_what_comes_while_a_state_is_loaded_goes_on_top(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """A storm's state is on its way when an entry changes again: the page stays alive, and is true."""
    kb = make_small_kb(home / "notes" / "guide", 60)
    watch = serve(kb)
    page = live(pages_of(watch.url)("/k/guide"))
    page.get_by_label("Sort").select_option("title")
    expect(page.locator("main [data-id=entry-1] a")).to_have_text("Title of entry-1")
    held: list[Route] = []
    page.route("**/api/state*", lambda route: held.append(route))
    for number in range(1, 61):
        write_titled(kb, number, "A storm")
    eventually(lambda: page.evaluate("true") and held, what="the page asks for the whole state")
    [route] = held
    state = route.fetch()
    write_titled(kb, 2, "A first")
    (kb / "entry-2.md").rename(kb / "renamed.md")
    row = page.locator("main [data-id=entry-2]")
    expect(row).to_contain_text("renamed.md")
    route.fulfill(response=state)
    page.unroute("**/api/state*")
    expect(page.locator("main [data-id=entry-1] a")).to_have_text("A storm 1")
    expect(row).to_contain_text("A first 2")
    expect(row).to_contain_text("renamed.md")


def write_titled(kb: Path, number: int, title: str) -> None:
    """Save an entry under another title."""
    (kb / f"entry-{number}.md").write_text(
        f"---\nid: entry-{number}\ntitle: {title} {number}\n---\n\nText.\n", encoding="utf-8"
    )


def test_a_focused_row_whose_file_goes_leaves_no_ghost(open_page: Pages, watch: Watch) -> None:
    """Bug: it stayed in its place, under the row that has that place now."""
    page = live(open_page("/k/small"))
    page.get_by_label("Sort").select_option("title")
    for _ in range(2):
        page.keyboard.press("j")
    expect(page.locator("[data-id=entry-2] a")).to_be_focused()
    (watch.kb / "entry-2.md").unlink()
    expect(page.locator("main [data-id=entry-2]")).to_have_count(0)
    expect(page.locator("[data-id=entry-3] a")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator("[data-id=entry-4] a")).to_be_focused()


def test_rows_are_as_far_apart_as_they_are_high(open_page: Pages, watch: Watch) -> None:
    """Bug: with another size of letters in the browser's settings they lay over each other."""
    page = open_page(goto=False)
    page.add_init_script(
        "addEventListener('DOMContentLoaded', () => (document.documentElement.style.fontSize = '20px'))"
    )
    page.goto(watch.url + "/k/small")
    live(page)
    rows = page.locator("main [data-id]")
    boxes = [rows.nth(number).bounding_box() for number in (0, 1)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[1]["y"] - boxes[0]["y"] == boxes[0]["height"] == 75


def test_a_hit_that_goes_hands_its_focus_on(open_page: Pages, watch: Watch) -> None:
    """A hit that stays keeps it; with one that goes it was lost, and is on the heading now."""
    page = live(open_page("/search?q=Text"))
    page.locator("main [data-id=entry-2] a").focus()
    (watch.kb / "entry-3.md").unlink()
    expect(page.locator("main [data-id=entry-3]")).to_have_count(0)
    expect(page.locator("main [data-id=entry-2] a")).to_be_focused()
    (watch.kb / "entry-2.md").unlink()
    expect(page.locator("main [data-id=entry-2]")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_search_looks_again_when_the_server_is_back(open_page: Pages, watch: Watch) -> None:
    """Bug: one that was asked while it was away said so for ever."""
    open_page.expect_complaint("net::ERR_FAILED")
    page = live(open_page("/"))
    page.route("**/api/search*", lambda route: route.abort())
    page.get_by_role("searchbox").fill("Text")
    page.keyboard.press("Enter")
    expect(page.locator("main .numbers")).to_contain_text("does not answer")
    page.unroute("**/api/search*")
    open_page.expect_complaint(SERVER_GONE)
    watch.restart()
    expect(page.locator("main [data-id=entry-1] a")).to_be_visible()


def test_a_kb_that_is_served_no_more_leaves_its_list(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """Bug: its rows stayed, as if they were live. They come when it is served again, of which no event tells;
    and while one pauses, neither happens."""
    gone, other = make_small_kb(home / "notes" / "gone"), make_small_kb(home / "notes" / "other")
    watch = serve(gone, other)
    open_page = pages_of(watch.url)
    open_page.expect_complaint(SERVER_GONE)
    page = live(open_page("/k/gone"))
    rows = page.locator("main [data-id]")
    expect(rows).to_have_count(5)

    def restart(*roots: Path) -> None:
        watch.stop()
        watch.roots = roots
        watch.start()

    rows.nth(2).locator("a").focus()
    restart(other)
    expect(page.locator("main")).to_contain_text("There is no knowledge base “gone” here.")
    expect(rows).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("button", name="New entry")).to_be_hidden()
    expect(page.locator("main")).not_to_contain_text("5 entries")
    restart(gone, other)
    expect(rows).to_have_count(5)
    expect(page.get_by_role("button", name="New entry")).to_be_visible()
    page.keyboard.press("p")
    with page.expect_response("**/api/kbs"):
        restart(other)
    page.evaluate(TWO_FRAMES)
    expect(rows).to_have_count(5)
    page.keyboard.press("p")
    expect(rows).to_have_count(0)
