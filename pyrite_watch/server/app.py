"""The FastAPI app: `create_app` makes one, `attach` adds the live layer to one that exists."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from pyrite_watch import __version__
from pyrite_watch.errors import RequestError
from pyrite_watch.pipeline import Pipeline
from pyrite_watch.server import page, websocket
from pyrite_watch.server.context import Live, PositionHeader, choose_manager
from pyrite_watch.server.endpoints import admin, entries, events, kbs
from pyrite_watch.server.guard import Guard, GuardSettings
from pyrite_watch.service import KBService
from pyrite_watch.settings import Settings, check_state_dir, default_state_dir, resolve_kbs


def create_app(kbs: Sequence[str | os.PathLike[str]] = (), **options: Any) -> FastAPI:
    """Make an app that watches these knowledge bases while it runs, guarded as `pyrite watch` is.

    Args:
        kbs: Paths as on the command line, also `NAME=PATH`; empty means Pyrite's own config.
        options: Fields of `Settings`: `state_dir`, `read_only`, `token`, `allow_hosts`, …

    Raises:
        UsageError, StartError: What was named cannot be watched.
    """
    return app_of(Pipeline(_settings(kbs, options)))


def app_of(pipeline: Pipeline) -> FastAPI:
    """Make the guarded app of a pipeline, which it starts and stops with itself."""
    settings = pipeline.settings
    app = FastAPI(title="Pyrite Watch", version=__version__, docs_url=None, redoc_url=None)
    app.include_router(page.router)
    _add(app, pipeline)
    app.add_middleware(PositionHeader, hub=app.state.pyrite_watch.manager.hub)
    app.add_middleware(
        Guard,
        settings=GuardSettings(
            host=settings.host,
            token=settings.token,
            read_token=settings.read_token,
            allow_origins=settings.allow_origins,
            allow_hosts=settings.allow_hosts,
            public_url=settings.public_url,
        ),
    )
    return app


def attach(app: FastAPI, kbs: Sequence[str | os.PathLike[str]] = (), **options: Any) -> None:
    """Add watching, `/ws` and the entries routes to an app that exists.

    Who may connect is the app's own business: none of its requests is refused by us.

    Args:
        app: It must not have started. Its lifespan starts and stops the watching.
        kbs: As of `create_app`.
        options: As of `create_app`.

    Raises:
        UsageError, StartError: What was named cannot be watched. In a second worker process the
            app's start fails with `RootOwnedError`: one process owns a root.
    """
    _add(app, Pipeline(_settings(kbs, options)))


def _add(app: FastAPI, pipeline: Pipeline) -> None:
    live = Live(pipeline, KBService(pipeline), choose_manager())
    app.state.pyrite_watch = live
    for router in (websocket.router, kbs.router, entries.router, events.router, admin.router):
        app.include_router(router)
    app.add_exception_handler(RequestError, _answer_error)
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncIterator[Any]:
        async with outer(running) as state, live.run():
            yield state

    app.router.lifespan_context = lifespan


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    detail = {"code": error.code, "message": str(error)}
    if error.hint:
        detail["hint"] = error.hint
    return JSONResponse({"detail": detail}, error.status)


def _settings(kbs: Sequence[str | os.PathLike[str]], options: dict[str, Any]) -> Settings:
    found = resolve_kbs([os.fspath(kb) for kb in kbs], os.environ)
    state_dir = Path(options.pop("state_dir", None) or default_state_dir(found, os.environ))
    check_state_dir(state_dir, found)
    return Settings(kbs=found, state_dir=state_dir, **options)
