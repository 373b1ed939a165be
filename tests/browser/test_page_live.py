"""How the page tells what happens: storms, breaks, pause, the status in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from harness.fixtures import make_small_kb
from harness.wait import eventually
from playwright.sync_api import Page, Route, expect

from browser.browser import RECORD_SAID, SERVER_GONE, Pages, Watch, tell_new_versions, wait_for
from browser.editing import open_editor, type_text

HIDE = """
Object.defineProperty(document, 'hidden', {configurable: true, get: () => window.isHidden ?? false});
window.setHidden = (hidden) => {
  window.isHidden = hidden;
  document.dispatchEvent(new Event('visibilitychange'));
};
"""


def live(page: Page) -> Page:
    """Wait until the page is live."""
    expect(page.locator("#status")).to_contain_text("Live")
    return page


def write_many(watch: Watch, first: int, last: int, body: str = "Many.") -> None:
    """Write entries with numbers from `first` to `last`."""
    for number in range(first, last + 1):
        watch.write(f"entry-{number}", f"{body} {number}")


def test_a_storm_is_one_line_and_one_announcement(
    serve: Callable[..., Watch], pages_of: Callable[[str], Pages], home: Path
) -> None:
    """142 changed, 9 created, 3 deleted: one line, one sentence announced, at most three toasts."""
    watch = serve(make_small_kb(home / "notes" / "guide", 160))
    page = live(pages_of(watch.url)("/"))
    page.evaluate(RECORD_SAID)
    write_many(watch, 1, 142)
    write_many(watch, 201, 209)
    for number in (158, 159, 160):
        (watch.kb / f"entry-{number}.md").unlink()
    words = "guide: 142 changed, 9 created, 3 deleted"
    expect(page.locator("#activity li")).to_have_text([re.compile(re.escape(words))])
    wait_for(page, f"window.said.includes('{words}')")
    assert page.evaluate("window.said") == [words]
    assert page.locator("[role=status]").count() == 1
    assert page.locator("#toasts > *").count() <= 3


def test_a_restart_lists_what_changed_meanwhile(open_page: Pages, watch: Watch) -> None:
    """What changed while the server was away is told and listed; what is open is true; no reload."""
    open_page.expect_complaint(SERVER_GONE)
    page = live(open_page("/k/small/entry-1"))
    page.evaluate("window.marker = true")
    watch.stop()
    write_many(watch, 1, 12, "Changed meanwhile.")
    watch.start()
    expect(page.locator(".body")).to_have_text("Changed meanwhile. 1")
    toast = page.locator("#toasts", has_text="While you were away: 12 entries changed")
    expect(toast).to_be_visible()
    toast.get_by_role("button", name="Show").click()
    expect(page.locator("#activity .away summary")).to_have_text("While you were away: 12 entries changed")
    expect(page.locator("#activity .away [data-kb=small][data-id]")).to_have_count(12)
    expect(page.locator("main li[data-kb=small]:not([data-id])").first).to_contain_text("12 entries")
    assert page.evaluate("window.marker")


def test_a_new_epoch_is_told_and_everything_is_true_again(open_page: Pages, watch: Watch, home: Path) -> None:
    """Where the log began anew, the page says so, shows what is there now, and does not reload."""
    open_page.expect_complaint(SERVER_GONE)
    page = live(open_page("/k/small/entry-1"))
    page.evaluate("window.marker = true")
    watch.kill()
    watch.write("entry-1", "Of another epoch.")
    watch.write("entry-6", "New.")
    watch.start(state_dir=home / "other-state")
    expect(page.locator(".body")).to_have_text("Of another epoch.")
    expect(page.locator("#toasts")).to_contain_text("Too much changed: reloaded.")
    page.locator(".crumbs a", has_text="small").click()
    expect(page.locator("main [data-id=entry-6] a")).to_be_visible()
    watch.write("entry-6", "And live again.")
    page.locator("main [data-id=entry-6] a").click()
    expect(page.locator(".body")).to_have_text("And live again.")
    assert page.evaluate("window.marker")


def test_a_server_that_is_gone_leaves_what_is_shown(open_page: Pages, watch: Watch) -> None:
    """The words change at once, the banner with the time comes only after 1.5 s, and the entry stays."""
    open_page.expect_complaint(SERVER_GONE)
    page = live(open_page("/k/small/entry-1"))
    expect(page.locator(".body")).to_have_text("Text 1.")
    page.evaluate(
        """() => {
          new MutationObserver(() => {
            const state = document.querySelector('#status').dataset.state;
            if (state === 'reconnecting') window.lostAt ??= performance.now();
            if (!document.querySelector('#notice').hidden) window.toldAt ??= performance.now();
          }).observe(document.body, {subtree: true, attributes: true, childList: true});
        }"""
    )
    watch.kill()
    expect(page.locator("#status")).to_contain_text("Reconnecting…")
    expect(page.locator("#notice")).to_contain_text(re.compile(r"does not answer since \d"))
    assert page.evaluate("window.toldAt - window.lostAt") > 1_000
    expect(page.locator(".body")).to_have_text("Text 1.")
    watch.start()
    live(page)
    expect(page.locator("#notice")).to_be_hidden()


def test_a_short_break_shows_no_banner(open_page: Pages, watch: Watch) -> None:
    """A connection that is lost and found again at once changes nothing but the word."""
    page = live(open_page("/"))
    page.evaluate(
        """() => {
          window.banner = false;
          new MutationObserver(() => { window.banner ||= !document.querySelector('#notice').hidden; })
            .observe(document.querySelector('#notice'), {attributes: true});
        }"""
    )
    page.context.set_offline(True)
    page.context.set_offline(False)
    watch.write("entry-1", "After it.")
    expect(page.locator("#activity")).to_contain_text("Title of entry-1")
    assert not page.evaluate("window.banner")


def test_pause_holds_and_counts_and_resume_merges(open_page: Pages, watch: Watch) -> None:
    """While paused the entry stays, each changed one is counted once, and Resume shows them all."""
    page = live(open_page("/k/small/entry-1"))
    expect(page.locator(".body")).to_have_text("Text 1.")
    page.keyboard.press("p")
    expect(page.locator("#status")).to_contain_text("Paused")
    watch.write("entry-1", "Held.")
    expect(page.locator("#held")).to_have_text("1 held")
    watch.write("entry-1", "Held twice.")
    watch.write("entry-2", "Another.")
    expect(page.locator("#held")).to_have_text("2 held")
    expect(page.locator(".body")).to_have_text("Text 1.")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".body")).to_have_text("Held twice.")
    expect(page.locator("#status")).to_contain_text("Live")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator("#held")).to_be_hidden()


def test_a_hidden_tab_counts_in_its_title(open_page: Pages, watch: Watch) -> None:
    """What changes while nobody looks is counted in the title, an entry once, until one looks."""
    page = open_page(goto=False)
    page.add_init_script(HIDE)
    page.goto(f"{watch.url}/")
    live(page)
    page.evaluate("setHidden(true)")
    for number in (1, 2, 3, 3):
        watch.write(f"entry-{number}", f"Unseen {number}.")
    expect(page).to_have_title("(3) Pyrite Watch")
    page.evaluate("setHidden(false)")
    expect(page).to_have_title("Pyrite Watch")
    expect(page.locator("#activity")).to_contain_text("Title of entry-3")


def test_a_hidden_tab_counts_also_what_is_held_or_replayed(open_page: Pages, watch: Watch) -> None:
    """Bug: the title told of nothing that came while one paused, or after a break."""
    open_page.expect_complaint(SERVER_GONE)
    page = open_page(goto=False)
    page.add_init_script(HIDE)
    page.goto(f"{watch.url}/")
    live(page)
    page.keyboard.press("p")
    page.evaluate("setHidden(true)")
    write_many(watch, 1, 2, "Held.")
    expect(page).to_have_title("(2) Pyrite Watch")
    page.evaluate("setHidden(false)")
    page.keyboard.press("p")
    live(page)
    expect(page).to_have_title("Pyrite Watch")
    page.evaluate("setHidden(true)")
    write_many(watch, 3, 3, "Before the break.")
    expect(page).to_have_title("(1) Pyrite Watch")
    watch.stop()
    write_many(watch, 4, 5, "In the break.")
    watch.start()
    expect(page).to_have_title("(3) Pyrite Watch")


def test_a_first_index_shows_its_progress(open_page: Pages, watch: Watch) -> None:
    """While the server indexes, the status says how far it is; when it is through, the entries are there."""
    page = open_page(goto=False)
    indexing: dict[str, int] | None = {"done": 812, "total": 4300}

    def health(route: Route) -> None:
        route.fulfill(json={"status": "ok", "indexing": indexing})

    page.route("**/health", health)
    page.goto(f"{watch.url}/")
    expect(page.locator("#status")).to_contain_text("Indexing 812 of 4,300")
    progress = page.get_by_role("progressbar", name="Indexing")
    expect(progress).to_be_visible()
    assert progress.evaluate("(bar) => [bar.value, bar.max]") == [812, 4300]
    indexing = {"done": 4299, "total": 4300}
    expect(page.locator("#status")).to_contain_text("Indexing 4,299 of 4,300")
    indexing = None
    live(page)
    expect(page.get_by_role("progressbar")).to_be_hidden()


def test_a_newer_server_is_offered_not_imposed(open_page: Pages, watch: Watch) -> None:
    """When a server of another version answers, a toast offers to load the page again; nothing reloads."""
    page = open_page(goto=False)
    sockets = tell_new_versions(page)
    page.goto(f"{watch.url}/")
    live(page)
    page.evaluate("window.marker = true")
    sockets[0].close(code=1012)
    expect(page.locator("#toasts")).to_contain_text("The server is now 2.0.0.")
    expect(page.locator("#toasts").get_by_role("button", name="Reload")).to_be_visible()
    assert page.evaluate("window.marker")


def test_a_newer_server_is_not_offered_while_one_types(open_page: Pages, watch: Watch) -> None:
    """While text is unsaved nothing asks to load the page again; when it is saved, it does."""
    page = open_page(goto=False)
    sockets = tell_new_versions(page)
    open_editor(open_page, f"{watch.url}/k/small/entry-1", page)
    type_text(page)
    sockets[0].close(code=1012)
    wait_for(page, "document.querySelector('#status').dataset.state === 'reconnecting'")
    live(page)
    assert "The server is now" not in page.locator("#toasts").inner_text()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#toasts")).to_contain_text("The server is now 2.0.0.")


def test_a_server_that_is_newer_from_the_start_is_told(open_page: Pages, watch: Watch) -> None:
    """Bug: an update between the page's loading and its first connection was never told."""
    page = open_page(goto=False)
    tell_new_versions(page, first="1.5.0")
    page.goto(f"{watch.url}/")
    expect(page.locator("#toasts")).to_contain_text("The server is now 1.5.0.")


