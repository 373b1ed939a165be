"""The lines of `pyrite tail`, from events as they are on the socket."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from pyrite_watch.cli.tail import JsonPrinter, PeoplePrinter, check_since, describe_event
from pyrite_watch.errors import UsageError

Json = dict[str, Any]

NOTES: Json = {"name": "notes", "available": True, "problems": 0}


@pytest.fixture(autouse=True)
def own_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer's shell says of colours is not asked."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)


def event(kind: str, entry_id: str = "a", name: str = "notes", second: int = 1, **fields: Any) -> Json:
    return {
        "type": kind,
        "entry_id": entry_id,
        "kb_name": name,
        "path": f"{entry_id}.md",
        "origin": "disk",
        "ts": f"2026-11-22T14:02:{second:02}.482Z",
        **fields,
    }


def synced(changed: int = 0, second: int = 1, **fields: Any) -> Json:
    counts = {"updated": changed, "added": 0, "removed": 0, "duration_ms": 28}
    return event("kb_synced", "", second=second, **{**counts, "problems": 0, "available": True, **fields})


def lines_of(*messages: Json, facts: tuple[Json, ...] = (NOTES,), **options: Any) -> list[str]:
    stream = io.StringIO()
    printer = PeoplePrinter(facts, stream=stream, **options)
    for message in messages:
        printer(message)
    return [line[10:] for line in stream.getvalue().splitlines()]


def test_each_kind_is_a_line_as_watch_prints_it() -> None:
    """Created, updated, deleted, and moves with where from and where to."""
    told = lines_of(
        event("entry_created"),
        event("entry_updated"),
        event("entry_deleted"),
        event("entry_updated", previous_path="x/a.md"),
        event("entry_created", "b", moved_from={"kb_name": "notes", "entry_id": "a"}),
        event("entry_created", "b", moved_from={"kb_name": "work", "entry_id": "b"}),
    )
    assert told == [
        f"created  notes   {'a':<30} disk",
        f"updated  notes   {'a':<30} disk",
        f"deleted  notes   {'a':<30} disk",
        f"moved    notes   {'a':<30} disk   x/a.md → a.md",
        f"moved    notes   {'b':<30} disk   a → b",
        f"moved    notes   {'b':<30} disk   work:b → b",
    ]


def test_a_move_is_told_once_and_by_whichever_half_is_followed() -> None:
    """The arrival tells all; where only the other knowledge base is followed, the departure does."""
    left = event("entry_deleted", moved_to={"kb_name": "work", "entry_id": "a"})
    assert lines_of(left) == []
    assert lines_of(left, kbs=["notes"]) == [f"moved    notes   {'a':<30} disk   a → work:a"]


def test_of_a_large_pass_eight_are_lines_and_the_rest_is_a_sum() -> None:
    """Its events have the time of one commit; a pull does not scroll a screen away."""
    many = [event("entry_updated", f"e{number}") for number in range(26)]
    told = lines_of(*many, synced(26), event("entry_updated", "next", second=2))
    assert len(told) == 10
    assert told[7].startswith("updated  notes   e7 ")
    assert told[8] == f"synced   notes   {'26 changed, 0 created, 0 deleted':<46} 28 ms"
    assert told[9].startswith("updated  notes   next ")


def test_a_pass_whose_sum_was_compacted_away_still_says_how_many_more() -> None:
    """Nothing is left out without a word."""
    many = [event("entry_updated", f"e{number}") for number in range(26)]
    told = lines_of(*many, event("entry_updated", "next", second=2))
    assert told[8] == "synced   notes   18 more"
    assert told[9].startswith("updated  notes   next ")


def test_a_small_pass_has_no_sum() -> None:
    """Its lines say all."""
    assert len(lines_of(event("entry_updated"), synced(1))) == 1


def test_problems_and_absence_are_told_when_they_change() -> None:
    """From what is known at the beginning on."""
    told = lines_of(
        synced(problems=2),
        synced(1, problems=2),
        synced(problems=1),
        synced(problems=0),
        synced(problems=1, available=False),
        synced(problems=0),
    )
    assert told == [
        "problem  notes   2 problems now",
        "mended   notes   1 problem now",
        "mended   notes   no problem now",
        "away     notes",
        "back     notes",
    ]


def test_of_a_past_nothing_is_known_at_its_beginning() -> None:
    """Today's number of problems is not that of a replay's first event."""
    facts = ({**NOTES, "problems": 4},)
    assert lines_of(synced(1, problems=2), facts=facts) == ["mended   notes   2 problems now"]
    assert lines_of(synced(1, problems=2), facts=facts, is_now=False) == []


def test_a_sync_without_a_difference_is_told() -> None:
    """Somebody asked for it."""
    assert lines_of(synced(origin="sweep")) == [
        f"synced   notes   {'0 changed, 0 created, 0 deleted':<46} 28 ms"
    ]


@pytest.mark.parametrize("reason", ["epoch", "ahead"])
def test_a_resync_says_what_to_do(reason: str) -> None:
    """And from where on it goes."""
    (line,) = lines_of({"type": "resync", "reason": reason, "epoch": "k3f9", "offset": 7})
    assert line.startswith("resync ")
    assert "load the state again" in line
    assert line.endswith("from k3f9:7 on")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "ready"},
        {"type": "later_version", "kb_name": "notes", "entry_id": "a", "ts": "2026-11-22T14:02:01Z"},
        {"type": "entry_updated", "entry_id": "a"},
        {"type": "entry_updated", "entry_id": 1, "kb_name": None, "ts": 5},
        {"type": "kb_synced", "kb_name": "notes", "ts": "no time"},
        {"type": ["entry_updated"]},
    ],
)
def test_what_is_of_no_known_shape_is_left_out(message: Json) -> None:
    """Types of later versions, and what somebody has broadcast under a name of ours."""
    assert len(lines_of(message, event("entry_updated"))) == 1


def test_control_characters_of_names_are_escaped() -> None:
    """No name writes over the line, or into the terminal's own language."""
    for name in ("a\x1b[31m", "a\nb", "a\u202eb"):
        told = lines_of(event("entry_updated", name, name), event("entry_updated", previous_path=name))
        assert len(told) == 2
        assert "".join(told).isprintable()


def test_an_unknown_type_is_no_change() -> None:
    """Nor is anything said of it."""
    assert describe_event(event("entry_praised")) is None


def test_json_lines_are_what_the_socket_has(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """The same text, in UTF-8 whatever the locale; a lone surrogate does not end it."""
    message = event("entry_updated", "naïve-日本")
    JsonPrinter()(message)
    JsonPrinter()({"x": "\udcff"})
    first, second = capsysbinary.readouterr().out.splitlines()
    assert first.decode() == json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    assert json.loads(second)


@pytest.mark.parametrize("since", ["", "7", "k3f9", "k3f9:", "k3f9:-1", "k3f9:x", "NOW"])
def test_a_malformed_position_is_a_usage_error(since: str) -> None:
    """Before anything is asked."""
    with pytest.raises(UsageError, match="is not a position"):
        check_since(since)
    assert check_since("now") == "now"
    assert check_since("k3f9:0") == "k3f9:0"
