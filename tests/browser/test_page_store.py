"""The page's replica by itself, fed in a real browser: when it tells the views what came."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import Any

from playwright.sync_api import Page

from browser.browser import Pages, Watch

FEED = """async ({ groups, each, every_ms, then_ms }) => {
  const { Store } = await import(new URL("web/store.js", document.baseURI).href);
  const store = new Store();
  const told = [];
  let isReceiving = false;
  let offset = 0;
  const began = performance.now();
  store.onBatch = (batch) => told.push({ at_ms: performance.now() - began, isAtOnce: isReceiving,
    offsets: batch.map(([{ offset }]) => offset) });
  const wait = (delay_ms) => new Promise((done) => setTimeout(done, delay_ms));
  const send = async (count) => {
    for (; count; count--) {
      offset += 1;
      const event = { type: "entry_deleted", kb_name: "kb", entry_id: `e-${offset}`, epoch: "e", offset };
      store.receive(event, {});
    }
    isReceiving = true; // until the microtasks are through: what is told in one of them is told at once
    await new Promise((done) => queueMicrotask(done));
    isReceiving = false;
  };
  for (let group = 1; group <= groups; group++) {
    await wait(Math.max(0, group * every_ms - (performance.now() - began)));
    await send(each);
  }
  const ended_ms = performance.now() - began;
  await wait(then_ms);
  await send(1);
  await wait(100);
  return { told, ended_ms };
}"""


def feed(
    page: Page, *, groups: int, each: int, every_ms: float, then_ms: float
) -> tuple[list[dict[str, Any]], float]:
    """Give it groups of events, then after a while one more; what it told, and when the groups ended."""
    given = {"groups": groups, "each": each, "every_ms": every_ms, "then_ms": then_ms}
    result = page.evaluate(FEED, given)
    return result["told"], result["ended_ms"]


def test_a_storm_is_told_twice_a_second(open_page: Pages, watch: Watch) -> None:
    """Each frame that is drawn costs what the storm itself needs; all of it is told, in order, and soon."""
    told, ended_ms = feed(open_page("/problems"), groups=160, each=10, every_ms=25, then_ms=1_500)
    assert [offset for batch in told for offset in batch["offsets"]] == list(range(1, 1_602))
    times_ms = [batch["at_ms"] for batch in told[:-1] if batch["offsets"][0] > 200]
    gaps_ms = [after - before for before, after in pairwise(times_ms)]
    assert len(gaps_ms) >= 4
    assert median(gaps_ms) >= 400, gaps_ms
    assert told[-2]["at_ms"] < ended_ms + 1_000


def test_after_a_storm_an_event_is_told_at_once(open_page: Pages, watch: Watch) -> None:
    """One that comes alone waits for nothing, not even for a frame."""
    told, _ = feed(open_page("/problems"), groups=40, each=10, every_ms=10, then_ms=1_500)
    assert told[-1]["offsets"] == [401]
    assert told[-1]["isAtOnce"]


def test_a_few_events_are_told_frame_by_frame(open_page: Pages, watch: Watch) -> None:
    """Less than a storm is shown as it comes."""
    told, _ = feed(open_page("/problems"), groups=60, each=1, every_ms=25, then_ms=200)
    assert len(told) >= 20
