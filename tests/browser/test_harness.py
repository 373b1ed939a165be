"""The browser's harness itself: it sees what it must see, and leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest
from playwright.sync_api import expect

from browser.browser import Pages, Watch


def test_a_page_is_served_and_says_nothing_wrong(open_page: Pages) -> None:
    """The page opens in Chromium without an error or a violation of its own policy."""
    page = open_page("/")
    expect(page).to_have_title("Pyrite Watch")


def test_a_loop_of_its_own_runs_beside_the_browser(chromium: object) -> None:
    """A test that runs an event loop can share the process with the browser's tests."""

    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert asyncio.run(answer()) == 42


@pytest.mark.parametrize(
    "script",
    [
        "console.error('something is wrong')",
        "setTimeout(() => { throw new Error('something is wrong') })",
        "document.body.append(Object.assign(document.createElement('img'), {src: 'https://something.invalid/wrong'}))",
    ],
    ids=["logged", "thrown", "forbidden"],
)
def test_a_complaint_fails_unless_it_is_expected(open_page: Pages, script: str) -> None:
    """An error that is logged or thrown, and a violation of the policy, are complaints."""
    page = open_page()
    with page.expect_event("pageerror" if "throw" in script else "console"):
        page.evaluate(script)
    with pytest.raises(AssertionError, match="wrong"):
        open_page.check()
    open_page.expect_complaint("something")
    open_page.check()


def test_two_tabs_of_one_profile_share_what_a_profile_holds(open_page: Pages) -> None:
    """Tabs opened without options share a profile; one with options has its own."""
    first, second, other = open_page(), open_page(), open_page(color_scheme="dark")
    first.evaluate("localStorage.setItem('kept', 'yes')")
    assert second.evaluate("localStorage.getItem('kept')") == "yes"
    assert other.evaluate("localStorage.getItem('kept')") is None


def test_a_watch_comes_back_at_its_address(watch: Watch) -> None:
    """A restart keeps the address and the log; another state folder makes another epoch."""
    epoch = watch.process.ready["epoch"]
    assert watch.restart().ready["epoch"] == epoch
    watch.kill()
    assert watch.start(state_dir=watch.state_dir.with_name("other")).ready["epoch"] != epoch
    assert watch.connections == 0
