"""The open entry follows its file in place, and nothing else moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.fixtures import make_small_kb, write_entry
from playwright.sync_api import Page, Route, expect

from browser.browser import SERVER_GONE, Pages, Watch, wait_for
from browser.editing import TYPED, await_draft, body_of, open_editor, type_text

PARAGRAPHS = 40
DETAILS = "<details><summary>More</summary>Folded text.</details>"

WATCH_MUTATIONS = """
window.mutations = 0;
new MutationObserver((all) => { window.mutations += all.length; })
  .observe(document.querySelector("main"),
    {subtree: true, childList: true, attributes: true, characterData: true});
"""
WATCH_SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shift += entry.value; })
  .observe({type: "layout-shift", buffered: false});
"""
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


def long_body(*, first: str = "The first paragraph.", extra: str = "") -> str:
    """A body of many paragraphs; the one in the middle has a link, the last but one folded text."""
    blocks = [first, *([extra] if extra else [])]
    blocks += [f"Paragraph {number}. " + "Some more words of it. " * 6 for number in range(PARAGRAPHS)]
    blocks.insert(len(blocks) // 2, "Here is [a link](entry-2.md), and some words to select.")
    blocks.insert(len(blocks) - 1, DETAILS)
    return "\n\n".join(blocks)


def open_entry(open_page: Pages, path: str = "/k/small/entry-1") -> Page:
    """Open an entry, and wait until it is shown and live."""
    page = open_page(path)
    expect(page.locator("#status")).to_contain_text("Live")
    wait_for(page, "document.querySelector('article').dataset.revision.length === 32")
    return page


def test_an_entry_is_shown_with_what_belongs_to_it(open_page: Pages, watch: Watch) -> None:
    """Title, front matter, text, path, revision and who links here are there."""
    watch.write("entry-2", "See [[entry-1]].")
    page = open_entry(open_page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Title of entry-1")
    article = page.locator("article[data-kb=small][data-id=entry-1]")
    expect(article).to_contain_text("Text 1.")
    expect(article.locator("dl").first).to_contain_text("entry-1.md")
    expect(article.locator(".linked [data-id=entry-2] a")).to_have_text("Title of entry-2")
    expect(article).to_have_attribute("data-revision", str(watch.api.entry("small", "entry-1")["revision"]))


def test_a_change_leaves_scroll_focus_selection_and_open_details(open_page: Pages, watch: Watch) -> None:
    """Only the block that changed is touched; the others are the same nodes, as the reader left them."""
    watch.write("entry-1", long_body())
    page = open_entry(open_page)
    expect(page.locator(".body")).to_contain_text(f"Paragraph {PARAGRAPHS - 1}")
    page.locator(".body summary").click()
    page.evaluate(
        """() => {
          const link = [...document.querySelectorAll('.body a')].find((a) => a.textContent === 'a link');
          link.scrollIntoView({block: 'center'});
          link.focus();
          const words = link.parentElement.lastChild;
          getSelection().setBaseAndExtent(words, 6, words, 16);
          window.link = link;
          window.top0 = link.getBoundingClientRect().top;
        }"""
    )
    selected = page.evaluate("getSelection().toString()")
    watch.write("entry-1", long_body(first="The first paragraph, changed."))
    expect(page.locator(".body")).to_contain_text("The first paragraph, changed.")
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("document.activeElement === window.link && window.link.isConnected")
    assert page.evaluate("getSelection().toString()") == selected
    assert page.evaluate("document.querySelector('.body details').open")
    assert abs(page.evaluate("window.link.getBoundingClientRect().top - window.top0")) < 1


def test_a_change_above_the_screen_shifts_nothing_that_is_read(open_page: Pages, watch: Watch) -> None:
    """Paragraphs that come above what is read push nothing: the browser counts no layout shift."""
    watch.write("entry-1", long_body())
    page = open_entry(open_page)
    expect(page.locator(".body")).to_contain_text(f"Paragraph {PARAGRAPHS - 1}")
    page.evaluate("scrollTo(0, document.querySelector('.body').offsetHeight / 2)")
    page.evaluate(TWO_FRAMES)
    page.evaluate(WATCH_SHIFTS)
    page.evaluate(
        """() => {
          window.read = [...document.querySelectorAll('.body > *')]
            .find((block) => block.getBoundingClientRect().top > 100);
          window.top0 = window.read.getBoundingClientRect().top;
          window.scroll0 = scrollY;
        }"""
    )
    watch.write("entry-1", long_body(extra="New above. " * 300))
    expect(page.locator(".body")).to_contain_text("New above.")
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("scrollY") > page.evaluate("window.scroll0") + 100
    assert abs(page.evaluate("window.read.getBoundingClientRect().top - window.top0")) < 1
    assert page.evaluate("window.shift") == 0


def test_text_inside_the_changed_block_stays_selected(open_page: Pages, watch: Watch) -> None:
    """A selection in the very paragraph that changes stays on its words."""
    watch.write("entry-1", "One two three four five.")
    page = open_entry(open_page)
    paragraph = page.locator(".body p")
    expect(paragraph).to_have_text("One two three four five.")
    page.evaluate(
        "const t = document.querySelector('.body p').firstChild; getSelection().setBaseAndExtent(t, 4, t, 7)"
    )
    watch.write("entry-1", "One two three 4 five and more.")
    expect(paragraph).to_have_text("One two three 4 five and more.")
    assert page.evaluate("getSelection().toString()") == "two"


def test_changed_blocks_are_marked_found_by_a_key_and_explained(open_page: Pages, watch: Watch) -> None:
    """Each changed block fades from a mark and has a bar; `n` goes to the next, a click shows the words."""
    watch.write("entry-1", "First stays.\n\nSecond was so.\n\nThird stays.\n\nFourth was so.\n\nFifth goes.")
    page = open_entry(open_page)
    expect(page.locator(".body > *")).to_have_count(5)
    watch.write("entry-1", "First stays.\n\nSecond is so.\n\nThird stays.\n\nFourth is so.")
    bars = page.locator(".gutter button")
    expect(bars).to_have_count(2)
    running = "document.querySelectorAll('.body > *').values().map((b) => b.getAnimations().length).toArray()"
    assert page.evaluate(running) == [0, 1, 0, 1]
    page.keyboard.press("n")
    expect(bars.nth(0)).to_be_focused()
    page.keyboard.press("n")
    expect(bars.nth(1)).to_be_focused()
    bars.nth(0).click()
    difference = page.get_by_role("dialog", name="What changed")
    expect(difference.locator("del")).to_have_text("was")
    expect(difference.locator("ins")).to_have_text("is")
    page.keyboard.press("Escape")
    expect(difference).to_be_hidden()


def test_an_entry_of_the_same_id_in_another_kb_moves_nothing(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """A change of `entry-1` in one KB does not touch the open `entry-1` of the other."""
    mine, other = make_small_kb(home / "notes" / "small"), make_small_kb(home / "notes" / "other")
    watch = serve(mine, other)
    open_page = pages_of(watch.url)
    page = open_entry(open_page)
    beside = open_entry(open_page, "/k/other/entry-1")
    page.evaluate(WATCH_MUTATIONS)
    page.evaluate(WATCH_SHIFTS)
    with page.expect_response(lambda answer: "/api/entries/entry-1" in answer.url):  # it looks who links here
        write_entry(other / "entry-1.md", "entry-1", "Another text.")
    expect(beside.locator(".body")).to_have_text("Another text.")
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("window.mutations") == 0
    assert page.evaluate("window.shift") == 0
    expect(page.locator(".body")).to_have_text("Text 1.")
    (other / "entry-1.md").unlink()
    expect(beside.locator("article")).to_contain_text("deleted")
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("window.mutations") == 0


def test_a_deleted_entry_stays_readable_and_comes_back(open_page: Pages, watch: Watch) -> None:
    """A deleted entry keeps its text and says so; when the file is back, it is an entry as before."""
    page = open_entry(open_page)
    (watch.kb / "entry-1.md").unlink()
    expect(page.locator("article .notice")).to_contain_text("This entry was deleted at")
    expect(page.locator(".body")).to_have_text("Text 1.")
    expect(page.get_by_role("button", name="Edit")).to_be_hidden()
    watch.write("entry-1", "It is back.")
    expect(page.locator(".body")).to_have_text("It is back.")
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    expect(page.locator("article .notice:visible")).to_have_count(0)


def test_a_moved_file_keeps_the_entry(open_page: Pages, watch: Watch) -> None:
    """A file that moves to another folder changes the path that is shown, and nothing else."""
    page = open_entry(open_page)
    (watch.kb / "folder").mkdir()
    (watch.kb / "entry-1.md").rename(watch.kb / "folder" / "entry-1.md")
    expect(page.locator("article dl").first).to_contain_text("folder/entry-1.md")
    expect(page).to_have_url(f"{watch.url}/k/small/entry-1")


def test_a_renamed_entry_gets_its_new_address(open_page: Pages, watch: Watch) -> None:
    """An entry whose id changes stays open; the address is replaced, so that Back leads where it led."""
    page = open_page("/k/small")
    page.locator("[data-id=entry-1] a").click()
    expect(page.locator(".body")).to_have_text("Text 1.")
    (watch.kb / "entry-1.md").write_text("---\nid: another-id\ntitle: T\n---\n\nText 1.\n", encoding="utf-8")
    expect(page).to_have_url(f"{watch.url}/k/small/another-id")
    expect(page.locator("article")).to_have_attribute("data-id", "another-id")
    watch_again = "---\nid: another-id\ntitle: T\n---\n\nText 2.\n"
    (watch.kb / "entry-1.md").write_text(watch_again, encoding="utf-8")
    expect(page.locator(".body")).to_have_text("Text 2.")
    page.go_back()
    expect(page).to_have_url(f"{watch.url}/k/small")


def test_links_follow_what_they_lead_to(open_page: Pages, watch: Watch) -> None:
    """A link to an entry that is not there looks missing, until it comes; and again when it goes."""
    watch.write("entry-1", "See [[entry-9]].")
    page = open_entry(open_page)
    link = page.locator(".body a.wikilink")
    expect(link).to_have_class("wikilink missing")
    watch.write("entry-9", "Here it is.")
    expect(link).to_have_class("wikilink")
    expect(link).to_have_attribute("data-id", "entry-9")
    (watch.kb / "entry-9.md").unlink()
    expect(link).to_have_class("wikilink missing")
    expect(page.locator(".gutter button")).to_have_count(0)


def test_who_links_here_follows(open_page: Pages, watch: Watch) -> None:
    """A link made or removed elsewhere shows under "Linked from"."""
    page = open_entry(open_page)
    expect(page.get_by_role("region", name="Linked from")).to_be_hidden()
    watch.write("entry-3", "See [[entry-1]].")
    expect(page.get_by_role("region", name="Linked from").locator("[data-id=entry-3]")).to_be_visible()
    watch.write("entry-3", "No more.")
    expect(page.get_by_role("region", name="Linked from")).to_be_hidden()


def test_an_entry_that_is_not_there_is_shown_when_it_comes(open_page: Pages, watch: Watch) -> None:
    """The address of a missing entry says so in words, and shows the entry as soon as there is one."""
    open_page.expect_complaint("404")
    page = open_page("/k/small/entry-7")
    expect(page.locator("article .notice")).to_contain_text("There is no entry “entry-7” in “small”")
    expect(page.locator("#status")).to_contain_text("Live")
    watch.write("entry-7", "Now it is.")
    expect(page.locator(".body")).to_have_text("Now it is.")
    expect(page.locator("article .notice:visible")).to_have_count(0)


def test_broken_front_matter_is_shown_with_the_last_good_version(open_page: Pages, watch: Watch) -> None:
    """A file that does not parse any more keeps its entry, tells the problem, and is well when mended."""
    page = open_entry(open_page)
    (watch.kb / "entry-1.md").write_text("---\ntitle: [broken\n---\n\nOther text.\n", encoding="utf-8")
    expect(page.locator("article")).to_contain_text("This file has a problem.")
    expect(page.locator(".body")).to_have_text("Text 1.")
    watch.write("entry-1", "Mended.")
    expect(page.locator(".body")).to_have_text("Mended.")
    expect(page.locator("article")).not_to_contain_text("This file has a problem.")


HOSTILE = """<script>document.title = 'taken'</script>
<img src="x" onerror="document.title = 'taken'"><iframe src="javascript:document.title='taken'"></iframe>

<a href="javascript:document.title='taken'">click me</a> <div style="position:fixed;inset:0">over all</div>

<form action="https://example.org"><button>send</button></form> After it.
"""


def test_hostile_html_does_nothing(open_page: Pages, watch: Watch) -> None:
    """Scripts, handlers, frames, forms and styles of a file do not reach the page."""
    open_page.expect_complaint("404")  # the picture named x
    watch.write("entry-1", HOSTILE)
    page = open_entry(open_page)
    expect(page.locator(".body")).to_contain_text("After it.")
    expect(page).to_have_title("Title of entry-1 · Pyrite Watch")
    assert (
        page.locator(".body").locator("script, iframe, form, [style], [onerror], a[href^=javascript]").count()
        == 0
    )


def test_hostile_names_are_text(open_page: Pages, watch: Watch) -> None:
    """HTML in a title, a tag or a file's name is shown as it is written."""
    name = "<b onmouseover=alert(1)>bold</b>"
    (watch.kb / "<img src=x>.md").write_text(
        f"---\ntitle: '{name}'\ntags: ['<i>t</i>']\n---\n\nx\n", encoding="utf-8"
    )
    page = open_page("/k/small")
    row = page.locator("[data-kb=small] a", has_text=name)
    expect(row).to_be_visible()
    row.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    assert page.locator("main b, main i, main img").count() == 0


def test_ten_thousand_headings_are_shown_and_followed(open_page: Pages, watch: Watch) -> None:
    """A very long entry opens, and a change at its end comes in with one mark."""
    headings = [f"## Heading {number}" for number in range(10_000)]
    watch.write("entry-1", "\n\n".join(headings))
    page = open_entry(open_page)
    wait_for(page, "document.querySelectorAll('.body > *').length === 10_000")
    watch.write("entry-1", "\n\n".join([*headings[:-1], "## The last one"]))
    expect(page.locator(".body > :last-child")).to_have_text("The last one")
    expect(page.locator(".gutter button")).to_have_count(1)


@pytest.mark.timeout(120)
def test_an_entry_of_2_mb_is_shown_and_followed(open_page: Pages, watch: Watch) -> None:
    """Whether as blocks or as it is written: its end is there, a change comes in, and the page answers."""
    text = "A line of text with [[entry-2]] and *emphasis*.\n\n" * 42_000
    watch.write("entry-1", text + "The end.")
    page = open_entry(open_page)
    # Asked in the page: 2 MB need not come out of it each time.
    ends_with = "document.querySelector('.body').textContent.trimEnd().endsWith('{}')".format
    wait_for(page, ends_with("The end."))
    watch.write("entry-1", text + "Another end.")
    wait_for(page, ends_with("Another end."))
    page.get_by_role("link", name="small", exact=True).click()
    expect(page.locator("[data-id=entry-2]").first).to_be_visible()


def test_a_text_that_begins_with_its_title_says_it_once(open_page: Pages, watch: Watch) -> None:
    """A first heading that is the title is not shown again; as soon as it differs, it is."""
    watch.write("entry-1", "# Title of entry-1\n\nText.")
    page = open_entry(open_page)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.locator(".body p")).to_be_visible()
    watch.write("entry-1", "# Another heading\n\nText.")
    expect(page.locator(".body").get_by_role("heading", level=1)).to_have_text("Another heading")
    watch.write("entry-1", "# Title of entry-1\n\nText, and more.")
    expect(page.locator(".body p")).to_have_text("Text, and more.")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)


@pytest.mark.parametrize("text", ["هذه فقرة باللغة العربية", "זוהי פסקה בעברית"])
def test_right_to_left_text_runs_right_to_left(open_page: Pages, watch: Watch, text: str) -> None:
    """A title and a text of a right-to-left script begin at the right; the page around them does not turn."""
    (watch.kb / "rtl.md").write_text(f"---\nid: rtl\ntitle: {text}\n---\n\n{text}\n", encoding="utf-8")
    page = open_page("/k/small/rtl")
    expect(page.locator(".body")).to_have_text(text)
    assert page.evaluate("getComputedStyle(document.querySelector('.body')).direction") == "rtl"
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).direction") == "rtl"
    assert page.evaluate("getComputedStyle(document.querySelector('main')).direction") == "ltr"


