"""The server of `pyrite watch`: a signal ends it at once, and what is overridden is still there."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from pathlib import Path

import pytest
import uvicorn
from harness.wait import eventually

from pyrite_watch import create_app
from pyrite_watch.cli import server as cli_server
from pyrite_watch.cli.address import bind
from pyrite_watch.cli.server import Server
from pyrite_watch.cli.signals import signals

OWN = {"__init__", "stop"}


def test_every_override_is_of_something() -> None:
    """A name that uvicorn does not have (any more) would be dead code, and its own code would run."""
    overridden = {name for name, _ in inspect.getmembers(Server, callable) if name in vars(Server)}
    assert {"main_loop", "shutdown", "capture_signals"} <= overridden
    assert {name for name in overridden - OWN if not hasattr(uvicorn.Server, name)} == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_between_two_ticks(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next tick would be a minute away."""
    monkeypatch.setattr(cli_server, "TICK_S", 60.0)
    root = tmp_path / "notes"
    root.mkdir()

    async def run() -> None:
        server = Server(create_app([root], state_dir=tmp_path / "state"))
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.call_soon_threadsafe(server.stop)

        with bind("127.0.0.1", 0) as listener, signals(stop):
            serving = asyncio.create_task(server.serve([listener]))
            await asyncio.to_thread(eventually, lambda: server.started)
            os.kill(os.getpid(), number)
            await asyncio.wait_for(serving, 30)

    asyncio.run(run())
