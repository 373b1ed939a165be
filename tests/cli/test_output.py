"""What `pyrite watch` prints, line by line."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from pyrite_watch import __version__
from pyrite_watch.cli.lines import describe_problem
from pyrite_watch.cli.output import JsonOutput, PeopleOutput
from pyrite_watch.index.store import Applied
from pyrite_watch.model.change import Change, EntryKey, EntryRef
from pyrite_watch.model.entry import EntryId, Problem, Revision
from pyrite_watch.model.event import Epoch, Event, Offset, Position, parse_position
from pyrite_watch.model.kb import KbName
from pyrite_watch.reconciler import PassReport
from pyrite_watch.watching import WatchMode

Json = dict[str, Any]

HERE = Position(Epoch("k3f9"), Offset(7))
URL = "http://127.0.0.1:8088"
INOTIFY = WatchMode("inotify")
NOTES: Json = {"name": "notes", "path": "/n", "entries": 4312, "available": True, "problems": 0}
WORK: Json = {"name": "work", "path": "/w", "entries": 127, "available": True, "problems": 0}

REVISION = Revision("0" * 32)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer's shell says of colours and widths is not asked."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def key(entry_id: str, kb_name: str = "notes") -> EntryKey:
    return EntryKey(KbName(kb_name), EntryId(entry_id))


def ref(path: str) -> EntryRef:
    return EntryRef(path, REVISION)


def created(entry_id: str, kb_name: str = "notes", **more: Any) -> Change:
    return Change(key(entry_id, kb_name), None, ref(f"{entry_id}.md"), **more)


def updated(entry_id: str, before: str = "", after: str = "") -> Change:
    return Change(key(entry_id), ref(before or f"{entry_id}.md"), ref(after or before or f"{entry_id}.md"))


def deleted(entry_id: str, **more: Any) -> Change:
    return Change(key(entry_id), ref(f"{entry_id}.md"), None, **more)


def event_of(offset: int, kind: str, kb_name: str, entry_id: str, **fields: Any) -> Event:
    message = {
        "type": kind,
        "entry_id": entry_id,
        "kb_name": kb_name,
        "offset": offset,
        "epoch": "k3f9",
        **fields,
    }
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return Event(Offset(offset), kind, kb_name, entry_id, text)


def report(
    *changes: Change,
    problems: Sequence[tuple[str, Problem]] = (),
    mended: Sequence[tuple[str, str]] = (),
    synced: Mapping[str, tuple[int, int, int, int]] | None = None,
    lag_s: float | None = 0.009,
) -> PassReport:
    """A pass of these changes, by the watcher."""
    events = [
        event_of(number, "entry_updated", change.key.kb_name, change.key.entry_id, origin="disk")
        for number, change in enumerate(changes, 1)
    ]
    for name, (changed, added, removed, took_ms) in (synced or {}).items():
        counts = {"updated": changed, "added": added, "removed": removed, "duration_ms": took_ms}
        events.append(event_of(len(events) + 1, "kb_synced", name, "", origin="disk", **counts))
    return PassReport(Applied(events, changes, {}, problems, mended), lag_s, 0)


def people(
    *reports: PassReport,
    kbs: Sequence[Json] = (NOTES, WORK),
    stream: io.StringIO | None = None,
    tabs: int | None = 2,
    url: str | None = URL,
    mode: WatchMode = INOTIFY,
) -> list[str]:
    """The lines after the banner, with their times left out."""
    stream = stream or io.StringIO()
    output = PeopleOutput(None if tabs is None else lambda: tabs, stream)
    output.ready(url, kbs, HERE, mode, 0.412)
    for each in reports:
        output.told(each)
    output.stopped(HERE)
    lines = stream.getvalue().splitlines()
    assert lines.pop() == "Stopped."
    last = lines.index("  Ctrl-C stops")
    told = lines[last + 1 :]
    assert all(re.match(r"\d\d:\d\d:\d\d  ", line) for line in told), told
    return [line[10:] for line in told]


def banner(**options: Any) -> list[str]:
    stream = io.StringIO()
    people(stream=stream, **options)
    return stream.getvalue().splitlines()[:-1]


# -- for programs ----------------------------------------------------------------------------


def json_lines(output: JsonOutput, stream: io.TextIOWrapper) -> list[str]:
    output.stopped(HERE)
    raw = stream.buffer.raw if hasattr(stream.buffer, "raw") else stream.buffer
    assert isinstance(raw, io.BytesIO)
    text = raw.getvalue().decode("utf-8")
    assert text.endswith("\n")
    return text.splitlines()


def json_output(encoding: str = "utf-8", **options: Any) -> tuple[JsonOutput, io.TextIOWrapper]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    return JsonOutput(stream, **options), stream


def test_json_lines_are_ready_then_events_as_on_the_socket_then_stopped() -> None:
    """Each is one object; an event is the very text that tabs get."""
    output, stream = json_output()
    output.ready(URL, [NOTES, WORK], HERE, INOTIFY, 0.4)
    told = report(updated("a"), created("b"))
    output.told(told)
    first, *events, last = json_lines(output, stream)
    assert first == (
        '{"type":"ready","url":"http://127.0.0.1:8088",'
        '"kbs":[{"name":"notes","path":"/n","entries":4312},{"name":"work","path":"/w","entries":127}],'
        '"epoch":"k3f9","offset":7}'
    )
    assert events == [event.message for event in told.events]
    assert last == '{"type":"stopped","epoch":"k3f9","offset":7}'


def test_no_json_line_comes_before_the_ready_line() -> None:
    """What a pass tells earlier waits, and follows it in order."""
    output, stream = json_output()
    output.told(report(updated("a")))
    output.told(report(updated("b")))
    output.ready(None, [], HERE, INOTIFY, 0.4)
    output.told(report(updated("c")))
    lines = [json.loads(line) for line in json_lines(output, stream)]
    assert [line["type"] for line in lines] == ["ready"] + 3 * ["entry_updated"] + ["stopped"]
    assert [line["entry_id"] for line in lines[1:-1]] == ["a", "b", "c"]
    assert lines[0]["url"] is None


def test_json_is_utf_8_whatever_the_locale() -> None:
    """Names may hold what the terminal's encoding has not, and folders what UTF-8 has not."""
    output, stream = json_output("ascii")
    output.ready(URL, [{**NOTES, "name": "nötes→", "path": "/n\udcff"}], HERE, INOTIFY, 0.4)
    output.told(report(updated("naïve-日本")))
    lines = [json.loads(line) for line in json_lines(output, stream)]
    assert (lines[0]["kbs"][0]["name"], lines[0]["kbs"][0]["path"]) == ("nötes→", "/n\udcff")
    assert lines[1]["entry_id"] == "naïve-日本"