def test_a_link_to_a_heading_goes_there(open_page: Pages, watch: Watch) -> None:
    """Bug: it opened the entry at its top. From elsewhere, by an address, and within the entry itself."""
    far = long_body() + "\n\n## The far end\n\nHere. [[entry-1#The far end]]\n"
    watch.write("entry-1", far)
    watch.write("entry-2", "See [[entry-1#The far end]].")
    in_view = """(() => { const {top} = [...document.querySelectorAll('.body h2')]
      .find(({textContent}) => textContent.trim() === 'The far end').getBoundingClientRect();
      return top >= 0 && top < innerHeight; })()"""
    page = open_entry(open_page, "/k/small/entry-2")
    page.locator(".body a").click()
    expect(page.locator(".body")).to_contain_text("Here.")
    wait_for(page, in_view)
    page.evaluate("scrollTo(0, 0)")
    page.locator(".body a", has_text="The far end").last.evaluate("(link) => link.click()")
    wait_for(page, in_view)
    page = open_page(f"{watch.url}/k/small/entry-1#{page.evaluate('location.hash').lstrip('#')}")
    wait_for(page, "document.querySelector('.body h2') !== null")
    wait_for(page, in_view)


def test_a_read_only_kb_offers_no_tools_however_late_that_is_known(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], small_kb: Path
) -> None:
    """Bug: an entry that was there before the list of KBs could be edited, and its text not be saved."""
    watch = serve(small_kb, options=["--read-only"])
    page = pages_of(watch.url)(goto=False)
    held: list[Route] = []
    page.route("**/api/kbs", lambda route: held.append(route))
    page.goto(watch.url + "/k/small/entry-1")
    expect(page.locator(".body")).to_have_text("Text 1.")
    for route in held:
        route.continue_()
    page.unroute("**/api/kbs")
    expect(page.locator("#status")).to_contain_text("Live")
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_hidden()


