"""What a watch depends on in the machine: its libraries, the system's limits, the clock."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import yaml

from pyrite_watch import __version__
from pyrite_watch.cli.checks import Finding
from pyrite_watch.model.kb import KnowledgeBase
from pyrite_watch.system import watch_limits

NEARLY = 0.8
"""So much of a limit is warned of."""

EARLIEST_S = 1_735_689_600
"""2025-01-01: this program is younger than that."""

FUTURE_S = 60.0
"""A file may be so much younger than now: other machines' clocks are not ours."""

LIBRARIES = (
    "watchfiles", "uvicorn", "websockets", "fastapi", "PyYAML", "python-frontmatter", "pathspec",
)  # fmt: skip
"""Those on which it depends that changes are seen, read and told."""


def check_versions() -> Iterator[Finding]:
    """Python, SQLite and the libraries: there, as new as needed, and with what they may leave out."""
    system = f"{platform.system()} {platform.release()}"
    yield Finding(
        "ok", "version", f"pyrite-watch {__version__}, Python {platform.python_version()}, {system}"
    )
    needed = _needed_versions()
    found = []
    for name in LIBRARIES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(
                "bad", "libraries", f"{name} is not installed", "pip install --upgrade pyrite-watch"
            )
            continue
        found.append(f"{name} {version}")
        if not fits(version, needed.get(name.lower(), "")):
            yield Finding(
                "bad",
                "libraries",
                f"{name} {version} is not what this version was made for ({needed[name.lower()]})",
                f"pip install '{name}{needed[name.lower()]}'",
            )
    yield Finding("ok", "libraries", ", ".join(found))
    if not hasattr(yaml, "CSafeLoader"):
        yield Finding(
            "warn", "libraries", "PyYAML is without its C part: indexing takes ten times as long",
            "pip install --force-reinstall PyYAML",
        )  # fmt: skip
    yield _check_sqlite()


def _check_sqlite() -> Finding:
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE t USING fts5 (a)")
        except sqlite3.OperationalError:
            hint = "Use a Python whose SQLite has FTS5: python.org's, Debian's and uv's have it."
            return Finding("bad", "libraries", "SQLite is without FTS5, which the index needs", hint)
    return Finding("ok", "libraries", f"SQLite {sqlite3.sqlite_version}, with FTS5")


def _needed_versions() -> dict[str, str]:
    try:
        lines = importlib.metadata.requires("pyrite-watch") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    matches = (re.fullmatch(r"([\w.-]+)\s*\(?([<>=!~0-9., ]*)\)?", line) for line in lines)
    return {match[1].lower(): match[2].strip() for match in matches if match is not None}


def fits(version: str, needed: str) -> bool:
    """Whether a version is within `>=1.2,<3`; what is written otherwise is not judged."""
    have = _numbers(version)
    for bound in filter(None, (part.strip() for part in needed.split(","))):
        limit = _numbers(bound.lstrip("<>=!~"))
        if bound.startswith(">=") and have < limit:
            return False
        if bound.startswith("<") and not bound.startswith("<=") and have >= limit:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version.strip())
    numbers = [int(number) for number in found[0].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()  # 1.0 is 1
    return tuple(numbers)


def check_limits(folders: int) -> Iterator[Finding]:
    """How many folders the system watches for this user, and how many it does already.

    Args:
        folders: How many a watch would need beside those that are watched now.
    """
    limits = watch_limits()
    if not limits:
        if sys.platform == "linux":
            yield Finding("warn", "inotify", "the system tells no limits: /proc is not readable here")
        return
    used = {"instances": 0, "watches": 0}
    for instances, watches in _inotify_use():
        used["instances"] += instances
        used["watches"] += watches
    for name, limit in sorted(limits.items()):
        kind = "watches" if name.endswith("watches") else "instances"
        wanted = used[kind] + (folders if kind == "watches" else 2 if folders else 0)
        says = f"{name} is {limit:,}; this user's processes have {used[kind]:,}"
        if kind == "watches" and folders:
            says += f", a watch needs {folders:,} more"
        if wanted > NEARLY * limit:
            raised = max(1_048_576 if kind == "watches" else 1_024, 2 * limit)
            keep = f"echo {name}={raised} | sudo tee /etc/sysctl.d/60-pyrite-watch.conf"
            hint = f"sudo sysctl {name}={raised}   (to keep it: {keep})"
            yield Finding("warn", "inotify", f"{says}: past the limit it compares every few seconds", hint)
        else:
            yield Finding("ok", "inotify", says)


def _inotify_use() -> Iterator[tuple[int, int]]:
    """Instances and watches of each process of this user, as far as /proc tells."""
    own = os.geteuid()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid != own:
                continue
            for link in (process / "fd").iterdir():
                if os.readlink(link) == "anon_inode:inotify":
                    about = (process / "fdinfo" / link.name).read_text("ascii")
                    yield 1, about.count("\ninotify ") + about.startswith("inotify ")
        except OSError:
            continue  # it ended, or is not to be looked at


def count_folders(root: Path) -> int:
    """How many folders a watch of this root needs: all of them, hidden ones too."""
    return sum(1 for _ in os.walk(root))


def check_clock(kbs: Sequence[KnowledgeBase]) -> Iterator[Finding]:
    """Whether the time can be true, and no file is from the future."""
    now_s = time.time()
    if now_s < EARLIEST_S:
        today = time.strftime("%Y-%m-%d", time.localtime(now_s))
        yield Finding("bad", "clock", f"it says {today}", "Set it: sudo timedatectl set-ntp true")
        return
    for kb in kbs:
        newest_s, path = _newest(kb.root)
        if newest_s > now_s + FUTURE_S:
            yield Finding(
                "warn", "clock",
                f"{path} is from the future by {newest_s - now_s:,.0f} s: the clock was set back, or another"
                " machine's is ahead. Changes are seen all the same",
                "timedatectl   shows whether the clock is set by the network",
            )  # fmt: skip
            return
    yield Finding("ok", "clock", time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now_s)).strip())


def _newest(root: Path) -> tuple[float, str]:
    newest = (0.0, "")
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(".md"):
                path = os.path.join(folder, name)
                try:
                    newest = max(newest, (os.lstat(path).st_mtime, path))
                except OSError:
                    continue
    return newest
