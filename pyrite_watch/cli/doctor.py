"""`pyrite doctor`: check what a watch depends on; each line says how it is, and what to type."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pyrite_watch.cli import checks, machine
from pyrite_watch.cli.asking import Running, list_running
from pyrite_watch.cli.checks import Finding
from pyrite_watch.cli.lines import make_console, plural, shown
from pyrite_watch.cli.pipes import quiet_pipe
from pyrite_watch.cli.states import OldState, find_old, find_state, list_states, read_note, remove_old
from pyrite_watch.errors import NoKnowledgeBaseError, PyriteWatchError
from pyrite_watch.kb_files import find_config, read_config
from pyrite_watch.kb_roots import resolve_kbs
from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.settings import default_state_dir
from pyrite_watch.system import expand_home

_STYLES = {"ok": "green", "warn": "yellow", "bad": "red"}


def show_health(
    paths: Sequence[str],
    state_dir: Path | None,
    *,
    prune: bool,
    dry_run: bool,
    as_json: bool,
) -> bool:
    """Print all findings; return whether something is bad. With `prune` remove old state.

    Raises:
        UsageError, StartError: A path that was named is no KB.
    """
    running = list_running()
    findings, kbs = _find_kbs(paths, running)
    findings += machine.check_versions()
    for kb in kbs:
        findings += checks.check_kb(kb)
    watched = {os.path.realpath(root) for each in running for root in each.roots}
    new = [kb.root for kb in kbs if os.path.realpath(kb.root) not in watched]
    findings += machine.check_limits(sum(map(machine.count_folders, new)))
    findings += machine.check_clock(kbs)
    findings += checks.check_owners(running, os.environ)
    for state in _states_of(kbs, running, state_dir):
        findings += checks.check_state(state)
    old = find_old(os.environ, _wanted_roots())
    if prune:
        old = old if dry_run else [remove_old(state) for state in old]
        findings += [_finding_of(state) for state in old]
    elif old:
        size = sum(state.size_bytes for state in old) / 2**20
        states = f"{plural(len(old), 'state')} of folders that are no more ({size:,.1f} MiB)"
        hint = "pyrite doctor --prune --dry-run shows them; without --dry-run it removes them"
        findings.append(Finding("ok", "old state", states, hint))
    with quiet_pipe():
        if as_json:
            print(_as_json(findings, old if prune else []))
        else:
            _print(make_console(sys.stdout), findings, prune, old)
    return any(finding.level == "bad" for finding in findings)


def _find_kbs(paths: Sequence[str], running: Sequence[Running]) -> tuple[list[Finding], list[KnowledgeBase]]:
    """The KBs that were named; else those that are watched, and those of Pyrite's config."""
    if paths:
        return [], list(resolve_kbs(paths, os.environ))
    found: dict[str, KnowledgeBase] = {}
    findings = []
    try:
        for kb in resolve_kbs((), os.environ):
            found[os.path.realpath(kb.root)] = kb
    except NoKnowledgeBaseError:
        pass  # nobody needs to have a config
    except PyriteWatchError as error:
        findings.append(Finding("bad", "config", str(error), error.hint))
    for each in running:
        note = read_note(each.state_dir) if each.state_dir is not None else None
        names = {os.path.realpath(root): name for name, root in note.roots.items()} if note else {}
        for root in each.roots:
            real = os.path.realpath(root)
            found.setdefault(real, KnowledgeBase(KbName(names.get(real, root.name)), root))
    if not found and not findings:
        hint = "Name some: pyrite doctor PATH"
        findings.append(
            Finding("ok", "kb", "no knowledge base is watched or configured: none was checked", hint)
        )
    return findings, list(found.values())


def _states_of(
    kbs: Sequence[KnowledgeBase], running: Sequence[Running], state_dir: Path | None
) -> list[Path]:
    if state_dir is not None:
        return [Path(os.path.abspath(expand_home(str(state_dir), os.environ)))]
    states = [each.state_dir for each in running if each.state_dir is not None]
    by_root = {os.path.realpath(root) for each in running for root in each.roots}
    for kb in kbs:
        if os.path.realpath(kb.root) not in by_root and (state := find_state(kb.root, os.environ)):
            states.append(state)
    if not states and kbs:
        states.append(default_state_dir(kbs, os.environ))
    return list(dict.fromkeys(states))


def _wanted_roots() -> list[Path]:
    """Roots that the config names: one that is missing may only not be mounted."""
    config = find_config(os.environ)
    try:
        named = read_config(config)
    except PyriteWatchError:
        # Nobody knows what it means to name: all that it could be is kept.
        return [
            root
            for state in list_states(os.environ)
            if (note := read_note(state))
            for root in note.roots.values()
        ]
    return [Path(config.parent, expand_home(kb.path, os.environ)) for kb in named]


def _finding_of(state: OldState) -> Finding:
    roots = ", ".join(map(str, state.roots))
    used = datetime.fromtimestamp(state.used_at).strftime("%Y-%m-%d")
    what = f"{state.path} of {roots} (last used {used}, {state.size_bytes / 2**20:,.1f} MiB)"
    if state.removed:
        return Finding(
            "ok", "old state", f"removed {what}" + (f"; left there: {state.left}" if state.left else "")
        )
    if state.left:
        return Finding("warn", "old state", f"{what} was not removed: {state.left}")
    return Finding("ok", "old state", f"would remove {what}")


def _as_json(findings: Sequence[Finding], old: Sequence[OldState]) -> str:
    said = {
        "findings": [
            {"level": each.level, "about": each.about, "message": each.message, "hint": each.hint or None}
            for each in findings
        ],
        "old_states": [
            {
                "path": str(state.path),
                "roots": [str(root) for root in state.roots],
                "size_bytes": state.size_bytes,
                "removed": state.removed,
            }
            for state in old
        ],
    }
    return json.dumps(said)


def _print(console: Console, findings: Sequence[Finding], prune: bool, old: Sequence[OldState]) -> None:
    width = min(20, max(len(shown(finding.about)) for finding in findings))
    for finding in findings:
        console.print(
            Text.assemble(
                (f"{finding.level:<4}", _STYLES[finding.level]),
                "  ",
                (f"{shown(finding.about):<{width}}", "dim"),
                "  ",
                shown(finding.message),
            )
        )
        if finding.hint:
            console.print(
                Text(f"{'':<{width + 8}}{shown(finding.hint)}", "dim" if finding.level == "ok" else "")
            )
    if prune and not old:
        console.print(Text("No old state: nothing to remove.", "dim"))
    elif prune and not any(state.removed or state.left for state in old):
        console.print(Text("Nothing was removed. To remove it: pyrite doctor --prune", "bold"))
        console.print(Text("Keep what is of a drive that is only not mounted now.", "dim"))
    bad = sum(finding.level == "bad" for finding in findings)
    warned = sum(finding.level == "warn" for finding in findings)
    if bad or warned:
        summary = f"{bad} bad, {plural(warned, 'warning')}"
        console.print(Text(summary, "red" if bad else "yellow"))
    else:
        console.print(Text("All is well.", "green"))
