"""All tabs of a browser share one socket, and each still hears everything once, whatever the others do."""

from __future__ import annotations

import contextlib

from harness.fixtures import write_entry
from harness.wait import eventually
from playwright.sync_api import Error, Page, WebSocket

from browser.browser import Pages, Watch
from browser.follower import Follower, offset_of
from browser.test_live_resume import written


def two_tabs(open_page: Pages, watch: Watch) -> tuple[Follower, Follower]:
    """Two tabs of one profile that follow from the first position."""
    since = watch.process.position
    tabs = Follower(open_page, since=since), Follower(open_page, since=since)
    for tab in tabs:
        tab.wait_live()
    eventually(lambda: watch.connections == 1, what="one connection for both tabs")
    return tabs


def test_two_tabs_share_one_socket(open_page: Pages, watch: Watch) -> None:
    """The server sees one connection, and both tabs hear the same; the last that goes closes it."""
    first, second = two_tabs(open_page, watch)
    after = offset_of(watch.process.position)
    last = written(watch, "entry-1", "For both.")
    for tab in (first, second):
        tab.wait_offset(last)
        tab.check_dense(after, last)
    first.page.close()
    last = written(watch, "entry-2", "For the one that stays.")
    second.wait_offset(last)
    second.check_dense(after, last)
    assert watch.connections == 1
    second.page.close()
    eventually(lambda: watch.connections == 0, what="no connection without a tab")


def test_profiles_do_not_share(open_page: Pages, watch: Watch) -> None:
    """Another profile is another browser: it has a socket of its own."""
    tabs = [Follower(open_page, context=open_page.new_context()) for _ in range(2)]
    for tab in tabs:
        tab.wait_live()
    eventually(lambda: watch.connections == 2, what="a connection a profile")


def test_a_tab_without_workers_has_a_socket_of_its_own(open_page: Pages, watch: Watch) -> None:
    """Where there is no SharedWorker, or it cannot start, each tab follows by itself."""
    context = open_page.new_context()
    context.add_init_script("delete globalThis.SharedWorker")
    without = Follower(open_page, context=context, since=watch.process.position)
    broken = open_page.new_context()
    broken.route("**/live-worker.js*", lambda route: route.abort())
    broken.add_init_script(
        "globalThis.SharedWorker = class extends SharedWorker {"
        "  constructor(url, options) { super(String(url).replace('live-worker', 'missing'), options) } }"
    )
    open_page.expect_complaint("missing.js|TrustedScriptURL|trusted")
    failing = Follower(open_page, context=broken, since=watch.process.position)
    last = written(watch, "entry-1", "Heard.")
    for tab in (without, failing):
        tab.wait_offset(last)
        tab.check_dense(offset_of(watch.process.position), last)
    eventually(lambda: watch.connections == 2, what="a connection each")


def test_a_tab_that_comes_late_hears_all_from_its_position(open_page: Pages, watch: Watch) -> None:
    """What happened between its loading and its joining comes from the worker, or from the log."""
    written(watch, "entry-1", "Before any tab came.")
    after = offset_of(watch.process.position)
    early = Follower(open_page)  # from now on
    early.wait_live()
    begun = int(early.get("position").rpartition(":")[2])
    last = written(watch, "entry-2", "While one was there.")
    early.wait_offset(last)
    late = Follower(open_page, since=watch.process.position)
    recent = Follower(open_page, since=f"{watch.process.ready['epoch']}:{begun + 1}")
    for tab in (late, recent):
        tab.wait_live()
    last = written(watch, "entry-3", "While all are there.")
    for tab, since in ((early, begun), (late, after), (recent, begun + 1)):
        tab.wait_offset(last)
        tab.check_dense(since, last)
    eventually(lambda: watch.connections == 1, what="one connection when all have joined")


def test_a_crash_of_a_tab_leaves_the_others_going(open_page: Pages, watch: Watch) -> None:
    """A tab that crashes, the worker with it if they share a process, costs the other no event."""
    open_page.expect_complaint("a tab crashed")
    first, second = two_tabs(open_page, watch)
    after = offset_of(watch.process.position)
    second.wait_offset(written(watch, "entry-1", "Before."))
    crash(first.page)
    last = written(watch, "entry-2", "After the crash.")
    second.wait_offset(last)
    second.check_dense(after, last)
    eventually(lambda: watch.connections == 1, what="the one connection")
    second.page.close()
    eventually(lambda: watch.connections == 0, what="no connection: the tab that crashed holds none")


def test_a_worker_that_dies_is_replaced(open_page: Pages, watch: Watch) -> None:
    """When the worker itself is gone the tabs start another, and go on where they were."""
    first, second = two_tabs(open_page, watch)
    after = offset_of(watch.process.position)
    first.wait_offset(written(watch, "entry-1", "Before."))
    session = open_page.browser.new_browser_cdp_session()
    targets = session.send("Target.getTargets")["targetInfos"]
    (worker,) = [target["targetId"] for target in targets if target["type"] == "shared_worker"]
    session.send("Target.closeTarget", {"targetId": worker})
    for tab in (first, second):
        tab.wait_readies(2)
    last = written(watch, "entry-2", "After its end.")
    for tab in (first, second):
        tab.wait_offset(last)
        tab.check_dense(after, last)
    eventually(lambda: watch.connections == 1, what="one connection again")


