"""The server of `pyrite watch`: a signal ends it at once, and what is overridden is still there."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
import time
from pathlib import Path

import httpx2
import pytest
import uvicorn
from harness.api import Api
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


@pytest.mark.parametrize("has_begun", [False, True])
def test_who_waits_for_the_writing_thread_is_told_of_the_stop(tmp_path: Path, has_begun: bool) -> None:
    """At once, or where it has begun at the end of the grace: it was a plain 500, and a stop of over 2 s."""
    (tmp_path / "notes").mkdir()
    app = create_app([tmp_path / "notes"], state_dir=tmp_path / "state")
    pipeline = app.state.pyrite_watch.pipeline
    holding, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        holding.set()
        go_on.wait(30)

    async def run() -> tuple[list[httpx2.Response], float]:
        server = Server(app)
        with bind("127.0.0.1", 0) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            serving = asyncio.create_task(server.serve([listener]))
            await asyncio.to_thread(eventually, lambda: server.started and pipeline.ready.is_set())
            if has_begun:
                pipeline.sync = lambda names: pipeline.call(hold)
                pipeline.write = lambda work: pipeline.call(hold)
            else:
                pipeline.call(hold)
                await asyncio.to_thread(holding.wait, 30)
            async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
                new = {"kb": "notes", "title": "New"}
                asking = [
                    asyncio.create_task(client.post("/api/index/sync")),
                    asyncio.create_task(client.post("/api/entries", json=new)),
                ]
                await asyncio.to_thread(eventually, lambda: len(pipeline._calls) == 2 + (not has_begun))
                began_s = time.monotonic()
                server.stop()
                answers = await asyncio.gather(*asking)
                took_s = time.monotonic() - began_s
            go_on.set()
            await asyncio.wait_for(serving, 30)
        return answers, took_s

    answers, took_s = asyncio.run(run())
    for answer in answers:
        assert answer.status_code == 503
        assert answer.json()["detail"]["code"] == "STOPPED"
        assert answer.headers["Pyrite-Position"]
    assert took_s < (2.5 if has_begun else cli_server.GRACE_S)
    assert not (tmp_path / "notes" / "new.md").exists()


def test_a_request_that_the_stop_cuts_short_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rendering 2 MB may take longer than a stop waits; a real fault of the app is still told."""
    monkeypatch.setattr(cli_server, "GRACE_S", 0.1)
    (tmp_path / "notes").mkdir()
    app = create_app([tmp_path / "notes"], state_dir=tmp_path / "state")
    asked, answer = threading.Event(), threading.Event()

    @app.get("/api/slow")
    def slow() -> None:
        asked.set()
        answer.wait(30)

    @app.get("/api/broken")
    def broken() -> None:
        raise ValueError("broken")

    async def run() -> None:
        server = Server(app)
        with bind("127.0.0.1", 0) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            serving = asyncio.create_task(server.serve([listener]))
            await asyncio.to_thread(eventually, lambda: server.started)
            await asyncio.to_thread(Api(url).request, "GET", "/api/broken")
            asking = asyncio.create_task(asyncio.to_thread(Api(url).request, "GET", "/api/slow"))
            await asyncio.to_thread(asked.wait, 30)
            server.stop()
            try:
                await asyncio.wait_for(serving, 30)
            finally:
                answer.set()
            await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(run())
    told = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert told == [ValueError]
