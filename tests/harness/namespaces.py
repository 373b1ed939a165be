"""Running the product in namespaces of its own: mounts, limits and lost rights that nobody else sees.

Nothing here changes the machine: a mount lies in a private mount namespace, a limit is written below
`/proc/sys/user`, which is the user namespace's own (`/proc/sys/fs/inotify` is the whole machine's: never
touch that). All of it ends with the process that it was made for.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.process import WatchProcess

PRODUCT = (sys.executable, "-m", "pyrite_watch", "watch")

_NEW = ("unshare", "--user", "--map-root-user", "--mount")


@functools.cache
def _refusal() -> str | None:
    """Why no namespaces can be made here; None where they can."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    try:
        done = subprocess.run([*_NEW, "true"], capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return "there is no unshare (util-linux)"
    return None if done.returncode == 0 else f"no user namespace: {done.stderr.strip()}"


def require_namespaces() -> None:
    """Skip the test, aloud, where the machine refuses."""
    if (why := _refusal()) is not None:
        pytest.skip(f"this machine refuses: {why}")


@contextmanager
def watch_in_namespaces(
    before: str,
    *paths: Path,
    home: Path,
    state_dir: Path | None = None,
    options: Sequence[str] = (),
    json_lines: bool = True,
) -> Iterator[WatchProcess]:
    """Run `pyrite watch` in namespaces of its own, after the shell commands `before` were run in them.

    It is root there, and nobody else is; the process is the product itself, not the shell.
    """
    require_namespaces()
    program = (*_NEW, "sh", "-e", "-c", f'{before}\nexec "$@"', "sh", *PRODUCT)
    watch = WatchProcess(
        *paths,
        home=home,
        state_dir=state_dir or home / "state",
        options=options,
        json_lines=json_lines,
        program=program,
    )
    try:
        yield watch
    finally:
        watch.close()
    assert "Traceback" not in watch.output, watch.describe()


def run_inside(watch: WatchProcess, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a shell command in the namespaces of a watch."""
    done = subprocess.run(
        [
            "nsenter",
            "-t",
            str(watch.pid),
            "--user",
            "--mount",
            "--preserve-credentials",
            "sh",
            "-ec",
            command,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert not check or done.returncode == 0, f"{command}: {done.stderr}\n{watch.describe()}"
    return done


def as_seen_by(watch: WatchProcess, path: Path) -> Path:
    """The same folder as the watch sees it, for whoever is outside of its mount namespace."""
    return Path(f"/proc/{watch.pid}/root{path}")


@contextmanager
def watch_without_override(
    *paths: Path, home: Path, state_dir: Path | None = None, options: Sequence[str] = ()
) -> Iterator[WatchProcess]:
    """Run `pyrite watch` so that it may read only what modes allow, also where the tests run as root."""
    program: tuple[str, ...] = PRODUCT
    if os.geteuid() == 0:
        lost = "-dac_override,-dac_read_search"
        program = ("setpriv", f"--bounding-set={lost}", f"--inh-caps={lost}", *PRODUCT)
    try:
        watch = WatchProcess(
            *paths, home=home, state_dir=state_dir or home / "state", options=options, program=program
        )
    except FileNotFoundError:
        pytest.skip("root reads everything, and there is no setpriv (util-linux) to lose that right")
    try:
        yield watch
    finally:
        watch.close()
    assert "Traceback" not in watch.output, watch.describe()
