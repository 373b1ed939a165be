"""A page that follows with live.js and nothing else, and what it heard.

The page is an asset of the server that says nothing by itself: what the product's own page does is not
under test here, but its address, origin and Content-Security-Policy are.
"""

from __future__ import annotations

from typing import Any

from harness.record import Json, only_events
from playwright.sync_api import BrowserContext, Page

from browser.browser import Pages, wait_for

BLANK = "/web/icon.svg"

_FOLLOW = """
async ([module, options]) => {
  const { connect } = await import(module);
  let messages = 0;
  if (globalThis.SharedWorker && !globalThis.countsMessages) {
    globalThis.countsMessages = true;
    const { set } = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
    Object.defineProperty(MessagePort.prototype, "onmessage", {
      set(take) { set.call(this, (event) => (messages += event.data?.messages ? 1 : 0, take(event))); },
    });
  }
  const heard = [], states = [];
  const live = connect(options);
  for (const type of ["event", "ready", "resync"])
    live.on(type, (message, { replayed }) =>
      heard.push({ ...message, replayed, replayed_count: message.replayed }));
  live.state.subscribe((state) => states.push(state));
  window.following = { live, heard, states, get messages() { return messages; } };
}
"""


class Follower:
    """A tab that follows; `options` are those of `connect`."""

    def __init__(
        self,
        open_page: Pages,
        *,
        context: BrowserContext | None = None,
        page: Page | None = None,
        module: str = "/web/live.js",
        **options: Any,
    ) -> None:
        open_page.expect_complaint("favicon.ico")  # asked for by itself: this page is no HTML that names one
        self.page = page or open_page(BLANK, context=context)
        self.page.evaluate(_FOLLOW, [module, options])

    @property
    def heard(self) -> list[Json]:
        """Everything so far, in order."""
        told: list[Json] = self.page.evaluate("following.heard")
        return told

    @property
    def events(self) -> list[Json]:
        """The events of the log so far."""
        return only_events(self.heard)

    @property
    def offsets(self) -> list[int]:
        """Their offsets."""
        return [event["offset"] for event in self.events]

    @property
    def states(self) -> list[str]:
        """The states so far."""
        seen: list[str] = self.page.evaluate("following.states")
        return seen

    def get(self, name: str) -> Any:
        """Read a property of the live object."""
        return self.page.evaluate(f"following.live.{name}")

    def wait_live(self) -> None:
        """Wait until it is live."""
        self.wait("following.live.state.value === 'live'")

    def wait_lost(self) -> None:
        """Wait until it is not."""
        self.wait("following.live.state.value !== 'live'")

    def wait_readies(self, count: int) -> None:
        """Wait until `ready` was told so often."""
        self.wait(f"following.heard.filter(({{type}}) => type === 'ready').length >= {count}")

    def wait_offset(self, offset: int) -> None:
        """Wait until an event of that offset (or a later one) was told."""
        self.wait(f"following.heard.some((m) => m.type !== 'ready' && m.offset >= {offset})")

    def wait(self, condition: str) -> None:
        """Wait for a condition in the page; the failure says what was heard."""
        try:
            wait_for(self.page, condition)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None

    def describe(self) -> str:
        """What a failure text needs."""
        heard = self.heard
        told = "\n".join(f"  {message}" for message in heard[-12:])
        return f"states {self.states}; {len(heard)} messages, the last:\n{told}"

    def check_dense(self, after: int, until: int) -> None:
        """Assert that it was told each event in between once, in order."""
        assert self.offsets == list(range(after + 1, until + 1)), self.describe()


def offset_of(position: str) -> int:
    """The offset of EPOCH:OFFSET."""
    return int(position.rpartition(":")[2])
