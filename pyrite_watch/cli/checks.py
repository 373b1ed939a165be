"""The KBs, processes and states of this user, looked at one by one. Each finding says what to type.

Nothing is changed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pyrite_watch.cli.asking import NoAnswerError, Running, ask
from pyrite_watch.cli.lines import plural
from pyrite_watch.cli.saved import open_saved
from pyrite_watch.cli.states import is_copy, read_note, size_of
from pyrite_watch.index import schema
from pyrite_watch.model.kb import KnowledgeBase
from pyrite_watch.ownership import find_state_owner, registry_dir
from pyrite_watch.system import (
    boot_id,
    filesystem_type,
    is_network_filesystem,
    polled_filesystem_below,
)

Level = Literal["ok", "warn", "bad"]

MIN_FREE_BYTES = 256 << 20
"""Below this, an index of some thousand entries and its log may not have room."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do about it."""

    level: Level
    about: str
    message: str
    hint: str = ""


def check_kb(kb: KnowledgeBase) -> Iterator[Finding]:
    """Whether a KB's folder is there, may be read, and is on a file system that tells of changes."""
    about = f"kb {kb.name}"
    try:
        with os.scandir(kb.root):
            pass
    except OSError as error:
        away = isinstance(error, FileNotFoundError)
        hint = "Mount the drive that holds it, or name another folder." if away else f"ls -ld {kb.root}"
        yield Finding("bad", about, f"{kb.root} cannot be read: {error.strerror}", hint)
        return
    kind = polled_filesystem_below(kb.root)
    if kind is not None:
        yield Finding(
            "warn", about,
            f"{kb.root} is on {kind}, or {kind} is mounted in it: it tells of no changes by other hosts,"
            " so it is compared every 2 s",
            "For large folders a longer time costs less: pyrite watch --poll 10",
        )  # fmt: skip
    else:
        fs_type = filesystem_type(kb.root) or "a file system that tells of changes"
        yield Finding("ok", about, f"{kb.root} on {fs_type}")
    if kb.problem:
        where = f" (line {kb.problem_line})" if kb.problem_line else ""
        yield Finding("warn", about, f"{kb.problem}{where}", f"Mend {kb.root / 'kb.yaml'}")


def check_owners(running: Sequence[Running], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the processes that watch answer, and whether the registry is this user's own."""
    registry = registry_dir(environ)
    try:
        mode = registry.stat().st_mode & 0o777
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            yield Finding(
                "bad", "owners", f"{registry} cannot be read: {error.strerror}", f"ls -ld {registry}"
            )
    else:
        if mode & 0o077 and os.name == "posix":
            hint = f"chmod 700 {registry}"
            yield Finding("warn", "owners", f"{registry} may be read by others ({mode:o})", hint)
        elif not os.access(registry, os.W_OK):
            yield Finding("bad", "owners", f"{registry} cannot be written", f"chmod 700 {registry}")
    if not running:
        yield Finding("ok", "owners", "nothing is watched at the moment")
    for each in running:
        yield _check_owner(each)


def _check_owner(running: Running) -> Finding:
    who = f"process {running.pid or '?'} watches {', '.join(map(str, running.roots))}"
    if not running.url:
        return Finding("ok", "owners", f"{who}; it opens no port")
    try:
        health = ask(running.url, "/health").body
        degraded, error = health["status"] != "ok", health["index"]["error"]
        ready, repairs = health["ready"], health["last_sweep"]["repairs"]
    except NoAnswerError as refusal:
        hint = f"If it hangs: kill {running.pid}" if running.pid else ""
        return Finding("bad", "owners", f"{who}, but {running.url} {refusal.why}", hint)
    except (KeyError, TypeError):
        return Finding("bad", "owners", f"{who}, but {running.url} answers something else", "pyrite status")
    if degraded:
        why = f"its index cannot be written: {error}" if error else "it went down"
        return Finding(
            "bad", "owners", f"{who} at {running.url}, but {why}", "df -h   shows whether it is full"
        )
    if not ready:
        return Finding("warn", "owners", f"{who} at {running.url}; it is not ready yet", "pyrite status")
    if repairs:
        missed = plural(repairs, "change")
        return Finding(
            "warn", "owners",
            f"{who} at {running.url}; its comparisons found {missed} that the system had not told",
            "Changes by other hosts, or by mmap? Then: pyrite watch --poll 5",
        )  # fmt: skip
    return Finding("ok", "owners", f"{who} at {running.url}")


def check_state(state_dir: Path) -> Iterator[Finding]:
    """Whether a state can be used: where it lies, of which version, sound, and no copy of another."""
    fs_type = filesystem_type(state_dir)
    if is_network_filesystem(fs_type):
        hint = "Give one on this machine: --state-dir DIR, or PYRITE_WATCH_STATE"
        yield Finding("bad", "state", f"{state_dir} is on {fs_type}, where SQLite is not safe", hint)
    yield from _check_room(state_dir)
    if not (state_dir / schema.DATABASE).exists():
        yield Finding("ok", "state", f"{state_dir}: none yet; the first watch makes it")
        return
    yield _check_index(state_dir)
    note = read_note(state_dir)
    if note is not None and is_copy(state_dir, note):
        yield Finding(
            "warn", "state",
            f"{state_dir} is a copy of {note.path}, or was restored: readers of both would take them for one",
            f"Let it be made anew: mv {state_dir} {state_dir}.old",
        )  # fmt: skip


def _check_room(state_dir: Path) -> Iterator[Finding]:
    folder = next(each for each in (state_dir, *state_dir.parents) if each.is_dir())
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if free < MIN_FREE_BYTES:
        hint = f"df -h {folder}   and make room, or give another: --state-dir DIR"
        yield Finding("warn", "state", f"{folder} has only {free / 2**20:,.0f} MiB left", hint)
    if not os.access(folder, os.W_OK):
        hint = "Give another: --state-dir DIR"
        yield Finding("bad", "state", f"{folder} cannot be written by this user", hint)


def _check_index(state_dir: Path) -> Finding:
    rebuild = f"Your notes are not concerned. Let it be made anew: mv {state_dir} {state_dir}.old"
    try:
        with open_saved(state_dir) as saved:
            version = saved.connection.execute("PRAGMA user_version").fetchone()[0]
            if version > schema.SCHEMA:
                known = f"schema {version}; this version knows {schema.SCHEMA}"
                hint = "pip install --upgrade pyrite-watch"
                return Finding("bad", "state", f"{state_dir} is of a newer version ({known})", hint)
            (fault,) = saved.connection.execute("PRAGMA quick_check(1)").fetchone()
            if fault != "ok":
                return Finding("bad", "state", f"{state_dir} is damaged: {fault}", rebuild)
            mark = saved.connection.execute("SELECT value FROM meta WHERE key = 'running'").fetchone()
    except (sqlite3.Error, OSError) as error:
        return Finding("bad", "state", f"{state_dir} cannot be read: {error}", rebuild)
    size = f"{size_of(state_dir) / 2**20:,.1f} MiB"
    told = f"{state_dir}: {size}, schema {version}, at {saved.position or 'no position yet'}"
    if mark is not None and find_state_owner(state_dir) is None:
        if mark[0] and mark[0] == boot_id():
            told += "; its last process was killed, and nothing is lost by that"
        else:
            told += "; it was not left cleanly before this boot, so readers will load it again"
    return Finding("ok", "state", told)