def test_pause_holds_also_through_a_restart_and_a_new_epoch(
    open_page: Pages, watch: Watch, home: Path
) -> None:
    """Bug: a reconnect brought in what was held, under the reader's eyes."""
    open_page.expect_complaint(SERVER_GONE)
    page = live(open_page("/k/small/entry-1"))
    page.keyboard.press("p")
    expect(page.locator("#status")).to_contain_text("Paused")
    watch.write("entry-1", "Changed while paused.")
    expect(page.locator("#held")).to_have_text("1 held")
    sockets = "performance.getEntriesByType('resource').length"
    before = page.evaluate(sockets)
    watch.restart()
    eventually(lambda: watch.connections == 1)
    eventually(lambda: page.evaluate(sockets) > before)  # it has looked at the KBs, after `ready`
    expect(page.locator(".body")).to_have_text("Text 1.")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".body")).to_have_text("Changed while paused.")
    page.keyboard.press("p")
    watch.kill()
    watch.write("entry-1", "Of another epoch.")
    watch.start(state_dir=home / "other-state")
    eventually(lambda: watch.connections == 1)
    expect(page.locator("#status")).to_contain_text("Paused")
    expect(page.locator(".body")).to_have_text("Changed while paused.")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".body")).to_have_text("Of another epoch.")
    expect(page.locator("#toasts")).to_contain_text("Too much changed: reloaded.")


