"""Find the temporary files that a crash left below a KB's root, and put things right.

To be called at start, before the first write, by the process that owns the root. What is certainly
our own is removed. What may be somebody's bytes never is: an editor may have saved in the instant
between an exchange and the look at what came out of it. Those bytes go back to their place if that
still holds the write which nobody was told of, else they get a visible name.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pyrite_watch.disk.contain import OpenFolder, check_path, open_parent
from pyrite_watch.disk.exchange import rename_new
from pyrite_watch.disk.temporary import (
    Look,
    TemporaryName,
    keep_visible,
    look_at,
    parse_temporary_name,
    put_back,
    remove,
)
from pyrite_watch.errors import RequestError

_STARTED_NS = time.time_ns()
"""When this process loaded this module: a temporary file that is younger may belong to a living one."""

Outcome = Literal["removed", "restored", "recovered", "left"]


@dataclass(frozen=True, slots=True)
class Leftover:
    """A temporary file that was found, and what became of it.

    `removed`: it was ours, or a step that only had to be finished. `restored`: somebody's bytes are
    back at `path`. `recovered`: somebody's bytes are now at `path`, a new visible name. `left`: it
    is still at `path`, because it is being written, is no regular file, or could not be touched.
    """

    path: str
    outcome: Outcome
    why: str = ""


def remove_leftovers(root: Path, *, before_ns: int = _STARTED_NS) -> list[Leftover]:
    """Deal with every temporary file of ours below `root`; tell what became of each.

    Asks no ignore rules, but enters no hidden folder: no entry is ever written in one. Follows no
    link. Never raises `OSError`: what cannot be touched is `left`, and found again at the next start.

    Args:
        before_ns: Only files whose last change of state is older, in ns since 1970.
    """
    found = []
    open_folders = [""]
    while open_folders:
        folder = open_folders.pop()
        try:
            with os.scandir(root / folder if folder else root) as listing:
                for item in listing:
                    path = f"{folder}/{item.name}" if folder else item.name
                    if not item.name.startswith("."):
                        if item.is_dir(follow_symlinks=False):
                            open_folders.append(path)
                    elif parse_temporary_name(item.name) is not None:
                        found.append(path)
        except OSError:
            continue  # the scan reports what cannot be read
    leftovers = (_settle(root, path, before_ns) for path in sorted(found))
    return [leftover for leftover in leftovers if leftover is not None]


def _settle(root: Path, path: str, before_ns: int) -> Leftover | None:
    try:
        check_path(path)
        # Opened anew from the root: the folder may be a link by now.
        with open_parent(root, path) as (folder, name):
            status = folder.status(name)
            if not stat.S_ISREG(status.st_mode):
                return Leftover(path, "left", "it is not a regular file")
            if status.st_ctime_ns >= before_ns:
                return None
            parsed = parse_temporary_name(name)
            assert parsed is not None
            return _settle_open(folder, name, path, parsed)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Leftover(path, "left", error.strerror or str(error))
    except RequestError as error:
        return Leftover(path, "left", str(error))


def _settle_open(folder: OpenFolder, name: str, path: str, parsed: TemporaryName) -> Leftover:
    if parsed.is_new:
        remove(folder, name)
        return Leftover(path, "removed")
    held = look_at(folder, name)
    if held.revision is None:
        return Leftover(path, "left", "it cannot be read")
    if held.busy:
        return Leftover(path, "left", "another program is writing it")
    if held.revision.startswith(tuple(filter(None, (parsed.ours, parsed.expected)))):
        remove(folder, name)
        return Leftover(path, "removed")
    kept = _restore(folder, name, parsed)
    above = path.rpartition("/")[0]
    where = f"{above}/{kept or parsed.target}" if above else f"{kept or parsed.target}"
    return Leftover(where, "recovered" if kept else "restored")


def _restore(folder: OpenFolder, name: str, parsed: TemporaryName) -> str | None:
    """Put foreign bytes back to their place; where that is not free for them, give the new name."""
    target = parsed.target
    if target is None:
        return keep_visible(folder, name, None)
    at_target = look_at(folder, target)
    if at_target.status is None:
        try:
            rename_new(folder, name, target)
        except FileExistsError:
            return keep_visible(folder, name, target)
        return None
    if parsed.ours is not None and _is_revision(at_target, parsed.ours):
        return put_back(folder, target, name, at_target)
    return keep_visible(folder, name, target)


def _is_revision(look: Look, start: str) -> bool:
    return look.revision is not None and look.revision.startswith(start)
