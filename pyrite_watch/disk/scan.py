"""Walk a KB: which files have the name of an entry, and what `lstat` says of them.

Reads no file. Folders that are links are not entered, so there is no loop and nothing outside.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from pyrite_watch.disk.ignore import IgnoreRules
from pyrite_watch.disk.read import file_state
from pyrite_watch.model.entry import FileState, Problem


@dataclass(slots=True)
class TreeScan:
    """What a walk found. `unreadable` folders may hold anything: nothing below them is known.

    `folders` are those that were entered, without the one where the walk began.
    """

    files: dict[str, FileState] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def hides(self, path: str) -> bool:
        """Whether the path lies in a folder that could not be read."""
        if not self.unreadable:
            return False
        above = (path[:at] for at, char in enumerate(path) if char == "/")
        return "" in self.unreadable or any(folder in self.unreadable for folder in above)


def scan_tree(root: Path, rules: IgnoreRules, below: str = "") -> TreeScan:
    """Walk the folder `below` (POSIX, relative to the root; "" is the root).

    Its parents must have been accepted by the rules. A folder that vanishes meanwhile is left out.
    """
    scan = TreeScan()
    open_folders = [below]
    while open_folders:
        folder = open_folders.pop()
        try:
            with os.scandir(root / folder if folder else root) as listing:
                for item in listing:
                    _take(item, folder, rules, scan, open_folders)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            scan.unreadable.add(folder)
            scan.problems.append(
                Problem(folder or ".", "unreadable", f"the folder cannot be read: {error.strerror}")
            )
    return scan


def _take(
    item: os.DirEntry[str], folder: str, rules: IgnoreRules, scan: TreeScan, open_folders: list[str]
) -> None:
    name = item.name
    path = f"{folder}/{name}" if folder else name
    try:
        is_folder = item.is_dir(follow_symlinks=False)
        if is_folder:
            if rules.folder_rule(path) is not None:
                return
        elif not name.endswith(".md") or rules.file_rule(path) is not None:
            return
        if not _is_utf8(name):
            shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            scan.problems.append(Problem(shown, "name", "its name is not UTF-8: rename it"))
        elif is_folder:
            scan.folders.append(path)
            open_folders.append(path)
        else:
            status = item.stat(follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                scan.files[path] = file_state(status)
    except FileNotFoundError:
        return  # gone between listing and looking
    except OSError as error:
        # A folder that may be listed but not entered: its files can't even be looked at.
        if folder not in scan.unreadable:
            scan.unreadable.add(folder)
            scan.problems.append(
                Problem(folder or ".", "unreadable", f"the folder cannot be read: {error.strerror}")
            )


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
