"""Those who keep up: added, removed, written to."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator

import pytest

from pyrite_watch.live.current import Current
from pyrite_watch.live.hub import Hub
from pyrite_watch.live.subscriber import Subscriber


class Pipe:
    """A sink on a pipe; what the pipe does not take is kept."""

    def __init__(self, encrypted: bool = False) -> None:
        self.reads, self.writes = os.pipe2(os.O_NONBLOCK)
        self.descriptor = -1 if encrypted else self.writes
        self.taken = b""
        self.on_full: Callable[[], None] = lambda: None
        self.on_room: Callable[[], None] = lambda: None

    def can_take(self) -> bool:
        """It takes anything."""
        return True

    def take(self, wire: bytes | memoryview) -> None:
        """Keep it."""
        self.taken += bytes(wire)
        self.on_full()

    def heard(self) -> bytes:
        """What came through the pipe."""
        try:
            return os.read(self.reads, 1 << 20)
        except BlockingIOError:
            return b""


MakePipe = Callable[..., Pipe]


@pytest.fixture
def make_pipe() -> Iterator[MakePipe]:
    """Make pipes, and close them at the end."""
    made: list[Pipe] = []

    def make(encrypted: bool = False) -> Pipe:
        made.append(Pipe(encrypted))
        return made[-1]

    yield make
    for pipe in made:
        os.close(pipe.reads)
        os.close(pipe.writes)


def subscriber_of(pipe: Pipe) -> Subscriber:
    subscriber = Hub().subscribe()
    subscriber.sink = pipe
    return subscriber


def test_whoever_is_in_it_is_written_to_and_nobody_else(make_pipe: MakePipe) -> None:
    """After any coming and going."""
    current, chance = Current(), random.Random(7)
    pipes = {subscriber_of(pipe): pipe for pipe in [make_pipe() for _ in range(20)]}
    inside: set[Subscriber] = set()
    for step in range(400):
        subscriber = chance.choice(list(pipes))
        if subscriber in inside:
            current.remove(subscriber)
            inside.remove(subscriber)
        else:
            current.add(subscriber, pipes[subscriber].descriptor)
            inside.add(subscriber)
        assert len(current) == len(inside)
        assert set(current.subscribers) == inside
        wire = b"%d" % step
        current.write(wire)
        for each, pipe in pipes.items():
            assert pipe.heard() == (wire if each in inside else b"")


def test_what_a_socket_does_not_take_goes_to_its_transport(make_pipe: MakePipe) -> None:
    """The rest of a write, all of it where nothing was taken, and all where there is no descriptor."""
    current = Current()
    full, gone, encrypted, well = (make_pipe(), make_pipe(), make_pipe(encrypted=True), make_pipe())
    subscribers = {pipe: subscriber_of(pipe) for pipe in (full, gone, encrypted, well)}
    for pipe, subscriber in subscribers.items():
        current.add(subscriber, pipe.descriptor)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(full.descriptor, b"-" * 4096)
    os.close(gone.reads)
    gone.reads = os.open(os.devnull, os.O_RDONLY)
    for pipe in (full, gone, encrypted):
        # As a hub does: who has something left leaves, while the others are still to be told.
        pipe.on_full = lambda subscriber=subscribers[pipe]: current.remove(subscriber)  # type: ignore[misc]
    current.write(b"wire")
    assert [pipe.taken for pipe in (full, gone, encrypted, well)] == [b"wire", b"wire", b"wire", b""]
    assert well.heard() == b"wire"
    assert current.subscribers == [subscribers[well]]
