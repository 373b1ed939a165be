"""The product: `pyrite watch` itself, with a thread beside it that tells its one `ConnectionManager` things.

    python ours.py KB STATE_DIR          as `pyrite watch KB` runs
    python ours.py KB STATE_DIR --plain  as an app on a server that knows nothing of our protocol

Beside `single` and `storm` it takes `joined_storm COUNT PAD` (by `broadcast_event`, from a worker thread),
`awaited_single COUNT GAP_US PAD` and `awaited_storm COUNT PAD` (each event by `await manager.broadcast`), and
`direct COUNT GAP_US PAD`: the tabs' sockets are written to on the spot, past the hub, which is the least that
an event can take here.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from typing import Any

from benchmarks.fanout.programs import control
from pyrite_watch.cli.app import main_watch
from pyrite_watch.live.frames import text_frame
from pyrite_watch.model.event import Event, Offset
from pyrite_watch.server.websocket import manager

message_of = json.JSONEncoder(separators=(",", ":")).encode
"""The same for both ways: in the product the message is made before the commit."""


def publish(stamp_ns: int, count: int, pad: int) -> None:
    """Publish events as the pipeline does after a commit: a list of them, in one call."""
    events = []
    for number in range(1, count + 1):
        event = control.new_event(stamp_ns, pad)
        text = message_of(event)
        offset = Offset(manager.hub.position.offset + number)
        events.append(Event(offset, "entry_updated", "main", event["entry_id"], text))
    manager.hub.publish_events(events)


async def single(count: int, gap_us: int, pad: int) -> None:
    """Publish one event at a time, as for a save."""
    for _ in range(count):
        publish(time.monotonic_ns(), 1, pad)
        await asyncio.sleep(gap_us / 1e6)


async def storm(count: int, pad: int) -> None:
    """Publish all at once, as for a `git pull`."""
    publish(time.monotonic_ns(), count, pad)


async def joined_storm(count: int, pad: int) -> None:
    """Tell everything by `broadcast_event`'s way, from a thread as a sync endpoint has it."""

    def tell() -> None:
        stamp_ns = time.monotonic_ns()
        for _ in range(count):
            manager.broadcast_soon(control.new_event(stamp_ns, pad))

    await asyncio.to_thread(tell)


async def direct(count: int, gap_us: int, pad: int) -> None:
    """Write each event to all sockets, with nothing else done."""
    sinks = [connected.subscriber.sink for connected in manager._sockets.values()]
    descriptors = [sink.descriptor for sink in sinks if sink is not None]

    async def write(event: dict[str, Any]) -> None:
        wire = text_frame(message_of(event).encode())
        for descriptor in descriptors:
            if os.write(descriptor, wire) != len(wire):
                raise BlockingIOError("a tab is full: nothing was to be measured here")

    await control.send_singles(write, count, gap_us, pad)


def run_plain(kb: str, state_dir: str) -> None:
    """Run the app on uvicorn with the protocol that it has by itself."""
    import uvicorn

    from pyrite_watch import create_app

    # With the protocol named: else asyncio does not set TCP_NODELAY.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    config = uvicorn.Config(
        create_app(kb, state_dir=state_dir),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="error",
        access_log=False,
    )
    control.say({"port": listener.getsockname()[1]})
    asyncio.run(uvicorn.Server(config).serve([listener]))


def main() -> None:
    """Serve until stdin ends."""
    _, kb, state_dir, *flags = sys.argv
    awaited = control.commands_of(manager.broadcast)
    control.take_commands(
        {
            "single": single,
            "storm": storm,
            "joined_storm": joined_storm,
            "awaited_single": awaited["single"],
            "awaited_storm": awaited["storm"],
            "direct": direct,
        },
        lambda: manager.loop,
    )
    if flags == ["--plain"]:
        run_plain(kb, state_dir)
    else:
        # Its first line says where it serves.
        sys.argv[1:] = [kb, "--port", "0", "--json", "--state-dir", state_dir]
        main_watch()


if __name__ == "__main__":
    main()
