"""What a tab loads: little to read, and what is needed to write before it is needed."""

from __future__ import annotations

import pytest
from harness.isolation import REPOSITORY
from playwright.sync_api import Page, Route, expect

from browser.browser import SERVER_GONE, Pages, Watch, first_view_sizes, tell_new_versions, wait_for
from pyrite_watch.server.page import trim

MOST_BYTES = 80_000
"""Of script and style, before compression, for the first view."""

LOADED = (
    "performance.getEntriesByType('resource').map(({name}) => name).filter((name) => /(js|css)$/.test(name))"
)


def live(page: Page) -> Page:
    """Wait until the page is live."""
    expect(page.locator("#status")).to_contain_text("Live")
    return page


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", "main [data-kb=small]"),
        ("/k/small", "[data-id=entry-5]"),
        ("/k/small/entry-1", "article[data-revision] .body p"),
        ("/search?q=entry", "main [data-id=entry-1]"),
        ("/problems", "main h1"),
    ],
)
def test_a_first_view_is_small(open_page: Pages, watch: Watch, path: str, shown: str) -> None:
    """All scripts and styles until it is shown and live, with the worker that the tabs share."""
    sizes = first_view_sizes(open_page(goto=False), watch.url + path, shown)
    assert len(sizes) > 10
    assert sum(sizes.values()) < MOST_BYTES, sizes


@pytest.mark.parametrize("name", ["style.css", "styles/later.css"])
def test_what_is_served_of_a_style_says_the_same(open_page: Pages, name: str) -> None:
    """Without comments and spaces the browser reads the same rules."""
    page = live(open_page("/problems"))
    source = (REPOSITORY / "pyrite_watch" / "web" / name).read_text()
    read = """([...texts]) => texts.map((text) => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(text);
      // What has variables in it is kept as it was written, with its spaces.
      return [...sheet.cssRules].map(({cssText}) => cssText.replace(/([:,]) +/g, '$1'));
    })"""
    as_written, as_served = page.evaluate(read, [source, trim(source, ".css")])
    assert len(as_written) > 30
    assert as_written == as_served


def test_lists_load_no_editor(open_page: Pages, watch: Watch) -> None:
    """Whoever reads lists has no use for it, however much time the browser has."""
    page = live(open_page("/k/small"))
    page.evaluate("new Promise((done) => requestIdleCallback(done))")
    assert not [name for name in page.evaluate(LOADED) if "editor" in name or "dialogs" in name]


def test_an_entry_brings_its_editor_before_it_is_wanted(open_page: Pages, watch: Watch) -> None:
    """So that it opens, keeps a draft and tells of a conflict also when the server has gone meanwhile."""
    open_page.expect_complaint(SERVER_GONE)
    page = live(open_page("/k/small/entry-1"))
    for name in ("editor.js", "conflict.js", "dialogs.js", "marks.js", "idiomorph.js", "later.css"):
        wait_for(page, f"{LOADED}.some((name) => name.endsWith('/{name}'))")
    watch.kill()
    expect(page.locator("#status")).to_contain_text("Reconnecting")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    expect(page.get_by_label("Body")).to_be_visible()


def test_a_part_that_cannot_be_loaded_is_said(open_page: Pages, watch: Watch) -> None:
    """The page goes on, and offers to try again."""
    open_page.expect_complaint(SERVER_GONE)
    page = live(open_page("/k/small"))
    watch.kill()
    page.get_by_role("button", name="New entry").click()
    toast = page.locator("#toasts", has_text="could not be loaded: the server does not answer")
    expect(toast.get_by_role("button", name="Reload")).to_be_visible()
    page.get_by_role("link", name="entry-1", exact=False).first.click()
    expect(page.locator("h1")).to_have_text("Not loaded")
    watch.start()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("article .body p")).to_be_visible()


def test_an_older_page_loads_no_parts_of_a_newer_server(open_page: Pages, watch: Watch) -> None:
    """They would not fit together: it says so, and a view that was not loaded yet comes with a new page."""
    page = open_page(goto=False)
    sockets = tell_new_versions(page)
    page.goto(watch.url + "/k/small")
    live(page)
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route("**/web/dialogs.js", refuse)
    page.evaluate("window.marker = true")
    sockets[0].close(code=1012)
    expect(page.locator("#toasts")).to_contain_text("The server is now 2.0.0.")
    page.get_by_role("button", name="New entry").click()
    expect(page.locator("#toasts", has_text="The server has been updated")).to_be_visible()
    assert asked == []
    page.unroute("**/web/dialogs.js")
    page.locator("[data-id=entry-1] a").first.click()
    expect(page.locator("article .body p")).to_be_visible()
    assert page.evaluate("window.marker") is None


def test_of_two_views_the_last_one_asked_for_is_shown(open_page: Pages, watch: Watch) -> None:
    """However long the first takes to be loaded."""
    page = open_page(goto=False)
    held: list[Route] = []
    page.route("**/web/views/entry.js", lambda route: held.append(route))
    page.goto(watch.url + "/k/small")
    live(page)
    page.locator("[data-id=entry-1] a").first.click()
    wait_for(page, "location.pathname === '/k/small/entry-1'")
    expect(page.get_by_role("heading", level=1)).to_have_text("small")
    page.get_by_role("link", name="Pyrite Watch", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Knowledge bases")
    with page.expect_response("**/web/views/entry.js"):
        held[0].continue_()
    page.evaluate("new Promise((done) => requestIdleCallback(done))")
    expect(page.get_by_role("heading", level=1)).to_have_text("Knowledge bases")


def test_an_editor_that_takes_its_time_opens_once(open_page: Pages, watch: Watch) -> None:
    """However often Edit is pressed meanwhile."""
    page = open_page(goto=False)
    page.add_init_script("window.requestIdleCallback = () => {}")
    held: list[Route] = []
    page.route("**/web/editor.js", lambda route: held.append(route))
    page.goto(watch.url + "/k/small/entry-1")
    live(page)
    for _ in range(3):
        page.get_by_role("button", name="Edit").click()
    held[0].continue_()
    expect(page.get_by_label("Body")).to_be_focused()
    assert page.get_by_label("Body").count() == 1


def test_a_change_is_shown_also_where_marking_it_cannot_be_loaded(open_page: Pages, watch: Watch) -> None:
    """The text is true, in any case."""
    open_page.expect_complaint("net::ERR_FAILED")
    page = open_page(goto=False)
    page.route("**/web/marks.js", lambda route: route.abort())
    page.goto(watch.url + "/k/small/entry-1")
    live(page)
    watch.write("entry-1", "Changed without marks.")
    expect(page.locator("article .body p")).to_have_text("Changed without marks.")