def replayed(
    since: str, *, late: Sequence[Event] = (), meanwhile: Sequence[Event] = (), after: Sequence[Event] = ()
) -> list[Json]:
    """Print from a position on; the log holds offsets 1 to 7, and it stands at 7."""
    logged = [event_of(offset, "entry_updated", "notes", f"e{offset}") for offset in range(1, 8)]
    asked = parse_position(since)
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")

    def load_events(since: Position, now: Position) -> Iterator[Sequence[Event]]:
        for event in logged:
            if since.offset < event.offset <= now.offset:
                yield [event]
        output.told(pass_of(meanwhile))

    output = JsonOutput(stream, since=asked, load_events=load_events)
    output.told(pass_of(late))
    output.ready(URL, [NOTES], HERE, INOTIFY, 0.4)
    output.told(pass_of(after))
    first, *rest, last = [json.loads(line) for line in json_lines(output, stream)]
    assert (first["type"], last["type"]) == ("ready", "stopped")
    return rest


def pass_of(events: Sequence[Event]) -> PassReport:
    return PassReport(Applied(events), None, 0)


def updates(*offsets: int) -> list[Event]:
    return [event_of(offset, "entry_updated", "notes", f"e{offset}") for offset in offsets]


def test_since_is_the_past_then_the_present_without_a_gap_or_a_repeat() -> None:
    """What the start found (6, 7) is in the log, and waits to be told, too; so may be what comes later."""
    rest = replayed("k3f9:3", late=updates(6, 7), meanwhile=updates(8), after=updates(7, 9))
    assert [message["offset"] for message in rest] == [4, 5, 6, 7, 8, 9]


def test_since_the_present_is_what_comes() -> None:
    """The very end of the log is of its past."""
    assert [message["offset"] for message in replayed("k3f9:7", after=updates(8))] == [8]


