"""`pyrite explain`: is this file an entry, of which knowledge base, and why (not)?

It asks the disk by the very functions that a watch asks, and the index for what only history can tell:
which id the file got, which other file has it, what was told of it. Nothing is changed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from pyrite_watch.cli.lines import describe_problem, make_console, shown
from pyrite_watch.cli.pipes import quiet_pipe
from pyrite_watch.cli.place import Place, find_place
from pyrite_watch.cli.saved import Saved, open_saved
from pyrite_watch.cli.states import read_note
from pyrite_watch.disk.ignore import read_ignore_rules
from pyrite_watch.disk.parse import parse_entry, revision_of, slug_of
from pyrite_watch.disk.read import Folder, Unreadable, read_file
from pyrite_watch.errors import PyriteWatchError
from pyrite_watch.index import files, log, queries
from pyrite_watch.index.owners import path_id
from pyrite_watch.model.entry import MAX_ENTRY_BYTES, EntryContent, EntryId, Problem
from pyrite_watch.model.event import Event, Offset

Json = dict[str, Any]

MAX_EVENTS = 5
LOG_PAGE = 5_000
LABEL_WIDTH = 12

_IN_WORDS = {"not a .md file": "it is not a .md file", "README": "it is a README, which is ignored"}
"""What a rule's name alone does not tell."""


class FileMissingError(PyriteWatchError):
    """There is no such file, and nothing is known of it."""

    hint = "Check the path."

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"There is no file {shown(str(self.path))}."


def explain_file(
    typed: str,
    state_dir: Path | None,
    gitignore: bool,
    max_entry_bytes: int | None,
    token: str | None,
    *,
    as_json: bool,
) -> bool:
    """Print what there is to say of a file; return whether it is there.

    Raises:
        FileMissingError: It is not, and no index knows that it ever was.
    """
    file = _real_place(typed)
    place = find_place(file, state_dir, token, os.environ)
    note = read_note(place.state_dir) if place is not None and place.state_dir is not None else None
    if note is not None:
        # As it is watched, whatever is not said here.
        gitignore = gitignore or note.gitignore
        max_entry_bytes = max_entry_bytes or note.max_entry_bytes
    said = _explain(file, place, gitignore, max_entry_bytes or MAX_ENTRY_BYTES)
    if place is None and (given := os.path.abspath(typed)) != str(file):
        said["why"] += f" ({given} leads there, by a link)"
    is_there = os.path.lexists(file)
    if not is_there and not said["events"]:
        raise FileMissingError(file)
    with quiet_pipe():
        if as_json:
            print(json.dumps(said, ensure_ascii=False))
        else:
            _print(said)
    return is_there


def _real_place(typed: str) -> Path:
    """Resolve the links above a file, and not the file itself: a link is no entry, wherever it leads."""
    folder, name = os.path.split(os.path.expanduser(typed))
    if name in ("", ".", ".."):
        return Path(os.path.realpath(os.path.expanduser(typed)))
    return Path(os.path.realpath(folder or "."), name)


def _explain(file: Path, place: Place | None, gitignore: bool, max_entry_bytes: int) -> Json:
    said: Json = {
        "file": str(file),
        "kb_name": place.name if place else None,
        "root": str(place.root) if place else None,
        "root_is": place.by if place else None,
        "path": None,
        "is_entry": False,
        "why": None,
        "id": None,
        "id_from": None,
        "owner_of_id": None,
        "revision": None,
        "indexed": None,
        "indexed_revision": None,
        "problems": [],
        "events": [],
        "watched_by": None,
        "state_dir": str(place.state_dir) if place and place.state_dir else None,
    }
    if place is None:
        said["why"] = "it lies in no knowledge base: none is watched above it, and no folder has a kb.yaml"
        return said
    if place.running is not None:
        said["watched_by"] = {"pid": place.running.pid or None, "url": place.running.url or None}
    path = file.relative_to(place.root).as_posix()
    said["path"] = path
    _look_at_disk(said, file, place.root, path, gitignore, max_entry_bytes)
    if place.state_dir is not None:
        try:
            with open_saved(place.state_dir) as saved:
                _look_at_index(said, saved, place, path)
        except (sqlite3.Error, OSError) as error:
            said["index_error"] = str(error)
    return said


# -- the disk --------------------------------------------------------------------------------


def _look_at_disk(
    said: Json, file: Path, root: Path, path: str, gitignore: bool, max_entry_bytes: int
) -> None:
    said["why"] = _why_no_entry(file, root, path, gitignore)
    if said["why"] is not None:
        return
    raw = read_file(root, path, max_entry_bytes)
    if raw is None or isinstance(raw, Folder):
        said["why"] = "it went away in this moment"
        return
    if isinstance(raw, Unreadable):
        said["why"] = raw.problem.message
        said["problems"] = [_problem_fields(raw.problem)]
        return
    parsed = parse_entry(raw.data, path)
    said["revision"] = revision_of(raw.data)
    said["problems"] = [_problem_fields(problem) for problem in parsed.problems]
    if parsed.content is None:
        said["why"] = "it cannot be read as one"
        return
    said["is_entry"] = True
    said["id"], said["id_from"] = _claimed_id(parsed.content)


def _why_no_entry(file: Path, root: Path, path: str, gitignore: bool) -> str | None:
    try:
        status = os.lstat(file)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        return "there is no such file" if missing else f"it cannot be looked at: {error.strerror}"
    if stat.S_ISLNK(status.st_mode):
        return "it is a link, and links are not followed"
    is_folder = stat.S_ISDIR(status.st_mode)
    rules = read_ignore_rules(root, gitignore=gitignore)
    rule = rules.path_rule(path, folder=is_folder) if path != "." else None
    if rule is not None:
        return _IN_WORDS.get(rule, f"it is ignored: {rule}")
    if is_folder:
        return "it is the folder of the knowledge base" if path == "." else "it is a folder"
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename it"
    return None


