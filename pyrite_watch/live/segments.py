"""The hub's bounded log: frames in order, in segments that are written in one go.

A segment is a run of whole frames. What readers who want the same get of it is joined once, for all of
them: a storm costs one write a reader and segment, not one an event.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

from pyrite_watch.live.frames import Frame

MAX_SEGMENT_BYTES = 64 << 10
"""What is written to one reader at once, and so what it may hold here beside the kernel's buffer."""

MAX_LATE = 4
"""How many times its size the log may have while those who keep up are still to be told."""

MAX_JOINED = 4
"""Joins that a segment keeps. Readers that keep up begin where it, or the last publish, began."""


class Segment:
    """Frames from the number `first` on; the log's last one still grows."""

    __slots__ = ("_joined", "first", "frames", "size")

    def __init__(self, first: int) -> None:
        self.first = first
        self.frames: list[Frame] = []
        self.size = 0
        self._joined: dict[tuple[int, frozenset[str], bool], bytes] = {}

    @property
    def end(self) -> int:
        """The number of the frame after the last."""
        return self.first + len(self.frames)

    def append(self, frame: Frame) -> None:
        """Add a frame; what was joined is not the whole any more."""
        self.frames.append(frame)
        self.size += frame.size
        self._joined.clear()

    def wire(self, cursor: int, kbs: frozenset[str], resumable: bool) -> bytes:
        """The bytes from `cursor` on for readers of these KBs; the same object each time."""
        if cursor == self.end - 1:
            # A single event, as it leaves in the turn of the loop in which it comes: nothing is to be joined.
            frame = self.frames[-1]
            return frame.wire if frame.is_for(kbs, resumable) else b""
        key = (cursor, kbs, resumable)
        wire = self._joined.get(key)
        if wire is None:
            if len(self._joined) >= MAX_JOINED:
                self._joined.clear()
            frames = self.frames[cursor - self.first :]
            wire = b"".join([frame.wire for frame in frames if frame.is_for(kbs, resumable)])
            self._joined[key] = wire
        return wire


class SegmentLog:
    """Segments, oldest first. What is over `max_bytes` goes from the start, but never the last segment.

    What is still to be told to who keeps up stays a little longer, as its being late is not theirs.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._segment_bytes = min(MAX_SEGMENT_BYTES, max(1, max_bytes // 128))
        self._bytes = 0
        self._segments = [Segment(0)]
        self._firsts = [0]

    @property
    def start(self) -> int:
        """The number of the oldest frame."""
        return self._firsts[0]

    @property
    def end(self) -> int:
        """The number of the next frame."""
        return self._segments[-1].end

    def append(self, frames: Iterable[Frame], needed_from: Callable[[], int]) -> None:
        """Add frames, and let go of the oldest segments.

        Args:
            needed_from: Gives the first frame that somebody needs who keeps up. Asked where it matters.
        """
        last = self._segments[-1]
        for frame in frames:
            if last.frames and last.size + frame.size > self._segment_bytes:
                last = Segment(last.end)
                self._segments.append(last)
                self._firsts.append(last.first)
            last.append(frame)
            self._bytes += frame.size
        gone = 0
        needed = needed_from() if self.max_bytes < self._bytes <= MAX_LATE * self.max_bytes else self.end
        while (
            self._bytes > self.max_bytes
            and gone < len(self._segments) - 1
            and self._segments[gone].end <= needed
        ):
            self._bytes -= self._segments[gone].size
            gone += 1
        del self._segments[:gone], self._firsts[:gone]

    def segment_at(self, cursor: int) -> Segment:
        """The segment that holds a frame's number; the last one for the log's end.

        The cursor must not be below `start`.
        """
        return self._segments[bisect_right(self._firsts, cursor) - 1]
