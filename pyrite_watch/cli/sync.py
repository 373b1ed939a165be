"""`pyrite sync`: compare once, or ask the process that watches these roots to do so."""

from __future__ import annotations

import os
import urllib.parse
from typing import Any

from pyrite_watch.cli.asking import NoAnswerError, ask
from pyrite_watch.cli.lines import describe_problem, plural
from pyrite_watch.cli.pipes import quiet_pipe
from pyrite_watch.cli.states import note_state
from pyrite_watch.errors import PyriteWatchError, RootOwnedError
from pyrite_watch.index import queries
from pyrite_watch.index.store import SyncCounts
from pyrite_watch.model.entry import Problem
from pyrite_watch.ownership import Owner, find_owner
from pyrite_watch.pipeline import Pipeline
from pyrite_watch.settings import Settings

TIMEOUT_S = 600.0


class OwnerError(PyriteWatchError):
    """The process that watches the roots did not do what it was asked."""

    def __init__(self, owner: Owner, why: str, hint: str = "") -> None:
        super().__init__(owner, why)
        self.owner, self.why = owner, why
        self.hint = hint

    def __str__(self) -> str:
        return f"Process {self.owner.pid} at {self.owner.url}, which watches {self.owner.root}, {self.why}."


def sync_once(settings: Settings, token: str | None) -> int:
    """Compare the KBs with the disk, print what came of it, and return the number of problems."""
    owners = {kb.name: find_owner(kb.root, os.environ) for kb in settings.kbs}
    problems = 0
    alone = [kb for kb in settings.kbs if owners[kb.name] is None]
    for kb in settings.kbs:
        owner = owners[kb.name]
        if owner is not None:
            if not owner.url:
                raise RootOwnedError(kb.root, owner.pid, "")
            problems += _ask(owner, os.path.realpath(kb.root), token)
    if alone:
        problems += _compare(settings, {kb.name for kb in alone})
    return problems


def _compare(settings: Settings, names: set[str]) -> int:
    kbs = tuple(kb for kb in settings.kbs if kb.name in names)
    pipeline = Pipeline(
        Settings(
            kbs=kbs,
            state_dir=settings.state_dir,
            gitignore=settings.gitignore,
            max_entry_bytes=settings.max_entry_bytes,
        )
    )
    pipeline.open()
    try:
        note_state(pipeline.settings)
        counts = pipeline.sync_once()
        with pipeline.reader.snapshot() as snapshot:
            facts = queries.load_kb_facts(snapshot.connection)
            problems = queries.load_problems(snapshot.connection)
    finally:
        pipeline.stop()
    for kb in kbs:
        _print(kb.name, counts.get(kb.name, SyncCounts()), facts[kb.name]["entries"])
    _print_problems(problems)
    return len(problems)


def _ask(owner: Owner, root: str, token: str | None) -> int:
    kbs = _request(owner, "GET", "/api/kbs", token)["kbs"]
    name = next((kb["name"] for kb in kbs if os.path.realpath(kb["path"]) == root), None)
    if name is None:
        raise OwnerError(owner, "does not name that folder any more", "Try again.")
    query = urllib.parse.urlencode({"kb": name})
    answer = _request(owner, "POST", f"/api/index/sync?{query}", token)
    entries = next(
        kb["entries"] for kb in _request(owner, "GET", "/api/kbs", token)["kbs"] if kb["name"] == name
    )
    problems = _request(owner, "GET", f"/api/problems?{query}", token)["problems"]
    _print(name, SyncCounts(answer["added"], answer["updated"], answer["removed"]), entries)
    _print_problems(problems)
    return len(problems)


def _request(owner: Owner, method: str, path: str, token: str | None) -> Any:
    try:
        return ask(owner.url, path, token, method, TIMEOUT_S).body
    except NoAnswerError as error:
        raise OwnerError(owner, error.why, error.hint) from error


def _print(name: str, counts: SyncCounts, entries: int) -> None:
    changed = f"{counts.added:,} added, {counts.updated:,} updated, {counts.removed:,} removed"
    with quiet_pipe():
        print(f"{name}: {changed} ({plural(entries, 'entry')})")


def _print_problems(problems: list[dict[str, Any]]) -> None:
    with quiet_pipe():
        for found in problems:
            problem = Problem(found["path"], found["kind"], found["message"], found.get("line"))
            print(f"  problem  {found['kb_name']}  {describe_problem(problem)}")