@pytest.mark.parametrize(("since", "reason"), [("other:3", "epoch"), ("k3f9:8", "ahead")])
def test_a_position_that_is_not_of_this_past_is_told(since: str, reason: str) -> None:
    """As on the socket: one `resync` in place of the past, then what comes after it."""
    first, *rest = replayed(since, late=updates(7), after=updates(7, 8, 9))
    assert first == {"type": "resync", "reason": reason, "epoch": "k3f9", "offset": 7}
    assert [message["offset"] for message in rest] == [8, 9]


# -- for people ------------------------------------------------------------------------------


def test_the_banner_is_that_of_the_sample() -> None:
    """Where the page is, what is watched, how, and how to stop."""
    assert banner() == [
        f"pyrite-watch {__version__}  ready in 412 ms",
        "  Page      http://127.0.0.1:8088/",
        "  Watching  notes (4,312 entries), work (127 entries)   inotify",
        "  Ctrl-C stops",
    ]


def test_the_banner_says_what_is_not_as_usual() -> None:
    """Problems, polling, a KB that is away, many KBs, no page."""
    mode = WatchMode("poll", frozenset({"notes"}), 2.0, "nfs tells of no changes by other hosts")  # type: ignore[arg-type]
    away = {**WORK, "available": False}
    one = {**WORK, "entries": 1, "problems": 1204}
    assert banner(mode=mode, kbs=[away, one], url=None, tabs=None) == [
        f"pyrite-watch {__version__}  ready in 412 ms",
        "  Watching  work (away), work (1 entry)   poll",
        "  Problems  1,204 in all",
        "  Polling   every 2 s: nfs tells of no changes by other hosts",
        "  Ctrl-C stops",
    ]
    many = [{**WORK, "name": f"k{number}", "entries": 0} for number in range(9)]
    assert banner(kbs=many)[2].endswith("k5 (0 entries) and 3 more   inotify")


def test_a_change_is_a_line_with_origin_tabs_and_lag() -> None:
    """In columns, as wide as they need to be."""
    assert people(report(updated("ooda-loop"), created("new-one"))) == [
        f"updated  notes  {'ooda-loop':<30} disk   2 tabs   9 ms",
        f"created  notes  {'new-one':<30} disk   2 tabs   9 ms",
    ]
    assert people(report(deleted("gone"), lag_s=None), tabs=1) == [
        f"deleted  notes  {'gone':<30} disk   1 tab"
    ]
    assert people(report(deleted("gone"), lag_s=83.2), tabs=None) == [
        f"deleted  notes  {'gone':<30} disk            83.2 s"
    ]


def test_a_move_says_from_where_to_where() -> None:
    """By path inside a KB; by id where the id changed; with the KB's name where that did."""
    tail = "disk   2 tabs   11 ms    "
    moved = updated("old-name", "a/old-name.md", "b/old-name.md")
    assert people(report(moved, lag_s=0.011)) == [
        f"moved    notes  {'old-name':<30} {tail}a/old-name.md → b/old-name.md"
    ]
    pair = [deleted("old", moved_to=key("new")), created("new", moved_from=key("old"))]
    assert people(report(*pair, lag_s=0.011)) == [f"moved    notes  {'new':<30} {tail}old → new"]
    across = [deleted("x", moved_to=key("x", "work")), created("x", "work", moved_from=key("x"))]
    assert people(report(*across, lag_s=0.011)) == [f"moved    work   {'x':<30} {tail}notes:x → x"]


def test_more_than_eight_changes_are_one_line_a_knowledge_base() -> None:
    """A pull does not scroll a screen away; eight are told each."""
    changes = [updated(f"e{number}") for number in range(9)]
    assert len(people(report(*changes[:8], synced={"notes": (8, 0, 0, 12)}))) == 8
    assert people(report(*changes, synced={"notes": (142, 9, 3, 840), "work": (1, 0, 0, 12_400)})) == [
        f"synced   notes  {'142 changed, 9 created, 3 deleted':<46} 840 ms",
        f"synced   work   {'1 changed, 0 created, 0 deleted':<46} 12.4 s",
    ]


def test_a_problem_says_where_and_what_and_that_it_is_mended() -> None:
    """With the line of the file."""
    message = "expected ':' (last good version kept)"
    problem = Problem("gpl.md", "yaml", message, 4)
    assert people(report(problems=[("notes", problem)]), report(mended=[("notes", "gpl.md")])) == [
        "problem  notes  gpl.md: front matter, line 4: expected ':' (last good version kept)",
        "mended   notes  gpl.md",
    ]
    assert (
        describe_problem(Problem("a.md", "conflict", "conflict markers", 9))
        == "a.md, line 9: conflict markers"
    )
    assert describe_problem(Problem("a.md", "too_big", "too big")) == "a.md: too big"


