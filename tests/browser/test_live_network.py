"""live.js notices a network that is gone, tries again with growing, spread waits, and says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.wait import eventually

from browser.browser import SERVER_GONE, Pages, Watch, wait_for
from browser.follower import BLANK, Follower, offset_of
from browser.test_live_resume import written
from browser.wire import Wire

# The page's clock runs 50 times as fast for what live.js waits, and each wait is noted.
FAST_TIMERS = """
const real = setTimeout;
globalThis.waits = [];
globalThis.setTimeout = (call, ms, ...rest) => { waits.push(ms); return real(call, ms / 50, ...rest); };
"""


@pytest.fixture
def wire(watch: Watch) -> Iterator[Wire]:
    """A wire to the server."""
    with Wire(watch.port) as laid:
        yield laid


@pytest.fixture
def open_far(pages_of: Callable[[str], Pages], wire: Wire) -> Pages:
    """Open tabs that reach the server through the wire."""
    pages = pages_of(wire.url)
    pages.expect_complaint(SERVER_GONE)
    return pages


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own-socket"])
def test_a_cut_connection_is_resumed(open_far: Pages, wire: Wire, watch: Watch, shared: bool) -> None:
    """A router that forgets the connection costs no event."""
    tab = Follower(open_far, since=watch.process.position, shared=shared)
    tab.wait_live()
    after = offset_of(watch.process.position)
    tab.wait_offset(written(watch, "entry-1", "Before the cut."))
    wire.refuse()
    tab.wait_lost()
    missed = written(watch, "entry-2", "While it was cut off.")
    wire.flow()
    tab.wait_readies(2)
    last = written(watch, "entry-3", "Afterwards.")
    tab.wait_offset(last)
    tab.check_dense(after, last)
    assert [event["offset"] for event in tab.events if event["replayed"]] == [missed - 1, missed]


def test_silence_is_noticed(open_far: Pages, wire: Wire, watch: Watch) -> None:
    """A connection that says nothing for 35 s is replaced, one that is silent for less is not."""
    page = open_far(goto=False)
    page.clock.install()
    page.goto(wire.url + BLANK)
    tab = Follower(open_far, page=page, since=watch.process.position, shared=False)
    tab.wait_live()
    wire.stall()
    before = len(wire.accepted_s)
    page.clock.run_for(30_000)
    assert tab.get("state.value") == "live"
    assert len(wire.accepted_s) == before
    page.clock.run_for(8_000)
    eventually(lambda: len(wire.accepted_s) > before, what="a new connection")
    assert tab.get("state.value") == "reconnecting"
    last = written(watch, "entry-1", "Behind the stalled wire.")
    wire.flow()
    tab.wait_offset(last)
    tab.check_dense(offset_of(watch.process.position), last)


def test_after_sleep_it_looks_at_once(open_far: Pages, wire: Wire, watch: Watch) -> None:
    """A clock that jumped means that the device slept: the connection is replaced at once."""
    page = open_far(goto=False)
    page.clock.install()
    page.goto(wire.url + BLANK)
    tab = Follower(open_far, page=page, since=watch.process.position, shared=False)
    tab.wait_live()
    before = len(wire.accepted_s)
    page.clock.fast_forward(25_000)
    # Real time goes on: after 10 s more it would be the 35 s of silence.
    eventually(lambda: len(wire.accepted_s) > before, timeout_s=6, what="a new connection after sleep")
    last = written(watch, "entry-1", "After sleep.")
    tab.wait_offset(last)
    tab.check_dense(offset_of(watch.process.position), last)


@pytest.mark.parametrize("event", ["online", "visibilitychange", "resume"])
def test_what_promises_a_network_is_tried_at_once(
    open_far: Pages, wire: Wire, watch: Watch, event: str
) -> None:
    """When the device is online again, or the tab is looked at, the back-off is cut short."""
    page = open_far(goto=False)
    page.clock.install()
    page.goto(wire.url + BLANK)
    tab = Follower(open_far, page=page, since=watch.process.position, shared=False)
    tab.wait_live()
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    wire.cut()
    tab.wait_lost()  # no timer runs any more: without the event it would stay so
    target = "window" if event == "online" else "document"
    # Again and again: the first attempt may get a connection of Chromium's that was cut with the others.
    tab.wait(f"({target}.dispatchEvent(new Event('{event}')), following.live.state.value === 'live')")


def test_the_back_off_doubles_up_to_ten_seconds(open_far: Pages, wire: Wire, watch: Watch) -> None:
    """The ceiling of the waits begins at 250 ms, doubles each time, and ends at 10 s."""
    waits = waits_of_a_lost_tab(open_far, wire, "Math.random = () => 1 - Number.EPSILON;")
    assert [round(wait) for wait in waits] == [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]


def test_the_back_off_is_spread_over_its_whole_range(open_far: Pages, wire: Wire, watch: Watch) -> None:
    """Full jitter: each wait is anywhere below its ceiling, and two tabs do not wait alike."""
    first, second = (waits_of_a_lost_tab(open_far, wire, "") for _ in range(2))
    for waits in (first, second):
        assert all(0 <= wait <= min(250 * 2**at, 10_000) for at, wait in enumerate(waits)), waits
    assert first != second
    # That of 16 waits none lies in the lower half of its range has a chance of 1 to 65,536.
    assert any(wait < 125 * 2 ** min(at, 5) for waits in (first, second) for at, wait in enumerate(waits))


def waits_of_a_lost_tab(open_far: Pages, wire: Wire, script: str, count: int = 8) -> list[float]:
    """Lose the server for good, and return how long the tab waits before each attempt."""
    context = open_far.new_context()
    context.add_init_script(FAST_TIMERS + script)
    wire.flow()
    tab = Follower(open_far, context=context, shared=False)
    tab.wait_live()
    wire.refuse()
    waits: list[float] = wait_for(tab.page, f"waits.length >= {count} && waits.slice(0, {count})")
    tab.page.close()
    return waits


def test_only_a_steady_connection_ends_the_back_off(open_far: Pages, wire: Wire, watch: Watch) -> None:
    """A server that takes the connection and drops it at once is not hammered: the waits go on growing."""
    context = open_far.new_context()
    context.add_init_script(FAST_TIMERS + "Math.random = () => 1 - Number.EPSILON;")
    tab = Follower(open_far, context=context, shared=False)
    for times in range(1, 5):
        tab.wait_readies(times)
        wire.cut()
    waits = wait_for(tab.page, "waits.length >= 4 && waits")
    assert [round(wait) for wait in waits[:4]] == [250, 500, 1_000, 2_000]


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own-socket"])
def test_a_refused_token_is_told_and_tried_again(
    serve: Callable[..., Watch],
    pages_of: Callable[[str], Pages],
    small_kb: Path,
    shared: bool,
) -> None:
    """Without the token it is refused, and says why; when another tab brought it, all are live."""
    watch = serve(small_kb, options=["--token", "a-long-enough-token-for-a-test"])
    pages = pages_of(watch.url)
    pages.expect_complaint("status of 40")
    page = pages("/?token=a-long-enough-token-for-a-test")
    page.context.clear_cookies()
    tab = Follower(pages, page=page, shared=shared)
    tab.wait("following.live.state.value === 'refused'")
    assert tab.get("reason") == "token"
    assert tab.get("lostSince") is not None
    pages("/?token=a-long-enough-token-for-a-test")
    tab.page.evaluate("following.live.reconnect()")
    tab.wait_live()
    assert tab.get("reason") is None


def test_a_shut_door_is_told(open_far: Pages, wire: Wire, watch: Watch) -> None:
    """A server that answers with 403 is not gone: it refuses, and that is said."""
    page = open_far(BLANK)
    page.route("**/health", lambda route: route.fulfill(status=403, body="{}"))
    open_far.expect_complaint("403")
    tab = Follower(open_far, page=page, shared=False)
    tab.wait_live()
    wire.refuse()
    tab.wait("following.live.state.value === 'refused'")
    assert tab.get("reason") == "forbidden"
    page.unroute("**/health")
    wire.flow()
    tab.page.evaluate("following.live.reconnect()")
    tab.wait_live()
