"""The live layer for Markdown knowledge bases: every open view is true within milliseconds.

    from pyrite_watch import attach, create_app, subscribe, KBService

Names are imported when they are first used: FastAPI costs half a second that `pyrite status` does
not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.1"

if TYPE_CHECKING:
    from pyrite_watch.client import subscribe
    from pyrite_watch.server.app import attach, create_app
    from pyrite_watch.service import KBService
    from pyrite_watch.write_requests import EntryEdit, NewEntry

__all__ = ["EntryEdit", "KBService", "NewEntry", "__version__", "attach", "create_app", "subscribe"]

_HOMES = {
    "attach": "pyrite_watch.server.app",
    "create_app": "pyrite_watch.server.app",
    "EntryEdit": "pyrite_watch.write_requests",
    "KBService": "pyrite_watch.service",
    "NewEntry": "pyrite_watch.write_requests",
    "subscribe": "pyrite_watch.client",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
