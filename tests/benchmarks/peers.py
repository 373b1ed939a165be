"""The peers that the figures are held against: watchfiles alone, a bare import, a plain re-hash."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from harness.isolation import isolated_environment
from harness.process import WatchProcess

# What any program must do that prints what changes: no index, no content, no log, no socket.
# Its options are those of WatchProcess (--no-serve --json), which it leaves aside.
_WATCHFILES = """
import asyncio, json, sys
from watchfiles import awatch

async def main():
    stop = asyncio.Event()
    roots = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    print('{"type": "ready"}', flush=True)
    async for changes in awatch(
        *roots, step=5, debounce=50, rust_timeout=0, watch_filter=None, stop_event=stop
    ):
        print(json.dumps({"type": "paths", "paths": sorted({path for _, path in changes})}), flush=True)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
"""

# The modules that a serving watch needs, as far as they are there; what is missing costs nothing.
_IMPORTS = """
import importlib
for name in (
    "pyrite_watch.cli.app", "pyrite_watch.cli.watch", "pyrite_watch.pipeline", "pyrite_watch.server.app",
    "uvicorn", "uvicorn.protocols.websockets.websockets_sansio_impl", "uvicorn.protocols.http.h11_impl",
    "watchfiles",
):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
"""


def bare_watcher(roots: Sequence[Path], home: Path) -> WatchProcess:
    """Start a process that prints the paths that watchfiles names, with the product's own step of 5 ms.

    watchfiles does not say when its watch is up: the caller writes until it hears something.
    """
    return WatchProcess(
        *roots, home=home, options=["--no-serve"], program=[sys.executable, "-c", _WATCHFILES]
    )


def import_s(home: Path, rounds: int = 5) -> float:
    """Seconds for a process that only imports what a watch imports: the best of some runs."""
    best_s = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", _IMPORTS],
            env=isolated_environment(home),
            cwd=home,
            check=True,
            timeout=60,
        )
        best_s = min(best_s, time.perf_counter() - began)
    return best_s


def rehash_s(files: Sequence[Path]) -> float:
    """Seconds to read these files and hash them, with nothing else."""
    began = time.perf_counter()
    for file in files:
        blake2b(file.read_bytes(), digest_size=16).hexdigest()
    return time.perf_counter() - began
