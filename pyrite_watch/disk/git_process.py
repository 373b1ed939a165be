"""Is a git process changing a working tree right now? Linux tells, in /proc.

git's lock comes and goes several times within one command; how long it stays away depends on the machine.
The command's own life does not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

_PROCESSES = "/proc"

_REWRITING = frozenset(
    {"am", "bisect", "checkout", "cherry-pick", "clean", "merge", "mv", "pull", "read-tree"}
    | {"rebase", "reset", "restore", "revert", "rm", "stash", "submodule", "switch", "worktree"}
)
"""What rewrites working trees. Not `commit`, `log` and the like, which stay open in an editor or a pager."""

_WITH_VALUE = frozenset(
    ("-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env", "--attr-source")
)


def find_rewriting_git(work_tree: str, processes: str = _PROCESSES) -> int | None:
    """Find a git process that is changing this working tree; a millisecond or two.

    Returns:
        Its id; None where there is none, or none that this user may see, or where the system does not tell.
    """
    try:
        names = os.listdir(processes)
    except OSError:
        return None
    return next(
        (int(name) for name in names if name.isdigit() and _is_one(f"{processes}/{name}", work_tree)), None
    )


def is_rewriting_git(pid: int, work_tree: str, processes: str = _PROCESSES) -> bool:
    """Whether a process that was found is still the one."""
    return _is_one(f"{processes}/{pid}", work_tree)


def _is_one(process: str, work_tree: str) -> bool:
    try:
        # The name first: it is the cheapest question, and nearly always the last.
        if _read(f"{process}/comm") != b"git\n":
            return False
        # git goes to the top of the working tree before it does anything.
        folder = os.readlink(f"{process}/cwd")
        if folder != work_tree and not folder.startswith(f"{work_tree}/"):
            return False
        return subcommand(os.fsdecode(_read(f"{process}/cmdline")).split("\0")) in _REWRITING
    except OSError:
        return False  # it has ended meanwhile, or is another user's


def subcommand(arguments: Sequence[str]) -> str:
    """Give the subcommand of a git command line, "" where it has none."""
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in _WITH_VALUE:
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
    return ""


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read(4096) or b""
