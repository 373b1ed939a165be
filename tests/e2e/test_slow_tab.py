"""Nobody waits for the slowest."""

from __future__ import annotations

import time

import pytest
from harness.record import only_entry_events
from harness.scene import Scene
from harness.socket import StalledTab, Tab

pytestmark = pytest.mark.timeout(180)

ROUNDS = 6
MAX_SINGLE_S = 1.0


def test_stalled_tabs_do_not_delay_the_other(scene: Scene) -> None:
    """A storm larger than all buffers, then single saves, reach the other tab at once."""
    ((name, root),) = scene.roots.items()
    view = scene.views[name]
    paths = sorted(path for path, _ in view.entries.values())
    stalled = [StalledTab(scene.watch.url) for _ in range(3)]
    try:
        for number in range(ROUNDS):

            def storm(number: int = number) -> None:
                for path in paths:
                    with (root / path).open("a", encoding="utf-8") as file:
                        file.write(f"\nRound {number}.\n")

            events = only_entry_events(scene.observe(storm, changes=len(paths), timeout_s=30))
            assert {event["path"] for event in events} == set(paths)
        tab: Tab = scene.tabs[0]
        for number in range(5):
            start = tab.messages.mark()
            (root / "single.md").write_text(f"---\nid: single\n---\n\nSave {number}.\n", encoding="utf-8")
            began = time.monotonic()
            tab.wait_for(lambda message: message.get("entry_id") == "single", MAX_SINGLE_S, start=start)
            assert time.monotonic() - began < MAX_SINGLE_S
        scene.check()
        assert scene.watch.stop() == 0, "stalled tabs do not hold up the stop either"
    finally:
        for one in stalled:
            one.close()
