"""The one line in which other threads' work comes into the loop."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from pyrite_watch.live.inbox import Inbox


def test_work_of_several_threads_is_done_in_the_order_in_which_it_was_put() -> None:
    """Also what the loop itself puts comes after what a thread put before it."""
    done: list[int] = []

    async def scenario() -> None:
        inbox = Inbox(asyncio.get_running_loop())
        for number in range(6):
            if number == 4:
                assert done == []  # the loop has stood still until now
                inbox.put(partial(done.append, number))
                assert done == [0, 1, 2, 3, 4]
                continue
            thread = threading.Thread(target=inbox.put, args=(partial(done.append, number),))
            thread.start()
            thread.join()
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert done == [0, 1, 2, 3, 4, 5]


def test_nothing_is_lost_while_the_loop_takes_and_a_thread_puts() -> None:
    """The end of a taking and the next wake-up may meet anywhere."""
    done: list[int] = []

    async def scenario() -> None:
        inbox = Inbox(asyncio.get_running_loop())

        def put() -> None:
            for number in range(20_000):
                inbox.put(partial(done.append, number))

        await asyncio.to_thread(put)

    asyncio.run(scenario())
    assert done == list(range(20_000))


def test_a_loop_that_has_ended_keeps_nothing_and_says_so() -> None:
    """Each time."""
    loop = asyncio.new_event_loop()
    loop.close()
    inbox = Inbox(loop)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            inbox.put(lambda: None)


def test_a_loop_that_ends_before_it_wakes_keeps_nothing() -> None:
    """It was woken, and never came to it: what is put after that must not wait for ever."""
    loop = asyncio.new_event_loop()
    inbox = Inbox(loop)
    inbox.put(lambda: None)
    loop.close()
    with pytest.raises(RuntimeError):
        inbox.put(lambda: None)


def test_work_that_fails_keeps_nothing_else_from_being_done() -> None:
    """Nor is its error that of who puts something after it."""
    done: list[int] = []
    faults: list[BaseException] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: faults.append(context["exception"]))
        inbox = Inbox(loop)

        def put() -> None:
            inbox.put(lambda: done.append(1 // 0))
            inbox.put(partial(done.append, 1))

        thread = threading.Thread(target=put)
        thread.start()
        thread.join()
        inbox.put(partial(done.append, 2))

    asyncio.run(scenario())
    assert done == [1, 2]
    assert [type(fault) for fault in faults] == [ZeroDivisionError]
