"""What the tests of the editor do again and again: open it, type, and read what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.wait import eventually
from playwright.sync_api import Error, Page, Route, expect

from browser.browser import Pages

TYPED = "Typed here, and not to be lost."

FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') };"
"""Lets a page find its storage full."""


def open_editor(open_page: Pages, path: str = "/k/small/entry-1", page: Page | None = None) -> Page:
    """Open an entry and its editor; return when the text can be typed in and events come."""
    if page is None:
        page = open_page(path)
    else:
        page.goto(path if "://" in path else f"{open_page._base_url}{path}")
    expect(page.get_by_role("status")).to_contain_text("Live")
    page.get_by_role("button", name="Edit", exact=True).click()
    expect(page.get_by_label("Body", exact=True)).to_be_editable()
    return page


def type_text(page: Page, text: str = TYPED) -> None:
    """Type at the end of the body, key by key."""
    body = page.get_by_label("Body", exact=True)
    body.press("Control+End")
    body.press_sequentially(text)


def body_of(page: Page) -> str:
    """What the text area holds."""
    return page.get_by_label("Body", exact=True).input_value()


def press(page: Page, name: str) -> None:
    """Click a button by its exact name."""
    page.get_by_role("button", name=name, exact=True).click()


def expect_conflict(page: Page, what: str = "Changed") -> None:
    """Wait until the page says that the file is another."""
    expect(page.get_by_text(f"{what} on disk")).to_be_visible()
    expect(page.get_by_role("button", name="Keep mine", exact=True)).to_be_visible()


def expect_no_conflict(page: Page) -> None:
    """The page does not ask which of two texts it should be."""
    expect(page.get_by_role("button", name="Keep mine", exact=True)).to_have_count(0)


def await_saved(file: Path, *parts: str) -> str:
    """Wait until the file on disk holds these texts; return it whole."""

    def holds() -> str:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        return text if all(part in text for part in parts) else ""

    return eventually(holds, what=f"{file.name} holds {parts}")


def drafts_in(page: Page) -> list[str]:
    """The drafts in the browser's storage, as they are stored."""
    script = "Object.keys(localStorage).filter(k => k.startsWith('pyrite-draft')).map(k => localStorage[k])"
    try:
        found: list[str] = page.evaluate(script)
    except Error as error:  # the page is just going to another address
        raise AssertionError(str(error)) from error
    return found


def await_draft(page: Page, text: str = TYPED) -> None:
    """Wait until a draft in the storage holds a text."""
    eventually(lambda: any(text in draft for draft in drafts_in(page)), what="a draft in the storage")


def revision_of(file: Path) -> str:
    """As the contract computes it."""
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()


@contextmanager
def held(page: Page, method: str, answer_first: bool = True) -> Iterator[Callable[[], None]]:
    """Hold the answers to a method's calls of the entries; what is yielded lets them through.

    With `answer_first` the server has done its work before: only its answer is late.
    """
    waiting: list[Callable[[], None]] = []
    is_open = False

    def hold(route: Route) -> None:
        if route.request.method != method or is_open:
            route.continue_()
        elif answer_first:
            response = route.fetch()
            waiting.append(lambda: route.fulfill(response=response))
        else:
            waiting.append(route.continue_)

    def let() -> None:
        nonlocal is_open
        # The dispatcher of the synchronous interface runs while a call of it waits.
        eventually(lambda: page.evaluate("1") and waiting, what=f"a {method} to hold")
        is_open = True
        for release in waiting:
            release()

    page.route("**/api/entries**", hold)
    yield let
    page.unroute("**/api/entries**", hold)
