"""Waiting in an endpoint for what the writing thread does, without a thread of one's own.

Forty calls that wait in threads would leave none to answer a read.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TypeVar

from pyrite_watch.pipeline import Pipeline
from pyrite_watch.service import POLL_S, StoppedError

T = TypeVar("T")


async def wait_for(pipeline: Pipeline, asked: Future[T]) -> T:
    """Wait for what was asked of a pipeline.

    Raises:
        StoppedError: It was stopped before it came to this.
    """
    future = asyncio.wrap_future(asked)
    while not (await asyncio.wait([future], timeout=POLL_S))[0]:
        if not pipeline.is_open:
            raise StoppedError
    # Not left to `result`: its CancelledError would look as if this request had been given up.
    if future.cancelled():
        raise StoppedError
    return future.result()