def _claimed_id(content: EntryContent) -> tuple[str, str]:
    if content.explicit_id is not None:
        return content.explicit_id, "the front matter's id"
    is_slug = content.metadata.get("title") is not None and content.derived_id == slug_of(content.title)
    return content.derived_id, "the title" if is_slug else "the file's name"


def _problem_fields(problem: Problem) -> Json:
    fields: Json = {"kind": problem.kind, "message": problem.message}
    return fields if problem.line is None else {**fields, "line": problem.line}


# -- the index -------------------------------------------------------------------------------


def _look_at_index(said: Json, saved: Saved, place: Place, path: str) -> None:
    kb = files.load_kb_rows(saved.connection).get(place.name)
    if kb is None:
        return
    record = files.load_records(saved.connection, kb.kb_id, [path]).get(path)
    said["indexed"] = record is not None and record.entry_id is not None
    if record is not None:
        said["indexed_revision"] = record.revision or None
        if said["revision"] is not None and not said["is_entry"] and record.good_revision:
            said["why"] += "; its last good version stays readable"
        if record.entry_id is not None:
            if record.entry_id != said["id"] and said["is_entry"] and not record.explicit:
                if record.entry_id == path_id(path):
                    said["id_from"] = "its path, as its name or title alone is another's or would not do"
                said["id"] = record.entry_id
            said["id"] = said["id"] or record.entry_id
    if said["is_entry"] and not said["indexed"]:
        owner = files.load_owners(saved.connection, kb.kb_id, [EntryId(said["id"])]).get(EntryId(said["id"]))
        if owner is not None and owner.path != path:
            said["owner_of_id"] = owner.path
            said["is_entry"] = False
            said["why"] = f"its id is that of {shown(owner.path)}, and an id has one file"
    if said["revision"] == said["indexed_revision"]:
        # Of these very bytes, or of what nobody can read.
        known = {problem["kind"] for problem in said["problems"]}
        said["problems"] += [
            {name: problem[name] for name in ("kind", "message", "line", "since") if name in problem}
            for problem in queries.load_problems(saved.connection, place.name)
            if problem["path"] == path and problem["kind"] not in known
        ]
    if saved.position is not None:
        own = said["id"] if said["owner_of_id"] is None else None
        told = _events_of(saved, place.name, path, own, saved.position.offset)
        said["events"] = [json.loads(event.message) for event in told]


def _events_of(saved: Saved, name: str, path: str, entry_id: str | None, until: Offset) -> list[Event]:
    """The last events of the entry, or of the path, oldest first."""
    needle = f'"path":{json.dumps(path, ensure_ascii=False)}'
    found: list[Event] = []
    for event in _all_events(saved, name, until):
        if event.entry_id and (event.entry_id == entry_id or needle in event.message):
            found = [*found[1 - MAX_EVENTS :], event]
    return found


def _all_events(saved: Saved, name: str, until: Offset) -> Iterator[Event]:
    after = Offset(0)
    while events := log.load_events(saved.connection, after, until, LOG_PAGE, [name]):
        yield from events
        after = events[-1].offset


# -- for people ------------------------------------------------------------------------------


def _print(said: Json) -> None:
    console = make_console(sys.stdout)

    def row(label: str, value: str, style: str = "", note: str = "") -> None:
        text = Text.assemble((f"  {label:<{LABEL_WIDTH}}", "dim"), (shown(value), style))
        if note:
            text.append(f"  {shown(note)}", "dim")
        console.print(text)

    console.print(Text(shown(said["file"]), "bold"))
    if said["is_entry"]:
        row("Entry", "yes", "green")
    else:
        row("Entry", f"no: {said['why']}", "yellow")
    if said["kb_name"] is not None:
        how = {"kb.yaml": "by its kb.yaml", "watched": "", "known": "watched earlier, or in the config"}
        row("In", said["kb_name"], note=f"{said['root']}  {how[said['root_is']]}".rstrip())
    if said["id"] is not None:
        row("Id", said["id"], note=f"from {said['id_from']}" if said["id_from"] else "")
    if said["revision"] is not None:
        row("Revision", said["revision"], note=_indexed_note(said))
    for problem in said["problems"]:
        where = Problem(said["path"], problem["kind"], problem["message"], problem.get("line"))
        since = f"since {_time(problem['since'])}" if "since" in problem else ""
        row("Problem", describe_problem(where), "yellow", since)
    if said["kb_name"] is not None:
        _print_watcher(said, row)
    for number, event in enumerate(said["events"]):
        at = f"{_time(event['ts'])}  {event['type'].removeprefix('entry_'):<8}"
        moved = f"  from {event['previous_path']}" if "previous_path" in event else ""
        row("" if number else "Events", at, note=f"{event['origin']:<6} {event['offset']}{moved}")


def _print_watcher(said: Json, row: Any) -> None:
    watcher = said["watched_by"]
    if watcher is None:
        row("Watched", "not at the moment", note=f"pyrite watch {said['root']}")
    else:
        process = f"process {watcher['pid']}" if watcher["pid"] else "a process"
        row("Watched", f"by {process}", note=watcher["url"] or "it opens no port")
    if "index_error" in said:
        row("Index", f"cannot be read: {said['index_error']}", "yellow")


def _indexed_note(said: Json) -> str:
    if said["indexed_revision"] is None:
        return "not indexed yet" if said["is_entry"] else ""
    return "as indexed" if said["indexed_revision"] == said["revision"] else "the index has an earlier one"


def _time(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")
