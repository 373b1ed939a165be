"""Frames: what is sent, and to whom."""

from __future__ import annotations

import json

import pytest
from websockets.frames import Frame, Opcode

from pyrite_watch.live.frames import (
    event_frame,
    guest_frame,
    heartbeat_frame,
    ready_frame,
    resync_frame,
    text_frame,
)
from pyrite_watch.model.event import Epoch, Event, Offset, Position

HERE = Position(Epoch("k3f9"), Offset(7))
ALL: frozenset[str] = frozenset()
MESSAGE = '{"type":"entry_updated","entry_id":"a","kb_name":"notes","offset":7,"path":"é.md"}'
EVENT = Event(Offset(7), "entry_updated", "notes", "a", MESSAGE)


def test_an_event_is_sent_as_it_stands_in_the_log() -> None:
    """The text that was made before the commit is the message, byte for byte."""
    assert event_frame(EVENT).text == MESSAGE


def test_a_guest_is_sent_as_given() -> None:
    """Nothing is added to somebody else's dict."""
    message = {"type": "build_done", "data": {"n": [1, None]}, "name": "é"}
    assert json.loads(guest_frame(message).text) == message


def test_a_guest_that_json_cannot_hold_is_its_senders_error() -> None:
    """It raises where it is made, not in the task of a socket."""
    with pytest.raises(TypeError):
        guest_frame({"type": "x", "when": object()})


def test_control_frames_have_the_documented_fields() -> None:
    """`ready`, `resync` and `heartbeat` say the position, and what the interface says of each."""
    assert json.loads(ready_frame(HERE, 3, True, "0.1.0").text) == {
        "type": "ready",
        "epoch": "k3f9",
        "offset": 7,
        "replayed": 3,
        "compacted": True,
        "server_version": "0.1.0",
    }
    assert json.loads(resync_frame("ahead", HERE).text) == {
        "type": "resync",
        "reason": "ahead",
        "epoch": "k3f9",
        "offset": 7,
    }
    assert json.loads(heartbeat_frame(HERE).text) == {"type": "heartbeat", "epoch": "k3f9", "offset": 7}


def test_control_frames_are_for_readers_with_a_position_only() -> None:
    """A client that knows only Pyrite's fields hears events, and nothing else."""
    for frame in (ready_frame(HERE, 0, False, "1"), resync_frame("epoch", HERE), heartbeat_frame(HERE)):
        assert frame.is_for(ALL, resumable=True)
        assert frame.is_for(frozenset({"notes"}), resumable=True)
        assert not frame.is_for(ALL, resumable=False)


def test_a_filter_lets_its_own_knowledge_bases_through() -> None:
    """No filter means all of them."""
    frame = event_frame(EVENT)
    assert frame.is_for(ALL, resumable=False)
    assert frame.is_for(frozenset({"notes", "work"}), resumable=False)
    assert not frame.is_for(frozenset({"work"}), resumable=False)


@pytest.mark.parametrize("kb_name", [None, "", 3, ["notes"]])
def test_a_guest_of_no_knowledge_base_passes_every_filter(kb_name: object) -> None:
    """What names no KB concerns everybody."""
    assert guest_frame({"type": "x", "kb_name": kb_name}).is_for(frozenset({"work"}), resumable=False)


def test_a_guest_that_names_a_knowledge_base_is_filtered_by_it() -> None:
    """Pyrite's own events have `kb_name`, whoever sends them."""
    assert not guest_frame({"type": "x", "kb_name": "notes"}).is_for(frozenset({"work"}), resumable=False)


def test_the_size_is_that_on_the_wire() -> None:
    """The log is bounded in bytes, not in characters."""
    frame = event_frame(EVENT)
    assert frame.size == len(frame.wire)
    assert frame.wire.endswith(MESSAGE.encode())
    assert len(MESSAGE.encode()) == len(MESSAGE) + 1


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 70_000])
def test_the_wire_is_what_the_websockets_library_makes(length: int) -> None:
    """One whole, unmasked text frame, in each of the three forms of its length."""
    payload = b"x" * length
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)