def test_an_entry_that_could_not_be_loaded_comes_when_the_server_is_back(
    open_page: Pages, watch: Watch
) -> None:
    """Bug: what failed before the page was live for the first time stayed so."""
    open_page.expect_complaint("net::ERR_FAILED")
    page = open_page(goto=False)
    page.route("**/api/entries/**", lambda route: route.abort())
    page.route("**/api/state*", lambda route: route.abort())
    page.goto(watch.url + "/k/small/entry-1")
    expect(page.locator("article")).to_contain_text("This entry is shown as soon as it does.")
    page.unroute("**/api/entries/**")
    page.unroute("**/api/state*")
    expect(page.get_by_role("heading", level=1)).to_have_text("Title of entry-1")


def test_what_goes_with_an_entry_hands_its_focus_on(open_page: Pages, watch: Watch) -> None:
    """Bug: with the buttons of an entry that was deleted, by others or oneself, the focus was lost."""
    for entry_id, name in (("entry-1", "Edit"), ("entry-2", "Delete")):
        page = open_entry(open_page, f"/k/small/{entry_id}")
        page.get_by_role("button", name=name, exact=True).focus()
        (watch.kb / f"{entry_id}.md").unlink()
        expect(page.locator("article .notice")).to_contain_text("This entry was deleted at")
        expect(page.get_by_role("heading", level=1)).to_be_focused()
    page = open_entry(open_page, "/k/small/entry-3")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("article .notice")).to_contain_text("This entry was deleted at")
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_draft_of_what_is_read_only_by_now_can_be_read(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], small_kb: Path
) -> None:
    """Bug: its text could be reached no more, and of a deleted entry the page said that Edit shows it."""
    watch = serve(small_kb)
    open_page = pages_of(watch.url)
    open_page.expect_complaint(SERVER_GONE)
    open_page.expect_complaint("404")
    page = open_editor(open_page)
    type_text(page)
    await_draft(page)
    watch.stop()
    watch.start(options=["--read-only"])
    open_editor(open_page, page=page)
    expect(page.get_by_role("button", name="Restore draft")).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_hidden()
    (watch.kb / "entry-1.md").unlink()
    expect(page.locator("article .notice")).to_contain_text("An unsaved draft of it is kept: Edit shows it.")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("button", name="Restore draft").click()
    assert body_of(page) == f"Text 1.{TYPED}"