def test_a_worker_of_another_version_is_not_joined(open_page: Pages, watch: Watch) -> None:
    """A tab that was loaded before an update goes on beside one that was loaded after it."""
    since = watch.process.position
    old = Follower(open_page, since=since)
    old.wait_live()
    page = open_page(goto=False)
    page.route(
        "**/web/live/version.js",
        lambda route: route.fulfill(
            body='export const VERSION = "99.0.0";', content_type="text/javascript; charset=utf-8"
        ),
    )
    page.goto(watch.url + "/health")
    sockets: list[WebSocket] = []
    page.on("websocket", lambda socket: sockets.append(socket))  # of the tab itself: a worker's are not told
    new = Follower(open_page, page=page, since=since)
    new.wait_live()
    last = written(watch, "entry-1", "For both versions.")
    for tab in (old, new):
        tab.wait_offset(last)
        tab.check_dense(offset_of(since), last)
    assert len(sockets) == 1
    old.page.close()
    last = written(watch, "entry-2", "For the one that stays.")
    new.wait_offset(last)
    new.page.close()
    eventually(lambda: watch.connections == 0, what="no connection without a tab")


def crash(page: Page) -> None:
    """Crash a tab's process, and wait until it is gone."""
    with page.expect_event("crash"), contextlib.suppress(Error):
        page.goto("chrome://crash")


def test_a_frozen_tab_holds_nobody_up_and_misses_nothing(open_page: Pages, watch: Watch) -> None:
    """While one tab is frozen the other hears everything; thawed, the first hears it, too."""
    first, second = two_tabs(open_page, watch)
    after = offset_of(watch.process.position)
    session = first.page.context.new_cdp_session(first.page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    for number in range(1, 6):
        last = written(watch, f"entry-{number}", "While it was frozen.")
    second.wait_offset(last)
    second.check_dense(after, last)
    session.send("Page.setWebLifecycleState", {"state": "active"})
    first.wait_offset(last)
    first.check_dense(after, last)


def test_a_page_that_is_put_by_holds_nothing_and_resumes(open_page: Pages, watch: Watch) -> None:
    """A page kept for "back" has no part in the socket; shown again, it goes on from where it was.

    Playwright turns that cache of Chromium off, so the two events that it makes are made here.
    """
    tab = Follower(open_page, since=watch.process.position)
    tab.wait_live()
    after = offset_of(watch.process.position)
    tab.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    eventually(lambda: watch.connections == 0, what="no connection of a page that is put by")
    last = written(watch, "entry-1", "While it was put by.")
    assert tab.events == []
    tab.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    tab.wait_offset(last)
    tab.check_dense(after, last)


def storm(watch: Watch, files: int) -> int:
    """Make so many new files; the offset of the last event of theirs."""
    for number in range(files):
        write_entry(watch.kb / f"storm-{number}.md", f"storm-{number}", "One of many.")
    events = watch.process.messages.wait_until(
        lambda messages: (
            sum(message["type"] == "entry_created" for message in messages) == files
            and messages[-1]["type"] == "kb_synced"
        ),
        timeout_s=30,
        what=f"{files} created entries",
    )
    return int(events[-1]["offset"])


def test_a_storm_reaches_both_tabs_completely(open_page: Pages, watch: Watch) -> None:
    """1,500 new files: both tabs hear every event, once and in order, in far fewer messages of the worker."""
    first, second = two_tabs(open_page, watch)
    after = offset_of(watch.process.position)
    last = storm(watch, 1_500)
    for tab in (first, second):
        tab.wait_offset(last)
        tab.check_dense(after, last)
        # Each costs the tab a task, in which it could have drawn a frame.
        assert 0 < tab.page.evaluate("following.messages") < 500


def test_a_tab_that_leaves_in_a_storm_knows_what_it_was_told(open_page: Pages, watch: Watch) -> None:
    """A listener closes in the middle of what came together: its position is not that of the rest."""
    context = open_page.new_context()
    tab = Follower(open_page, context=context, since=watch.process.position)
    tab.wait_live()
    after = offset_of(watch.process.position)
    tab.page.evaluate(
        "void following.live.on('event', () => following.heard.length > 20 && following.live.close())"
    )
    last = storm(watch, 500)
    tab.wait("following.live.state.value === 'closed'")
    told = tab.offsets
    assert told == list(range(after + 1, told[-1] + 1))
    assert told[-1] < last
    assert offset_of(tab.get("position")) == told[-1]
    again = Follower(open_page, context=context, since=tab.get("position"))
    again.wait_offset(last)
    again.check_dense(told[-1], last)


def test_a_hole_in_what_comes_together_is_seen(open_page: Pages, watch: Watch) -> None:
    """The tab takes nothing that lies behind it, and begins again from where it was."""
    context = open_page.new_context()
    # The first message of many loses its third.
    context.add_init_script(
        "{ const { set } = Object.getOwnPropertyDescriptor(MessagePort.prototype, 'onmessage');"
        "  Object.defineProperty(MessagePort.prototype, 'onmessage', { set(take) {"
        "    set.call(this, (event) => {"
        "      const { messages } = event.data ?? {};"
        "      if (messages?.length > 9 && !globalThis.lost) globalThis.lost = messages.splice(2, 1);"
        "      return take(event);"
        "    }); } }); }"
        "globalThis.begun = 0;"
        "globalThis.SharedWorker = class extends SharedWorker"
        "  { constructor(...given) { super(...given); globalThis.begun += 1; } };"
    )
    tab = Follower(open_page, context=context, since=watch.process.position)
    tab.wait_live()
    after = offset_of(watch.process.position)
    last = storm(watch, 500)
    tab.wait_offset(last)
    assert tab.page.evaluate("globalThis.lost.length") == 1
    assert tab.page.evaluate("globalThis.begun") == 2
    tab.check_dense(after, last)
