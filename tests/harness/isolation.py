"""The environment of what the tests start: nothing of the user's own settings shows in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def isolated_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make an environment in which nothing of the user's own settings shows.

    PYTHONUNBUFFERED is not set: that every line is flushed is the product's promise.
    """
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_RUNTIME_DIR": str(home / ".run"),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    for name in ("TMPDIR", "SYSTEMROOT", "COVERAGE_PROCESS_START"):
        if name in os.environ:
            environment[name] = os.environ[name]
    environment.update(extra or {})
    return environment
