"""Is a KB's root there? A vanished root is not a thousand deletions."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RootLook:
    """Which directory a root is now; `missing` says why it is none that can be trusted."""

    device: int | None
    inode: int | None
    missing: str | None = None


def look_at_root(root: Path, known_device: int | None, known_inode: int | None) -> RootLook:
    """Look at a root, which may be a link.

    Another directory than the known one that is empty is what an unmounted drive leaves behind: it
    counts as missing, as one that is gone or cannot be listed.
    """
    try:
        status = os.stat(root)
        if not stat.S_ISDIR(status.st_mode):
            return RootLook(None, None, "it is not a folder")
        with os.scandir(root) as listing:
            other = known_inode is not None and (status.st_dev, status.st_ino) != (known_device, known_inode)
            if other and next(listing, None) is None:
                return RootLook(None, None, "another folder is in its place, and it is empty")
    except FileNotFoundError:
        return RootLook(None, None, "the folder is gone")
    except OSError as error:
        return RootLook(None, None, f"the folder cannot be read: {error.strerror}")
    return RootLook(status.st_dev, status.st_ino)
