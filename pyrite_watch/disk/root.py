"""Is a KB's root there? A vanished root is not a thousand deletions."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from pyrite_watch.system import birth_time_ns


@dataclass(frozen=True, slots=True)
class RootLook:
    """Which directory a root is now; `missing` says why it is none that can be trusted.

    `inode` is its number mixed with the time of its birth, where that is known: the number alone is
    used again, so that `rm -r kb; mkdir kb` would look like a KB that was emptied.
    """

    device: int | None
    inode: int | None
    missing: str | None = None


def look_at_root(
    root: Path, known_device: int | None, known_inode: int | None, was_away: bool = False
) -> RootLook:
    """Look at a root, which may be a link.

    Another directory than the known one that is empty is what an unmounted drive leaves behind: it
    counts as missing, as one that is gone or cannot be listed. So does one with hidden names alone: what
    `git clone` has made of it so far, or a drive's own. Where the file system tells no time of birth, so
    does an empty one that was away: nobody can say whether it is another.
    """
    try:
        status = os.stat(root)
        if not stat.S_ISDIR(status.st_mode):
            return RootLook(None, None, "it is not a folder")
        born_ns = birth_time_ns(root)
        inode = status.st_ino if born_ns is None else _identity(status.st_ino, born_ns)
        # The plain number is what older versions have noted.
        same = status.st_dev == known_device and known_inode in (inode, status.st_ino)
        other = known_inode is not None and (not same or (was_away and born_ns is None))
        with os.scandir(root) as listing:
            if other and all(found.name.startswith(".") for found in listing):
                return RootLook(None, None, "another folder is in its place, and it is empty")
    except FileNotFoundError:
        return RootLook(None, None, "the folder is gone")
    except OSError as error:
        return RootLook(None, None, f"the folder cannot be read: {error.strerror}")
    return RootLook(status.st_dev, inode)


def _identity(inode: int, born_ns: int) -> int:
    digest = hashlib.blake2b(f"{inode} {born_ns}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)  # SQLite's integers have 64 bits and a sign
