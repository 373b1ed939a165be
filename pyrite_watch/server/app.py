"""The FastAPI app: `create_app` makes one, `attach` adds the live layer to one that exists."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import BaseRoute, Match, Mount

from pyrite_watch import __version__
from pyrite_watch.errors import RequestError, RootOwnedError, StartError
from pyrite_watch.pipeline import Pipeline
from pyrite_watch.server import page, websocket
from pyrite_watch.server.context import OWN_PATHS, AnswerCancelled, AnswerHead, Live, PositionHeader
from pyrite_watch.server.description import DESCRIPTION, SUMMARY, TAGS
from pyrite_watch.server.endpoints import (
    admin,
    entries,
    events,
    kbs,
    metrics,
    pictures,
    render,
    search,
    stream,
    writes,
)
from pyrite_watch.server.guard import Guard, GuardSettings, check_guard
from pyrite_watch.service import KBService, StoppedError
from pyrite_watch.settings import Settings, check_state_dir, default_state_dir, resolve_kbs

log = logging.getLogger(__name__)

Kbs = Sequence[str | os.PathLike[str]] | str | os.PathLike[str]

_CATCH_ALL = re.compile(r"/\{\w+:path\}")


def create_app(kbs: Kbs = (), **options: Any) -> FastAPI:
    """Make an app that watches these knowledge bases while it runs, guarded as `pyrite watch` is.

    Args:
        kbs: Paths as on the command line, also `NAME=PATH`; empty means Pyrite's own config.
        options: Fields of `Settings`: `state_dir`, `read_only`, `token`, `allow_hosts`, …

    Raises:
        UsageError, StartError: What was named cannot be watched, or an option cannot be meant as given.
    """
    return app_of(Pipeline(_settings(kbs, options)))


def app_of(pipeline: Pipeline) -> FastAPI:
    """Make the guarded app of a pipeline, which it starts and stops with itself.

    Raises:
        UsageError: Who may connect cannot be meant as given.
    """
    settings = pipeline.settings
    check_guard(settings)
    app = FastAPI(
        title="Pyrite Watch",
        version=__version__,
        summary=SUMMARY,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        # It would lead to where the server believes to be: behind a proxy another scheme, and no sub-path.
        redirect_slashes=False,
    )
    for module in (page, render, pictures):
        app.include_router(module.router)
    live = _add(app, pipeline)
    app.add_exception_handler(StarletteHTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_fault)
    app.add_middleware(AnswerCancelled, make_answer=lambda: _answer_of(StoppedError()))
    app.add_middleware(PositionHeader, live=live)
    app.add_middleware(AnswerHead)
    app.add_middleware(Guard, settings=GuardSettings.of(settings), position=lambda: live.manager.hub.position)
    return app


def attach(app: FastAPI, kbs: Kbs = (), **options: Any) -> None:
    """Add watching, `/ws` and the entries routes to an app that exists.

    Who may connect is the app's own business: none of its requests is refused by us. Under uvicorn,
    `--ws pyrite_watch.server.protocol:FanoutProtocol` also resets tabs that read nothing any more,
    `--http pyrite_watch.server.http_protocol:BoundedHttpProtocol` readers of anything else; and without
    `--timeout-graceful-shutdown` it waits for ever for the end of a stream of events when it is to stop.

    Args:
        app: It must not have started. Its lifespan starts and stops the watching.
        kbs: As of `create_app`.
        options: As of `create_app`.

    Raises:
        UsageError, StartError: What was named cannot be watched. In a second worker process the
            app's start fails with `RootOwnedError`: one process owns a root.
        RuntimeError: It has a live layer already, or has started.
    """
    if hasattr(app.state, "pyrite_watch"):
        raise RuntimeError("This app has a live layer already: name all knowledge bases in one call.")
    pipeline = Pipeline(_settings(kbs, options))
    live = Live(pipeline, KBService(pipeline))
    app.add_middleware(PositionHeader, live=live, only=OWN_PATHS)  # first: it fails where the app runs
    _add(app, pipeline, live)


def _add(app: FastAPI, pipeline: Pipeline, live: Live | None = None) -> Live:
    live = live or Live(pipeline, KBService(pipeline))
    app.state.pyrite_watch = live
    ours = len(app.router.routes)
    for module in (websocket, kbs, entries, search, writes, events, stream, admin, metrics):
        app.include_router(module.router)
    _put_before_catch_all(app.router.routes, ours)
    app.add_exception_handler(RequestError, _answer_error)
    app.add_exception_handler(sqlite3.OperationalError, _answer_busy)
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncIterator[Any]:
        async with outer(running) as state, _explained(live):
            yield state

    app.router.lifespan_context = lifespan
    return live


def _put_before_catch_all(routes: list[BaseRoute], ours: int) -> None:
    """Move the routes from `ours` on before one that takes every path, such as files mounted at `/`."""
    for place, route in enumerate(routes[:ours]):
        path = getattr(route, "path", "/")
        if (isinstance(route, Mount) and not path) or _CATCH_ALL.fullmatch(path):
            routes[place:] = [*routes[ours:], *routes[place:ours]]
            return


@asynccontextmanager
async def _explained(live: Live) -> AsyncIterator[None]:
    """Run it; what keeps it from starting ends with what to do about it, also in a server's log."""
    try:
        async with live.run():
            yield
    except StartError as error:
        error.add_note(error.hint)
        if isinstance(error, RootOwnedError):
            error.add_note("One process watches a folder: start the server with one worker.")
        raise


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    answer = _answer_of(error)
    if revision := error.facts.get("revision"):
        answer.headers["ETag"] = f'"{revision}"'
    return answer


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """What the router itself refuses: no such route, no such method."""
    assert isinstance(error, StarletteHTTPException)
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.NOT_FOUND and (shown := page.answer_unknown(request)) is not None:
        return shown
    answer = _answer(status, status.name, f"{request.url.path[:200]}: {error.detail}")
    answer.headers.update(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_allowed(request))
    return answer


def _allowed(request: Request) -> list[str]:
    """The methods that any route takes at this path: the router names only those of the first."""
    found = [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.router.routes
        )
    ]
    return sorted([*found, "HEAD"]) if "GET" in found else found


async def _answer_busy(request: Request, error: Exception) -> JSONResponse:
    """SQLite cannot read or write now (locked, disk full): no fault, and it passes."""
    log.warning("%s %s: the index cannot be used (%s).", request.method, request.url.path, error)
    return _answer(503, "INDEX_BUSY", "The index cannot be read or written now.", "Try again.")


async def _answer_fault(request: Request, error: Exception) -> JSONResponse:
    """Our own fault; the server's log has the traceback."""
    return _answer(500, "INTERNAL_ERROR", "This is a fault of the server; its log says more.")


def _answer_of(error: RequestError) -> JSONResponse:
    return _answer(error.status, error.code, str(error), error.hint, error.facts)


def _answer(
    status: int, code: str, message: str, hint: str = "", facts: Mapping[str, Any] = MappingProxyType({})
) -> JSONResponse:
    detail: dict[str, Any] = {"code": code, "message": message}
    if hint:
        detail["hint"] = hint
    detail.update(facts)
    return JSONResponse({"detail": detail}, status)


def _settings(named: Kbs, options: dict[str, Any]) -> Settings:
    paths = [named] if isinstance(named, str | os.PathLike) else named
    found = resolve_kbs([os.fspath(path) for path in paths], os.environ)
    state_dir = Path(options.pop("state_dir", None) or default_state_dir(found, os.environ))
    check_state_dir(state_dir, found)
    return Settings(kbs=found, state_dir=state_dir, **options)
