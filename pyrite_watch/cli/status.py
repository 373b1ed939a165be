"""`pyrite status`: what is watched now, and how it goes."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pyrite_watch import __version__
from pyrite_watch.cli.asking import NoAnswerError, Running, ask, check_url, list_running
from pyrite_watch.cli.lines import make_console, plural, shown
from pyrite_watch.cli.pipes import quiet_pipe
from pyrite_watch.cli.saved import open_saved
from pyrite_watch.index import queries

Json = dict[str, Any]

LABEL_WIDTH = 13
MAX_KBS = 20
"""More knowledge bases than these are counted, not listed: a person looks at this."""


def show_status(url: str | None, token: str | None, *, as_json: bool) -> bool:
    """Print what runs; return whether anything does."""
    if url is None:
        running = list_running()
    else:
        address, token = check_url(url, token)
        running = [Running(address)]
    found = [load_status(each, token) for each in running]
    runs = any(each["runs"] for each in found)
    with quiet_pipe():
        if as_json:
            print(json.dumps({"running": found, "version": __version__}, ensure_ascii=False))
        else:
            _print_all(found, url)
    return runs


def load_status(running: Running, token: str | None) -> Json:
    """Ask a process how it is; what it does not tell is null, and `error` says why."""
    status: Json = {
        "url": running.url or None,
        "pid": running.pid or None,
        "started": running.started or None,
        "roots": [str(root) for root in running.roots],
        "state_dir": str(running.state_dir) if running.state_dir else None,
        # Its lock is held: it lives, whether or not it answers.
        "runs": bool(running.pid or running.roots),
        "health": None,
        "kbs": None,
        "position": None,
        "error": None,
        "hint": None,
    }
    try:
        if running.url:
            status["health"] = _health(running.url)
            status["runs"] = True
            answer = ask(running.url, "/api/kbs", token)
            status["kbs"], status["position"] = answer.body["kbs"], answer.position or None
        elif running.state_dir is not None:
            status |= _load_saved(running.state_dir)
    except NoAnswerError as error:
        status["error"], status["hint"] = str(error), error.hint or None
    except (KeyError, TypeError):
        status["error"] = f"{running.url} answered something else than this asks for."
    return status


def _health(url: str) -> Json:
    health = ask(url, "/health").body
    if not isinstance(health, dict) or "watch" not in health:
        raise NoAnswerError(url, "is no Pyrite Watch", 200, "Give the address that 'pyrite watch' prints.")
    return health


def _load_saved(state_dir: Path) -> Json:
    """Read what a process that opens no port has committed."""
    try:
        with open_saved(state_dir) as saved:
            facts = queries.load_kb_facts(saved.connection)
            return {
                "kbs": [{"name": name, "path": None, **kb} for name, kb in facts.items()],
                "position": str(saved.position) if saved.position else None,
            }
    except (sqlite3.Error, OSError) as error:
        return {"error": f"The state in {state_dir} cannot be read ({error})."}


def _print_all(found: Sequence[Json], url: str | None) -> None:
    console = make_console(sys.stdout)
    if not found:
        console.print(Text("Nothing is watched at the moment.", "bold"))
        console.print(Text("  Start: pyrite watch PATH", "dim"))
    for number, status in enumerate(found):
        if number:
            console.print()
        if status["runs"]:
            _print_one(console, status)
        else:
            console.print(Text(shown(status["error"]), "bold"))
            console.print(Text(f"  {status['hint'] or 'Start: pyrite watch PATH'}", "dim"))


def _print_one(console: Console, status: Json) -> None:
    health: Json = status["health"] or {}
    head = Text.assemble(("pyrite-watch", "bold"), f" {health['version']}" if health else "", "  ")
    if status["url"]:
        head.append(f"{status['url']}/", "underline")
    else:
        head.append("opens no port")
    if status["pid"]:
        head.append(f"  process {status['pid']}", "dim")
    if status["started"]:
        head.append(f", since {_time(status['started'])}", "dim")
    console.print(head)
    if status["error"]:
        _row(console, "Trouble", Text(f"{shown(status['error'])} {status['hint'] or ''}".rstrip(), "yellow"))
    if status["kbs"] is not None:
        _print_kbs(console, status["kbs"])
    elif status["roots"]:
        _row(console, "Folders", Text(shown(", ".join(status["roots"]))))
    if health:
        _print_health(console, health)
    if status["position"]:
        _row(console, "Position", Text(status["position"]))


def _print_kbs(console: Console, kbs: Sequence[Json]) -> None:
    listed = kbs[:MAX_KBS]
    name_width = min(24, max((len(shown(kb["name"])) for kb in listed), default=0))
    counts = [plural(kb["entries"], "entry") for kb in listed]
    count_width = max(map(len, counts), default=0)
    for number, (kb, count) in enumerate(zip(listed, counts, strict=True)):
        line = Text.assemble(f"{shown(kb['name']):<{name_width}}  {count:>{count_width}}")
        if kb["problems"]:
            line.append(f"  {plural(kb['problems'], 'problem')}", "yellow")
        if not kb["available"]:
            line.append("  away: its folder is not there", "yellow")
        elif not kb["indexed"]:
            line.append("  not indexed yet", "yellow")
        if kb["path"]:
            line.append(f"  {shown(kb['path'])}", "dim")
        _row(console, "Watching" if not number else "", line)
    if len(kbs) > MAX_KBS:
        _row(console, "", Text(f"and {len(kbs) - MAX_KBS} more", "dim"))


def _print_health(console: Console, health: Json) -> None:
    watch, sweep = health["watch"], health["last_sweep"]
    indexing = health["indexing"]
    if indexing is not None:
        _row(console, "Indexing", Text(f"{indexing['done']:,} of {indexing['total']:,} files", "yellow"))
    if watch["poll_s"] is None:
        _row(console, "By", Text(watch["mode"]))
    else:
        _row(console, "By", Text(f"{watch['mode']}, every {watch['poll_s']:g} s: {watch['why']}", "yellow"))
    if watch["rebuilds"]:
        why = f" ({watch['last_rebuild_reason']})" if watch["last_rebuild_reason"] else ""
        _row(console, "", Text(f"watcher made anew {_times(watch['rebuilds'])}{why}", "dim"))
    if sweep["at"]:
        repairs = plural(sweep["repairs"], "repair")
        style = "yellow" if sweep["repairs"] else ""
        last = f"{_time(sweep['at'])}, {sweep['duration_ms']:.0f} ms; {sweep['count']:,} in all"
        _row(console, "Compared", Text.assemble(f"{last}, ", (repairs, style)))
    else:
        _row(console, "Compared", Text("at the start only, so far"))
    if health["index"]["error"]:
        _row(console, "Index", Text(f"cannot be written: {health['index']['error']}", "red"))
    _row(console, "Connections", Text(str(health["connections"])))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _row(console: Console, label: str, value: Text) -> None:
    console.print(Text.assemble((f"  {label:<{LABEL_WIDTH}}", "dim"), value))


def _time(iso: str) -> str:
    """Give a moment in local time, with its day where that is another."""
    moment = datetime.fromisoformat(iso).astimezone()
    today = datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M")
