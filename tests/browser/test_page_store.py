"""The page's replica by itself, fed in a real browser: when it tells the views what came."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import Any

from playwright.sync_api import Page, expect

from browser.browser import Pages, Watch, wait_for
from browser.test_page_late import TWO_FRAMES, Held, live

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

STORE = """async () => {
  const { Store } = await import(new URL("web/store.js", document.baseURI).href);
  const store = new Store();
  store.loaded = true;
  const asked = []; // how each request for the state is answered; others never are
  const addresses = [];
  window.fetch = (url) => new Promise((answer) => {
    addresses.push(String(url));
    if (String(url).includes("api/state")) asked.push(answer);
  });
  let offset = 0;
  const change = (count, kb_name = "kb") => {
    for (let n = 1; n <= count; n++) {
      offset += 1;
      const event = { type: "entry_updated", kb_name, entry_id: `e-${n}`, epoch: "e", offset };
      store.receive(event, {});
    }
  };
  // Answered, read, and through with all that follows at once.
  const answer = (count) => new Promise((done) => {
    const entry = (id) => ({ kb_name: "kb", id, title: `As of ${offset}` });
    const lines = [{ epoch: "e", offset }, ...Array.from({ length: count }, (_, n) => entry(`e-${n + 1}`))];
    const pull = (controller) => {
      const line = JSON.stringify(lines.shift());
      if (line) return controller.enqueue(new TextEncoder().encode(`${line}\\n`));
      controller.close();
      scheduler.yield().then(() => scheduler.yield()).then(done);
    };
    asked.at(-1)(new Response(new ReadableStream({ pull }, { highWaterMark: 0 })));
  });
  window.tried = { store, asked, addresses, change, answer, title: () => store.of("kb").get("e-1")?.title };
}"""
"""Lets a page have a store that the test feeds, and whose requests it answers."""


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


def test_a_burst_is_asked_for_once_when_it_is_through(open_page: Pages, watch: Watch) -> None:
    """A state is much to write and to read: one after the burst, and one each 5 s of what does not end."""
    page = open_page("/problems")
    page.clock.install(time=0)
    page.clock.pause_at(1_000)
    page.evaluate(STORE)

    def storm(for_ms: int) -> None:
        for _ in range(for_ms // 200):
            page.evaluate("tried.change(40)")
            page.clock.run_for(200)

    storm(2_000)
    assert page.evaluate("tried.asked.length") == 0
    page.clock.run_for(1_000)
    assert page.evaluate("tried.asked.length") == 1
    page.evaluate("tried.answer(40)")
    storm(4_000)
    assert page.evaluate("tried.asked.length") == 1
    storm(2_000)
    assert page.evaluate("tried.asked.length") == 2


def test_an_edit_does_not_wait_for_the_storm_in_another_kb(open_page: Pages, watch: Watch) -> None:
    """What is wanted of the one is little, and asked for first."""
    page = open_page("/problems")
    page.evaluate(STORE)
    page.evaluate("tried.change(40); tried.change(1, 'other')")
    wait_for(page, "tried.addresses.length")
    assert "api/entries/e-1?kb=other" in page.evaluate("tried.addresses[0]")


def test_a_list_is_told_when_it_has_something_else_to_show(open_page: Pages, watch: Watch) -> None:
    """What changed in an entry is asked for first: until then a storm is no work for the lists."""
    page = open_page("/problems")
    page.evaluate(STORE)
    told = page.evaluate(
        """() => {
          let times = 0;
          tried.store.of("kb").set("e-1", { id: "e-1", path: "a.md" });
          tried.store.observe({ kb: "kb", tell: () => (times += 1) });
          let offset = 0;
          const tell = (type, path) => {
            const before = times;
            offset += 1;
            tried.store.receive({ type, kb_name: "kb", entry_id: "e-1", path, epoch: "e", offset }, {});
            tried.store.flush();
            return times - before;
          };
          const changed = [tell("entry_updated", "a.md"), tell("entry_updated", "b.md")];
          return [...changed, tell("entry_deleted", "b.md")];
        }"""
    )
    assert told == [0, 1, 1]


def test_while_a_state_is_read_all_else_has_its_turn(open_page: Pages, watch: Watch) -> None:
    """Bug: what came after each slice was the next one, and 100 ms long no frame was drawn."""
    page = open_page("/problems")
    page.evaluate(STORE)
    turns = page.evaluate(
        """() => new Promise((done) => {
          const line = (n) => JSON.stringify({ kb_name: "kb", id: `e-${n}`, title: "As long as many are" });
          const lines = Array.from({ length: 100_000 }, (_, n) => line(n));
          const text = [JSON.stringify({ epoch: "e", offset: 1 }), ...lines].join("\\n");
          let turns;
          window.fetch = async () => ((turns = 0), new Response(text));
          setInterval(() => (turns += 1), 0);
          tried.store.observe({ kb: "kb", tell: () => tried.title() && done(turns) });
          tried.change(40);
        })"""
    )
    assert turns > 5  # none at all without a pause


def test_pause_holds_a_storm_that_is_under_way(open_page: Pages, watch: Watch) -> None:
    """Bug: a whole state that was on its way, or waited for, changed the list under the reader's eyes."""
    page = open_page("/problems")
    page.clock.install()
    page.evaluate(STORE)
    page.evaluate("tried.change(40)")
    wait_for(page, "tried.asked.length === 1")
    page.evaluate("tried.store.pause()")
    page.evaluate("tried.answer(40)")
    assert page.evaluate("tried.store.of('kb').size") == 0
    page.evaluate("tried.store.resume()")
    wait_for(page, "tried.asked.length === 2")
    page.evaluate("tried.answer(40)")
    assert page.evaluate("tried.title()") == "As of 40"

    page.evaluate("tried.change(40)")
    page.evaluate("tried.store.pause()")
    page.clock.fast_forward(2_500)  # longer than one state waits for the next
    assert page.evaluate("tried.asked.length") == 2
    page.evaluate("tried.store.resume()")
    wait_for(page, "tried.asked.length === 3")
    page.evaluate("tried.answer(40)")
    assert page.evaluate("tried.title()") == "As of 80"


