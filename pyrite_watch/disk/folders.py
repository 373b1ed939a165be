"""Which folders of a root have to be watched one by one, and which roots can be watched as a whole.

watchfiles (1.3.0) follows links when it watches a folder with all that is below it: it lists and watches
whatever a link leads to, be it the whole disk; and a folder whose name is not UTF-8 ends it. A root that
holds neither is watched as a whole, which also hears of new folders by itself.
"""

from __future__ import annotations

import os
from pathlib import Path


def folders_to_watch(root: Path) -> list[Path] | None:
    """List the folders to watch one by one; None where the root can be watched as a whole.

    No link is followed. Left out are folders whose names are not UTF-8: no entry may lie there.

    Raises:
        OSError: The root cannot be read; of the folders below it, those that cannot be are listed.
    """
    found = [os.fspath(root)]
    as_a_whole = True
    for folder in found:  # it grows
        try:
            entries = list(os.scandir(folder))
        except OSError:
            if folder == found[0]:
                raise
            continue
        for entry in entries:
            if entry.is_symlink():
                as_a_whole = as_a_whole and not os.path.isdir(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                if is_utf_8(entry.name):
                    found.append(entry.path)
                else:
                    as_a_whole = False
    return None if as_a_whole else [Path(folder) for folder in found]


def is_folder(path: str) -> bool:
    """Whether a folder has this name, and not only a link to one."""
    return os.path.isdir(path) and not os.path.islink(path)


def has_folder(path: str) -> bool:
    """Whether a folder holds another; not where it is gone, or may not be read."""
    try:
        with os.scandir(path) as entries:
            return any(entry.is_dir(follow_symlinks=False) for entry in entries)
    except OSError:
        return False


def is_utf_8(name: str) -> bool:
    """Whether a name, or a path, can be watched: watchfiles takes no other."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
