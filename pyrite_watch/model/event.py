"""An event: a change that is in the log and has an offset, and what else goes over the wire."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

Epoch = NewType("Epoch", str)
Offset = NewType("Offset", int)

_POSITION = re.compile(r"([A-Za-z0-9_-]{1,64}):(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Position:
    """A point in the event log: everything up to and including `offset` is known."""

    epoch: Epoch
    offset: Offset

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"


def parse_position(text: str) -> Position | None:
    """Read `EPOCH:OFFSET`; None where it is malformed."""
    match = _POSITION.fullmatch(text)
    return Position(Epoch(match[1]), Offset(int(match[2]))) if match else None


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the event log.

    `message` is the JSON text as every reader gets it: made once, before the commit.
    """

    offset: Offset
    type: str
    kb_name: str
    entry_id: str
    message: str