def test_pause_holds_an_entry_that_was_asked_for(open_page: Pages, watch: Watch) -> None:
    """Bug: the title that one event had asked for came while the page was paused."""
    page = live(open_page("/k/small"))
    row = page.locator("main [data-id=entry-2] a")
    answers = Held(page, "/api/entries/entry-2")
    (watch.kb / "entry-2.md").write_text("---\nid: entry-2\ntitle: New\n---\n\nx\n", encoding="utf-8")
    answers.wait(1)
    page.keyboard.press("p")
    with page.expect_response("**/api/entries/entry-2?*"):
        answers.let()
    page.evaluate(TWO_FRAMES)
    expect(row).to_have_text("Title of entry-2")
    page.keyboard.press("p")
    expect(row).to_have_text("New")


def test_a_changed_entry_goes_nowhere_but_to_its_place(open_page: Pages, watch: Watch) -> None:
    """Bug: one whose file says when it was updated went to the top, and back when that was known."""
    old = "---\nid: entry-2\ntitle: Old\nupdated_at: 2001-01-01T00:00:00Z\n---\n\n{}\n"
    (watch.kb / "entry-2.md").write_text(old.format("Text."), encoding="utf-8")
    page = live(open_page("/k/small"))
    rows = page.locator("main [data-id]")
    expect(rows.last).to_have_attribute("data-id", "entry-2")
    answers = Held(page, "/api/entries/entry-2")
    (watch.kb / "entry-2.md").write_text(old.format("Changed.").replace("Old", "New"), encoding="utf-8")
    answers.wait(1)
    page.evaluate(TWO_FRAMES)
    expect(rows.last).to_have_attribute("data-id", "entry-2")
    answers.let()
    expect(rows.last.locator("a")).to_have_text("New")


def test_what_was_not_shown_yet_when_one_pauses_is_held_and_counted(open_page: Pages, watch: Watch) -> None:
    """Bug: what there had been no time for in a frame was held, and not counted."""
    page = open_page("/problems")
    page.evaluate(STORE)
    held = page.evaluate(
        """() => {
          let now = 0;
          performance.now = () => (now += 100); // each event takes longer than there is time for
          tried.change(5);
          tried.store.pause();
          return tried.store.held;
        }"""
    )
    assert held == 4


def test_too_much_to_merge_is_dropped_and_loaded_by_resume(open_page: Pages, watch: Watch) -> None:
    """More than 20,000 held events are kept no longer: they stay counted, and resume loads the state."""
    page = open_page("/problems")
    page.evaluate(STORE)
    assert page.evaluate("(tried.store.pause(), tried.change(20_000), tried.store.lostCount)") is False
    page.evaluate("tried.change(1)")
    assert page.evaluate("[tried.store.held, tried.store.lostCount]") == [20_000, True]
    told = "new Promise((done) => { tried.store.onBatch = (batch) => done(batch.length); tried.change(3); })"
    assert page.evaluate("tried.store.resume()") is True
    assert page.evaluate(told) == 3
