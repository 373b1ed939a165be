"""One running process owns a root; here it says so, and others find it.

The truth is the kernel's lock, which dies with its holder: `.lock` in the registry, one a root. The
`.json` beside it only informs (who, where): one without a held lock is a dead process's, and one of
another pid than the lock file's is too. The registry lies in the user's state folder, whatever
--state-dir says, so that `sync` and `status` find the owner from the root alone.
Other users of the machine have registries of their own and are not seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from pyrite_watch.errors import RootOwnedError, StateFolderError, StateOwnedError
from pyrite_watch.system import FileLock, make_private_folder, user_state_folder

# A question (`find_owner`) holds the lock for microseconds; a true owner holds it for longer than this.
_RETRY_S = 0.05
_RETRY_STEP_S = 0.002


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a root; pid 0, url "" and state_dir None where it has not told (yet)."""

    root: Path
    pid: int
    url: str
    state_dir: Path | None
    started: str = field(default="", compare=False)
    """When it took the root, ISO 8601; empty where unknown."""


def registry_dir(environ: Mapping[str, str]) -> Path:
    """Name the folder of the registry; it need not exist."""
    return user_state_folder(environ) / "owners"


def find_owner(root: Path, environ: Mapping[str, str]) -> Owner | None:
    """Find the process that watches `root` now; None where there is none. Makes no file."""
    return _find(_Place.of_root(root, environ))


def find_state_owner(state_dir: Path) -> Owner | None:
    """Find the process that uses a state folder now; its `root` is that folder."""
    return _find(_Place.of_state(state_dir))


def list_owners(environ: Mapping[str, str]) -> list[Owner]:
    """List every root that is watched now, by its path. Makes no file.

    Left out: one whose process has not yet told which root it is.
    """
    try:
        locks = sorted(registry_dir(environ).glob("*.lock"))
    except OSError:
        return []
    found = []
    for lock in locks:
        root = _root_of(lock.with_suffix(".json"))
        # Not `of_root`: the root may be a link by now, or may have a name that JSON cannot hold.
        place = _Place(root, FileLock(lock), RootOwnedError) if root is not None else None
        if place is not None and (owner := _find(place)) is not None:
            found.append(owner)
    return sorted(found, key=lambda owner: owner.root)


class Ownership:
    """What one process holds: its roots and its state folder, until `release` or its death."""

    def __init__(self, places: Sequence[_Place], state_dir: Path) -> None:
        self._places = list(places)
        self._state_dir = state_dir
        self._started = datetime.now(UTC).isoformat(timespec="seconds")

    @classmethod
    def take(cls, roots: Sequence[Path], state_dir: Path, environ: Mapping[str, str]) -> Ownership:
        """Take all of `roots` and the state folder, or nothing; makes the folders it needs.

        Raises:
            RootOwnedError: Another process (or another Ownership in this one) has one of the roots.
            StateOwnedError: Another one has the state folder.
            StateFolderError: The registry or the state folder cannot be written.
        """
        # Ordered, so that of two processes that want the same roots at once, one gets them all.
        # The state folder last: "already watched" says more than "state folder in use".
        places = sorted(
            (_Place.of_root(root, environ) for root in roots), key=lambda place: str(place.lock.path)
        )
        places.append(_Place.of_state(state_dir))
        taken = cls([], state_dir)
        try:
            for place in places:
                taken._take_one(place)
            taken.announce("")
        except BaseException:
            taken.release()
            raise
        return taken

    def _take_one(self, place: _Place) -> None:
        try:
            make_private_folder(place.lock.path.parent)
            deadline = time.monotonic() + _RETRY_S
            while not place.lock.acquire():
                if time.monotonic() >= deadline:
                    owner = place.read_owner()
                    raise place.error(place.root, owner.pid, owner.url)
                time.sleep(_RETRY_STEP_S)
        except OSError as error:
            raise StateFolderError(place.lock.path.parent, error.strerror or str(error)) from error
        self._places.append(place)

    def announce(self, url: str) -> None:
        """Tell where this process serves; "" where it opens no port.

        Raises:
            StateFolderError: The registry cannot be written (any more).
        """
        for place in self._places:
            about = {
                "root": os.fsencode(place.root).decode("utf-8", "replace"),
                "pid": os.getpid(),
                "url": url,
                "state_dir": str(self._state_dir),
                "started": self._started,
            }
            try:
                _write_atomic(place.json_path, json.dumps(about))
            except OSError as error:
                raise StateFolderError(place.json_path.parent, error.strerror or str(error)) from error

    def release(self) -> None:
        """Give everything back; does nothing the second time. The lock files stay (see FileLock)."""
        while self._places:
            place = self._places.pop()
            # First the json, while the lock still keeps the next owner from writing its own.
            with suppress(OSError):
                place.json_path.unlink(missing_ok=True)
            place.lock.release()

    def __enter__(self) -> Ownership:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class _Place:
    """Something that can be owned: its lock, the json beside it, and the error of a conflict."""

    root: Path
    lock: FileLock
    error: type[RootOwnedError]

    @classmethod
    def of_root(cls, root: Path, environ: Mapping[str, str]) -> _Place:
        real = os.path.realpath(root)
        key = hashlib.blake2b(os.fsencode(real), digest_size=8).hexdigest()
        return cls(Path(real), FileLock(registry_dir(environ) / f"{key}.lock"), RootOwnedError)

    @classmethod
    def of_state(cls, state_dir: Path) -> _Place:
        return cls(state_dir, FileLock(state_dir / "owner.lock"), StateOwnedError)

    @property
    def json_path(self) -> Path:
        return self.lock.path.with_suffix(".json")

    def read_owner(self) -> Owner:
        """Read what the holder of the lock says of itself; whether one holds it is not asked here."""
        try:
            pid = int(self.lock.path.read_bytes())
        except (OSError, ValueError):
            pid = 0
        try:
            about = json.loads(self.json_path.read_bytes())
        except (OSError, ValueError, RecursionError):
            about = None
        if not isinstance(about, dict) or about.get("pid") != pid:
            return Owner(self.root, pid, "", None)
        url, state_dir, started = about.get("url"), about.get("state_dir"), about.get("started")
        return Owner(
            self.root,
            pid,
            url if isinstance(url, str) else "",
            Path(state_dir) if isinstance(state_dir, str) else None,
            started if isinstance(started, str) else "",
        )


def _find(place: _Place) -> Owner | None:
    try:
        held = place.lock.is_held()
    except OSError:
        return None  # a registry that cannot be read names nobody
    return place.read_owner() if held else None


def _root_of(json_path: Path) -> Path | None:
    try:
        root = json.loads(json_path.read_bytes())["root"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return Path(root) if isinstance(root, str) and os.path.isabs(root) else None


def _write_atomic(path: Path, text: str) -> None:
    """Write so that a reader sees the old text or the new; not durable, as a boot ends all owners."""
    draft = path.with_name(f"{path.name}.new")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
