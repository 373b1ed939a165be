"""Those who keep up and want the same of the log: what is told them is written to their sockets in one loop.

Their descriptors lie side by side in an array: a loop that touches nothing else of a tab leaves the cache to
the kernel (2 to 3 % of what an event costs a tab, with 1,000 of them). Only the hub uses this, in its thread.
"""

from __future__ import annotations

import os
from array import array

from pyrite_watch.live.subscriber import Subscriber


class Current:
    """A set of subscribers with a sink each. One that is open has a descriptor that no other has."""

    __slots__ = ("_by_descriptor", "_descriptors", "_others", "_places")

    def __init__(self) -> None:
        self._descriptors = array("i")
        self._places: dict[Subscriber, int] = {}
        """Where in the array each one's descriptor is."""
        self._by_descriptor: dict[int, Subscriber] = {}
        self._others: dict[Subscriber, None] = {}
        """Those whose socket cannot be written to past its transport: it is encrypted."""

    def __len__(self) -> int:
        return len(self._places) + len(self._others)

    @property
    def subscribers(self) -> list[Subscriber]:
        """All of them."""
        return [*self._places, *self._others]

    def add(self, subscriber: Subscriber, descriptor: int) -> None:
        """Add one that is not here; its descriptor is -1 where it has none."""
        if descriptor < 0:
            self._others[subscriber] = None
            return
        self._places[subscriber] = len(self._descriptors)
        self._descriptors.append(descriptor)
        self._by_descriptor[descriptor] = subscriber

    def remove(self, subscriber: Subscriber) -> None:
        """Remove one that is here; the last takes its place."""
        if subscriber in self._others:
            del self._others[subscriber]
            return
        place = self._places.pop(subscriber)
        del self._by_descriptor[self._descriptors[place]]
        last = self._descriptors.pop()
        if place < len(self._descriptors):
            self._descriptors[place] = last
            self._places[self._by_descriptor[last]] = place

    def write(self, wire: bytes) -> None:
        """Write the same to all. This loop is what an event costs a tab: keep it short."""
        write, size = os.write, len(wire)
        short: list[tuple[int, int]] = []
        for descriptor in self._descriptors:
            try:
                taken = write(descriptor, wire)
            except OSError:
                # Full, or gone: its transport knows what to do.
                taken = 0
            if taken != size:
                short.append((descriptor, taken))
        # Looked up before any is told: where something is left in its buffer, it calls `on_full` and leaves.
        rest = [(self._by_descriptor[descriptor], taken) for descriptor, taken in short]
        rest += [(subscriber, 0) for subscriber in self._others]
        for subscriber, taken in rest:
            assert subscriber.sink is not None
            subscriber.sink.take(memoryview(wire)[taken:])
