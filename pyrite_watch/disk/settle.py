"""Which dirty paths are to be looked at, and when. Pure: the caller says what time it is.

A path is due at once. The pass that looks at it may put it back: a file that is missing, empty,
unfinished or still open for writing gets a moment to become what its writer means it to be.
Times are seconds of any clock that does not go backwards.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from pyrite_watch.model.change import Origin
from pyrite_watch.model.entry import Revision
from pyrite_watch.model.kb import KbName

SOON_S, SOON_FOR_S = 0.003, 0.03
"""In the first 30 ms it is looked at every 3: measured, one save in fifty was seen before its close,
and 20 ms more for these was the whole of the slowest percent."""

RECHECK_S = 0.02
"""How often an unfinished file is looked at again: its closing is not always notified."""

MISSING_MAX_S = 2.0
"""How long a stream of deletions may hold back those that came first, so that they are one batch,
and so that a root that is being deleted is seen to be gone before its files are told as deleted."""


@dataclass(frozen=True, slots=True)
class DirtyPath:
    """A hint that a path may differ: since when, by whom, and when it is to be looked at.

    `unfinished_since_s` is when it was first seen half written.
    `missing_revisions` are what a missing file held: a new file with one of them explains it.
    `is_folder_look` marks the second look at a folder, which does not order another.
    """

    kb_name: KbName
    path: str
    origin: Origin
    since_s: float
    due_s: float
    missing_since_s: float | None = None
    missing_revisions: frozenset[Revision] = frozenset()
    unfinished_since_s: float | None = None
    is_folder_look: bool = False


_ORIGINS: tuple[Origin, ...] = ("api", "disk", "sweep")


def merge(one: DirtyPath, other: DirtyPath) -> DirtyPath:
    """Make one hint of two about the same path: the earlier times, and `api` before `disk` before `sweep`.

    A write that could not be committed at once stays `api`, also when its echo comes meanwhile.
    """
    missing_s = [since_s for since_s in (one.missing_since_s, other.missing_since_s) if since_s is not None]
    half_s = [
        since_s for since_s in (one.unfinished_since_s, other.unfinished_since_s) if since_s is not None
    ]
    return replace(
        one,
        origin=min(one.origin, other.origin, key=_ORIGINS.index),
        since_s=min(one.since_s, other.since_s),
        due_s=min(one.due_s, other.due_s),
        missing_since_s=min(missing_s, default=None),
        unfinished_since_s=min(half_s, default=None),
        missing_revisions=one.missing_revisions | other.missing_revisions,
        is_folder_look=one.is_folder_look and other.is_folder_look,
    )


Key = tuple[str, str]


class Settler:
    """The set of dirty paths. One thread uses it.

    Args:
        settle_s: How long a missing file may take to come back.
        incomplete_s: How long an unfinished file may take to be finished.
    """

    def __init__(self, settle_s: float, incomplete_s: float) -> None:
        self.settle_s = settle_s
        self.incomplete_s = incomplete_s
        self._dirty: dict[Key, DirtyPath] = {}
        self._looks: list[DirtyPath] = []
        # Missing paths that nobody has named since: another deletion may hold them back longer.
        self._held: set[Key] = set()
        self._newest_missing_s: dict[KbName, float] = {}

    def __len__(self) -> int:
        return len(self._dirty)

    def add(self, kb_name: KbName, path: str, origin: Origin, now_s: float) -> None:
        """Take a hint. A path that waits already is looked at again at once; `disk` outranks `sweep`.

        A missing file that is named anew was there in between, perhaps, so its time begins anew, for at most
        `MISSING_MAX_S`: one that is deleted and made again all the time may be missing at every look.
        """
        key = (kb_name, path)
        known = self._dirty.get(key)
        if known is None:
            self._dirty[key] = DirtyPath(kb_name, path, origin, now_s, now_s)
        else:
            hint = DirtyPath(kb_name, path, origin, now_s, now_s)
            since_s = known.missing_since_s if now_s >= known.since_s + MISSING_MAX_S else None
            self._dirty[key] = replace(merge(known, hint), due_s=now_s, missing_since_s=since_s)
            self._held.discard(key)

    def look_again(self, kb_name: KbName, folder: str, now_s: float, delays_s: tuple[float, ...]) -> None:
        """Order later looks at a folder: what is made right after it is not always notified."""
        self._looks.extend(
            # Since then: what is found in the middle of its writing has all its time.
            DirtyPath(kb_name, folder, "disk", now_s + delay_s, now_s + delay_s, is_folder_look=True)
            for delay_s in delays_s
        )

    def take_due(self, now_s: float) -> list[DirtyPath]:
        """Take out every path that is to be looked at now."""
        due = []
        for key, dirty in list(self._dirty.items()):
            if dirty.due_s > now_s:
                continue
            # Asked here, as looking at every one of them each time would cost a stream of deletions
            # ten looks a file.
            due_s = self._missing_due_s(dirty) if key in self._held else now_s
            if due_s > now_s:
                self._dirty[key] = replace(dirty, due_s=due_s)
                continue
            self._held.discard(key)
            del self._dirty[key]
            due.append(dirty)
        # A folder that was named a hundred times is walked once.
        looks = {(look.kb_name, look.path): look for look in self._looks if look.due_s <= now_s}
        if looks:
            self._looks = [look for look in self._looks if look.due_s > now_s]
        return [*due, *looks.values()]

    def waiting(self, kb_name: KbName, path: str) -> DirtyPath | None:
        """Give what is known of a path that waits; it goes on waiting."""
        return self._dirty.get((kb_name, path))

    def explained_by(self, revisions: Collection[Revision]) -> list[DirtyPath]:
        """Give the missing files that wait and held one of these contents; they go on waiting."""
        came = frozenset(revisions)
        return [dirty for dirty in self._dirty.values() if not came.isdisjoint(dirty.missing_revisions)]

    def put_back(self, dirty: DirtyPath, due_s: float | None = None) -> None:
        """Keep a path for later (`due_s`), or for the next turn as it was, after a failure."""
        later = dirty if due_s is None else replace(dirty, due_s=due_s)
        if later.is_folder_look:
            self._looks.append(later)
        else:
            self._dirty.setdefault((later.kb_name, later.path), later)

    def wait_missing(self, missing: list[DirtyPath], now_s: float, seen_s: float) -> list[DirtyPath]:
        """Put back the missing paths of one KB whose time was not over at `now_s`; return the others.

        The time of those that are missing for the first time begins when they were seen to be, `seen_s`.
        As long as more of them go missing they wait together, at most `MISSING_MAX_S`.
        """
        for dirty in missing:
            if dirty.missing_since_s is None:
                self._newest_missing_s[dirty.kb_name] = seen_s
        waiting = [
            dirty if dirty.missing_since_s is not None else replace(dirty, missing_since_s=seen_s)
            for dirty in missing
        ]
        over = []
        for dirty in waiting:
            due_s = self._missing_due_s(dirty)
            if due_s <= now_s:
                over.append(dirty)
            else:
                # In the place of an older hint that waits for something else, such as the file's end.
                key = (dirty.kb_name, dirty.path)
                self._dirty[key] = replace(dirty, due_s=due_s)
                self._held.add(key)
        return over

    def _missing_due_s(self, dirty: DirtyPath) -> float:
        assert dirty.missing_since_s is not None
        since_s = dirty.missing_since_s
        newest_s = self._newest_missing_s.get(dirty.kb_name, since_s)
        return min(max(newest_s, since_s) + self.settle_s, since_s + MISSING_MAX_S)

    def wait_incomplete(self, dirty: DirtyPath, seen_s: float, changed_ago_s: float) -> bool:
        """Put back a file that was seen to be unfinished at `seen_s`, unless its time is over; tell whether
        it waits.

        `changed_ago_s` is the age that its last change had then: one that was left like this long ago is not
        being written. Its time begins with the first such look: its hint may have waited for others, or for
        git. One that was gone has just been begun; if it goes once more, it has all its time once more to
        come back.
        """
        if dirty.missing_revisions or dirty.missing_since_s is not None:
            dirty = replace(dirty, since_s=seen_s, missing_since_s=None, missing_revisions=frozenset())
            since_s = seen_s
        else:
            since_s = seen_s if dirty.unfinished_since_s is None else dirty.unfinished_since_s
        dirty = replace(dirty, unfinished_since_s=since_s)
        deadline = min(since_s + self.incomplete_s, seen_s + max(0.0, self.incomplete_s - changed_ago_s))
        if seen_s >= deadline:
            return False
        # Most saves are closed a moment after their first notification: they must not wait for long.
        recheck_s = SOON_S if seen_s - since_s < SOON_FOR_S else RECHECK_S
        self.put_back(dirty, min(seen_s + recheck_s, deadline))
        return True

    def next_due_s(self) -> float | None:
        """When the next path is due; None where nothing waits."""
        times = [dirty.due_s for dirty in self._dirty.values()]
        times += [look.due_s for look in self._looks]
        return min(times, default=None)
