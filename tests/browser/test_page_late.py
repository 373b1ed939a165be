"""Answers that come late, or are a refusal, or do not come: what is shown is true all the same, by itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from harness.wait import eventually
from playwright.sync_api import APIResponse, Page, Route, expect

from browser.browser import Pages, Watch

OF_ENTRY_1 = r"/(render/small|api/entries)/entry-1\b"
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
BUSY = {"detail": {"code": "INDEX_BUSY", "message": "Busy."}}
IMPATIENT = """
const { timeout } = AbortSignal;
AbortSignal.timeout = (ms) => timeout.call(AbortSignal, window.isPatient ? ms : 100);
"""


class Held:
    """Holds what a page is answered, as the server said it then; `let` hands it over, and holds no more.

    The first `passed` of them are not held.
    """

    def __init__(self, page: Page, pattern: str, *, passed: int = 0) -> None:
        self._page = page
        self._passed = passed
        self._is_open = False
        self._answers: list[tuple[Route, APIResponse]] = []
        page.route(re.compile(pattern), self._hold)

    def _hold(self, route: Route) -> None:
        if self._is_open or self._passed:
            self._passed = max(0, self._passed - 1)
            route.continue_()
        else:
            self._answers.append((route, route.fetch()))

    def wait(self, count: int) -> None:
        """Wait until so many are held."""
        what = f"{count} answers are held"
        eventually(lambda: self._page.evaluate("1") and len(self._answers) >= count, what=what)

    def let(self) -> None:
        """Hand them over, the last first."""
        self._is_open = True
        for route, answer in reversed(self._answers):
            route.fulfill(response=answer)


def live(page: Page) -> Page:
    """Wait until the page is live."""
    expect(page.locator("#status")).to_contain_text("Live")
    return page


def refuse_once(page: Page, pattern: str) -> None:
    """Let the server answer the next such request that it is busy."""
    page.route(pattern, lambda route: route.fulfill(status=503, json=BUSY), times=1)


def test_what_comes_while_everything_is_loaded_again_is_listed(open_page: Pages, watch: Watch) -> None:
    """Bug: an entry that was created and asked for meanwhile fell out of the list with the older state."""
    page = open_page(goto=False)
    # A first index has just ended, as far as this page knows: then it loads everything once more.
    indexing = {"indexing": {"done": 1, "total": 2}}
    page.route("**/health", lambda route: route.fulfill(json=indexing), times=1)
    state = Held(page, "/api/state", passed=1)
    page.goto(f"{watch.url}/k/small")
    state.wait(1)
    watch.write("entry-6", "It comes now.")
    row = page.locator("main [data-id=entry-6]")
    expect(row).to_contain_text("Title of entry-6")
    with page.expect_response("**/api/entries/entry-6?*"):
        state.let()
    expect(row).to_contain_text("Title of entry-6")


def expect_deleted(page: Page, text: str) -> None:
    """Wait until the entry is shown as one that was deleted, and has this last text."""
    expect(page.locator("article.is-deleted .body")).to_have_text(text)
    expect(page.locator("article .notice:visible")).to_contain_text("This entry was deleted at")
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_hidden()


def test_a_deletion_while_a_change_is_loaded_stays_one(open_page: Pages, watch: Watch) -> None:
    """Bug: the answer to what was asked before it made a living entry of a deleted one."""
    open_page.expect_complaint("404")
    page = live(open_page("/k/small/entry-1"))
    expect(page.locator("article .body")).to_have_text("Text 1.")
    answers = Held(page, OF_ENTRY_1)
    watch.write("entry-1", "Its last text.")
    answers.wait(2)
    (watch.kb / "entry-1.md").unlink()
    expect_deleted(page, "Text 1.")
    answers.let()
    expect_deleted(page, "Its last text.")


def test_a_deletion_while_an_entry_is_first_loaded_is_told(open_page: Pages, watch: Watch) -> None:
    """Bug: there was nothing yet to be called deleted, and what came then was shown as if it were there."""
    open_page.expect_complaint("404")
    page = live(open_page("/k/small"))
    answers = Held(page, OF_ENTRY_1)
    page.locator("main [data-id=entry-1] a").click()
    answers.wait(2)
    (watch.kb / "entry-1.md").unlink()
    expect(page.get_by_role("status")).to_contain_text("small: 1 deleted")
    answers.let()
    expect_deleted(page, "Text 1.")


def test_what_was_refused_once_comes_by_itself(open_page: Pages, watch: Watch) -> None:
    """Bug: with the connection alive nothing asked again. An entry, its text, its title in a list; also
    where the answer took too long, which was called a fault of the page."""
    open_page.expect_complaint("503")
    listed = live(open_page("/k/small"))
    refuse_once(listed, "**/api/entries/entry-2?*")
    with listed.expect_response("**/api/entries/entry-2?*") as refused:
        (watch.kb / "entry-2.md").write_text("---\nid: entry-2\ntitle: New\n---\n\nx\n", encoding="utf-8")
    assert refused.value.status == 503

    def opened(prepare: Callable[[Page], object]) -> Page:
        page = live(open_page("/k/small"))
        prepare(page)
        page.locator("main [data-id=entry-1] a").click()
        return page

    without_entry = opened(lambda page: refuse_once(page, "**/api/entries/entry-1?*"))
    expect(without_entry.locator("article .notice:visible")).to_have_text("Busy.")
    without_text = opened(lambda page: refuse_once(page, "**/render/small/entry-1"))
    expect(without_text.locator("article .notice:visible")).to_have_text("The server answered 503.")

    def never(page: Page) -> None:
        page.evaluate(IMPATIENT)
        page.route("**/api/entries/entry-1?*", lambda route: None)

    too_late = opened(never)
    expect(too_late.locator("article .notice:visible")).to_contain_text("The server does not answer.")
    too_late.unroute("**/api/entries/entry-1?*")
    too_late.evaluate("window.isPatient = true")

    expect(listed.locator("main [data-id=entry-2] a")).to_have_text("New")
    for page in (without_entry, without_text, too_late):
        expect(page.locator("article .body")).to_have_text("Text 1.")
        expect(page.get_by_role("button", name="Edit", exact=True)).to_be_visible()
        expect(page.locator("article .notice:visible")).to_have_count(0)


def test_only_what_the_server_knows_to_be_gone_is_called_deleted(open_page: Pages, watch: Watch) -> None:
    """Bug: so was what a proxy did not find, what is of a KB not served, and what is not indexed yet."""
    open_page.expect_complaint("404")
    page = open_page(goto=False)
    health: dict[str, Any] = {"indexing": {"done": 1, "total": 2}}
    page.route("**/health", lambda route: route.fulfill(json=health))
    page.goto(f"{watch.url}/k/small/entry-1")
    expect(page.locator("#status")).to_contain_text("Indexing 1 of 2")
    notice = page.locator("article .notice:visible")
    expect(page.locator("article .body")).to_have_text("Text 1.")
    unserved = {"detail": {"code": "KB_NOT_FOUND", "message": "There is no knowledge base 'small'."}}
    unknown = {"detail": {"code": "NOT_FOUND", "message": "There is no entry 'entry-1' in 'small'."}}

    def answered(text: str, **answer: Any) -> None:
        page.route(re.compile(OF_ENTRY_1), lambda route: route.fulfill(status=404, **answer))
        with page.expect_response(re.compile("/api/entries/entry-1")):
            watch.write("entry-1", text)
        page.evaluate(TWO_FRAMES)

    def expect_back(text: str) -> None:
        assert page.locator("article.is-deleted").count() == 0
        expect(page.get_by_role("button", name="Edit", exact=True)).to_be_visible()
        page.unroute(re.compile(OF_ENTRY_1))
        expect(page.locator("article .body")).to_have_text(text)
        expect(notice).to_have_count(0)

    answered("One.", json=unknown)
    expect(notice).to_have_count(0)
    expect_back("One.")
    health["indexing"] = None
    live(page)
    answered("Two.", json=unserved)
    expect(notice).to_have_text("There is no knowledge base 'small'.")
    expect_back("Two.")
    answered("Three.", body="<h1>Not found</h1>", content_type="text/html")
    expect(notice).to_have_text("The server answered 404.")
    expect_back("Three.")


def test_a_text_that_cannot_be_rendered_is_told(open_page: Pages, watch: Watch) -> None:
    """Bug: the old text stood there as that of the new revision, and nothing said so."""
    open_page.expect_complaint("500")
    page = live(open_page("/k/small/entry-1"))
    article = page.locator("article")
    expect(page.locator("article .body")).to_have_text("Text 1.")
    before = str(article.get_attribute("data-revision"))
    page.route("**/render/small/entry-1", lambda route: route.fulfill(status=500))
    watch.write("entry-1", "It breaks.")
    expect(page.locator("article .notice:visible")).to_have_text("The server answered 500.")
    expect(article).to_have_attribute("data-revision", before)
    page.unroute("**/render/small/entry-1")
    watch.write("entry-1", "It is well.")
    expect(page.locator("article .body")).to_have_text("It is well.")
    expect(page.locator("article .notice:visible")).to_have_count(0)
    expect(article).not_to_have_attribute("data-revision", before)


def test_problems_that_are_not_known_are_not_denied(open_page: Pages, watch: Watch) -> None:
    """Bug: where they could not be asked for there were none, until something else changed."""
    open_page.expect_complaint("503")
    (watch.kb / "entry-2.md").write_text("---\ntitle: [broken\n---\n", encoding="utf-8")
    eventually(lambda: watch.api.get("/api/problems")["problems"], what="the problem is known")
    page = open_page(goto=False)
    refuse_once(page, "**/api/problems")
    page.goto(f"{watch.url}/problems")
    live(page)
    expect(page.locator("main .empty")).to_have_text("Loading…")
    expect(page.locator("main li")).to_contain_text("small/entry-2.md")
