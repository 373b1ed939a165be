"""The state folders of this user: of which roots they are, whether one is a copy, and which are old.

A state does not need to know its roots; a person who looks at a folder of hashes does. So `watch` and
`sync` note them beside the index. The note only informs: a state without one is used as well as any other,
and is never removed.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrite_watch.cli.saved import open_saved
from pyrite_watch.index import schema
from pyrite_watch.ownership import find_state_owner
from pyrite_watch.settings import Settings
from pyrite_watch.system import FileLock, user_state_folder

NOTE = "roots.json"

_INDEX_FILES = (schema.DATABASE, f"{schema.DATABASE}-wal", f"{schema.DATABASE}-shm")
_LOCK = "owner.lock"
_OUR_FILES = (*_INDEX_FILES, NOTE, f"{NOTE}.new", "owner.json", "owner.json.new", _LOCK)
"""All that a state folder of ours holds: what else is in it is somebody else's, and stays."""


@dataclass(frozen=True, slots=True)
class StateNote:
    """What is noted of a state: its KBs' roots by name, which file the index was when it was made, and by
    which options it was last watched (`max_entry_bytes` 0: it is not known)."""

    roots: Mapping[str, Path]
    device: int
    inode: int
    path: str
    gitignore: bool = False
    max_entry_bytes: int = 0


def note_state(settings: Settings) -> None:
    """Note of which roots a state is. Its owner calls this; that it cannot be written is no trouble."""
    state_dir = settings.state_dir
    with suppress(OSError):
        status = (state_dir / schema.DATABASE).stat()
        # Which file it was is noted once: after a copy, it is another. But not for an index made anew.
        known = read_note(state_dir) if _has_epoch(state_dir) else None
        made = known or StateNote({}, status.st_dev, status.st_ino, str(state_dir))
        about = {
            "kbs": [{"name": kb.name, "root": str(kb.root)} for kb in settings.kbs],
            "index": {"device": made.device, "inode": made.inode, "path": made.path},
            "gitignore": settings.gitignore,
            "max_entry_bytes": settings.max_entry_bytes,
        }
        draft = state_dir / f"{NOTE}.new"
        draft.write_text(json.dumps(about), encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(state_dir / NOTE)


def _has_epoch(state_dir: Path) -> bool:
    try:
        with open_saved(state_dir) as saved:
            return saved.position is not None
    except sqlite3.Error:
        return True


def read_note(state_dir: Path) -> StateNote | None:
    """Read what is noted of a state; None where nothing is."""
    try:
        about: Any = json.loads((state_dir / NOTE).read_bytes())
        roots = {str(kb["name"]): Path(kb["root"]) for kb in about["kbs"]}
        index = about["index"]
        return StateNote(
            roots,
            int(index["device"]),
            int(index["inode"]),
            str(index["path"]),
            bool(about.get("gitignore")),
            int(about.get("max_entry_bytes", 0)),
        )
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


def is_copy(state_dir: Path, note: StateNote) -> bool:
    """Whether the index is another file than the one that was made: copied, or restored from a backup."""
    try:
        status = (state_dir / schema.DATABASE).stat()
    except OSError:
        return False
    # A device's number may be another after each boot; an inode's is not.
    return status.st_ino != note.inode


def size_of(state_dir: Path) -> int:
    """How many bytes a state takes."""
    total = 0
    for name in _INDEX_FILES:
        with suppress(OSError):
            total += (state_dir / name).stat().st_size
    return total


def list_states(environ: Mapping[str, str]) -> Iterator[Path]:
    """List the state folders in this user's own place, those of `--state-dir` not among them."""
    try:
        folders = sorted((user_state_folder(environ) / "states").iterdir())
    except OSError:
        return
    for folder in folders:
        if not folder.is_symlink() and (folder / schema.DATABASE).is_file():
            yield folder


def find_state(root: Path, environ: Mapping[str, str]) -> Path | None:
    """Find the state that was last used for a root, as far as that is noted."""
    real = os.path.realpath(root)
    found = []
    for folder in list_states(environ):
        note = read_note(folder)
        if note is not None and any(os.path.realpath(path) == real for path in note.roots.values()):
            found.append(((folder / NOTE).stat().st_mtime, folder))
    return max(found)[1] if found else None


@dataclass(frozen=True, slots=True)
class OldState:
    """A state whose roots are all gone. `removed` once it is; `left` is why it, or some of it, is not."""

    path: Path
    roots: tuple[Path, ...]
    size_bytes: int
    used_at: float
    removed: bool = False
    left: str = ""


def find_old(environ: Mapping[str, str], wanted: Collection[Path]) -> list[OldState]:
    """Find the states whose roots are all gone and which nobody owns or wants.

    Args:
        wanted: Roots that may be away only for now, as Pyrite's config names them.
    """
    kept = {os.path.realpath(root) for root in wanted}
    found = []
    for folder in list_states(environ):
        note = read_note(folder)
        if note is None or not note.roots or find_state_owner(folder) is not None:
            continue
        roots = tuple(note.roots.values())
        if any(os.path.lexists(root) or os.path.realpath(root) in kept for root in roots):
            continue
        with suppress(OSError):
            used_at = (folder / schema.DATABASE).stat().st_mtime
            found.append(OldState(folder, roots, size_of(folder), used_at))
    return found


def remove_old(state: OldState) -> OldState:
    """Remove a state: our own files of it, by name, and the folder if nothing else is in it."""

    def result(removed: bool, left: str = "") -> OldState:
        return OldState(state.path, state.roots, state.size_bytes, state.used_at, removed, left)

    try:
        with open_saved(state.path):
            pass  # it is ours, by its application id
    except (sqlite3.Error, OSError) as error:
        return result(False, f"it cannot be told to be ours ({error})")
    lock = FileLock(state.path / _LOCK)
    try:
        if not lock.acquire():
            return result(False, "a process uses it")
        try:
            for name in _OUR_FILES:
                # The lock's file too, unlike elsewhere: no watch can start, as its roots are no more.
                (state.path / name).unlink(missing_ok=True)
        finally:
            lock.release()
        state.path.rmdir()
    except OSError as error:
        return result(not (state.path / schema.DATABASE).exists(), error.strerror or str(error))
    return result(True)
