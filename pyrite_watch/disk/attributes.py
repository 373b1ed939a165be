"""Give a new file what the file that it replaces has besides its bytes: owner, group, mode, and where
the system has them extended attributes and access lists. As far as the system permits; never more
access than before.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys

from pyrite_watch.disk.contain import OpenFolder
from pyrite_watch.system import open_no_follow_flags

_ACCESS_LIST = "system.posix_acl_access"


def copy_attributes(folder: OpenFolder, name: str, descriptor: int) -> None:
    """Make the open new file `descriptor` like the file `name`. Times are not copied.

    Raises:
        OSError: The file `name` cannot be opened (it may be gone). What cannot be copied is left out.
    """
    source = os.open(folder.at(name), open_no_follow_flags(), dir_fd=folder.fd)
    try:
        _copy_mode(os.fstat(source), descriptor)
        _copy_extended(source, descriptor)
    finally:
        os.close(source)


def _copy_mode(like: os.stat_result, descriptor: int) -> None:
    if sys.platform == "win32":
        return  # a new file inherits what its folder says
    mode = stat.S_IMODE(like.st_mode)
    new = os.fstat(descriptor)
    if new.st_uid != like.st_uid:
        try:
            os.fchown(descriptor, like.st_uid, -1)
        except OSError:
            mode &= 0o777  # set-user-id would mean another user
    if new.st_gid != like.st_gid:
        try:
            os.fchown(descriptor, -1, like.st_gid)
        except OSError:
            # Its group is another than before, and gets no more than everybody.
            mode = (mode & 0o707) | (mode & 0o007) << 3
    with contextlib.suppress(OSError):  # a file system without modes
        os.fchmod(descriptor, mode)


def _copy_extended(source: int, descriptor: int) -> None:
    if sys.platform != "linux":
        return
    try:
        wanted = os.listxattr(source)
        inherited = os.listxattr(descriptor)
    except OSError:
        return  # a file system without them
    if _ACCESS_LIST in inherited and _ACCESS_LIST not in wanted:
        # The folder's default list would let in whom the old file kept out.
        with contextlib.suppress(OSError):
            os.removexattr(descriptor, _ACCESS_LIST)
    for attribute in wanted:
        # Some are the system's own (security.*): who may not set them has the default.
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, attribute, os.getxattr(source, attribute))