def test_what_happens_while_the_page_is_loaded_is_listed(open_page: Pages, watch: Watch) -> None:
    """Bug: it was put aside for the next break, and told then as if somebody had been away."""
    page = open_page(goto=False)
    held: list[Route] = []
    page.route("**/api/events/log*", lambda route: held.append(route))
    page.goto(watch.url + "/")
    eventually(lambda: page.evaluate("1") and held)
    watch.write("entry-2", "Just then.")
    eventually(lambda: watch.api.entry("small", "entry-2")["body"] == "Just then.")
    held[0].continue_()
    live(page)
    expect(page.locator("#activity li[data-id=entry-2]")).to_contain_text("changed")
    assert page.locator("#activity .away").count() == 0


def test_a_state_that_does_not_come_is_asked_for_again(open_page: Pages, watch: Watch, home: Path) -> None:
    """Bug: after a new epoch it said that it had reloaded, whatever became of that, and stayed as it was."""
    open_page.expect_complaint(SERVER_GONE)
    open_page.expect_complaint("503")
    page = live(open_page("/k/small"))
    refused: list[Route] = []

    def refuse(route: Route) -> None:
        refused.append(route)
        if len(refused) == 1:
            route.fulfill(status=503)
        else:
            route.continue_()

    page.route("**/api/state*", refuse)
    watch.kill()
    watch.write("entry-6", "Of another epoch.")
    watch.start(state_dir=home / "other-state")
    expect(page.locator("main [data-id=entry-6] a")).to_be_visible()
    expect(page.locator("#toasts")).to_contain_text("Too much changed: reloaded.")
    assert len(refused) >= 2