def test_many_problems_are_summed_up() -> None:
    """Eight, and how many more; of what is mended, too."""
    problems = [("notes", Problem(f"{number}.md", "yaml", "bad")) for number in range(20)]
    lines = people(report(problems=problems), report(mended=[(name, each.path) for name, each in problems]))
    assert len(lines) == 18
    assert lines[8] == "problem  notes  12 more"
    assert lines[17] == "mended   notes  12 more"


def test_a_knowledge_base_that_goes_away_and_comes_back_is_told() -> None:
    """Its entries stay readable meanwhile."""
    gone = Problem(".", "unavailable", "the folder is not there")
    assert people(report(problems=[("notes", gone)]), report(mended=[("notes", ".")])) == [
        "away     notes  the folder is not there (its entries stay readable)",
        "back     notes",
    ]
    assert people(report(mended=[("work", ".")]), kbs=[{**WORK, "available": False}]) == ["back     work"]


def test_a_root_that_can_be_read_again_is_mended_and_was_never_away() -> None:
    """The root's other problems have the same path: they were told as "back"."""
    unreadable = Problem(".", "unreadable", "the folder cannot be read")
    assert people(report(problems=[("notes", unreadable)]), report(mended=[("notes", ".")])) == [
        "problem  notes  .: the folder cannot be read",
        "mended   notes  .",
    ]


def test_nothing_is_printed_before_the_banner() -> None:
    """What a pass tells earlier follows it."""
    stream = io.StringIO()
    output = PeopleOutput(lambda: 0, stream)
    output.told(report(updated("early")))
    output.ready(URL, [NOTES], HERE, INOTIFY, 0.4)
    output.stopped(HERE)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("pyrite-watch")
    assert "early" in lines[4]


def test_a_terminal_gets_colours_and_a_file_does_not() -> None:
    """A pipe or a file gets plain text, on one line however long."""
    long = "x" * 500
    assert "\x1b[" in colours_of(Terminal())
    plain = io.StringIO()
    assert "\x1b" not in colours_of(plain)
    assert people(report(updated(long)))[0].count(long) == 1


def colours_of(stream: io.StringIO) -> str:
    output = PeopleOutput(lambda: 2, stream)
    output.ready(URL, [NOTES], HERE, INOTIFY, 0.4)
    output.told(report(updated("a"), problems=[("notes", Problem("b.md", "yaml", "bad"))]))
    output.stopped(HERE)
    return stream.getvalue()


def test_no_color_means_no_escape_codes_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left alone, rich still writes bold and underline."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in colours_of(Terminal())


def test_a_file_gets_no_codes_although_colours_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some build servers do for all programs."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in colours_of(io.StringIO())


@pytest.mark.parametrize(
    "name", ["a\x1b[31mred", "a\nb", "a\rb", "a\x07", "a\x9b31m", "a\u202egpj", "a\u2028b"]
)
def test_control_characters_of_names_are_escaped(name: str) -> None:
    """No file's name can write over a line, or recolour the terminal: wherever a name stands."""
    bad = Problem(name, "yaml", f"near {name}")
    lines = people(
        report(
            updated(name),
            updated("m", f"{name}.md", f"b/{name}.md"),
            Change(key("x", name), None, ref("x.md")),
            problems=[(name, bad)],
            mended=[("notes", name)],
        ),
        kbs=[{**NOTES, "name": name}],
    )
    assert len(lines) == 5
    text = "".join(lines) + "".join(banner(kbs=[{**NOTES, "name": name}]))
    assert all(character.isprintable() for character in text)
    assert "\\" in text


def test_what_the_encoding_has_not_is_escaped() -> None:
    """The arrow of a move ended the watch where stdout is ASCII."""
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    output = PeopleOutput(None, stream)
    output.ready(URL, [NOTES], HERE, INOTIFY, 0.4)
    output.told(report(updated("é", "a.md", "b.md")))
    output.stopped(HERE)
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    assert rb"a.md \u2192 b.md" in buffer.getvalue()


def test_markup_in_a_name_is_not_interpreted() -> None:
    """Nor are emoji names."""
    assert people(report(updated("[bold]x[/] :smile:")))[0].startswith("updated  notes  [bold]x[/] :smile: ")
