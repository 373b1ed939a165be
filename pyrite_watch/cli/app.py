"""The commands `pyrite` and `pyrite-watch`.

Imports what a command needs inside of it: FastAPI costs half a second.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyrite_watch.cli.options import (
    Gitignore,
    Json,
    MaxEntryBytes,
    Paths,
    Server,
    StateDir,
    Token,
    Version,
    parse_path,
    typed_path,
)
from pyrite_watch.cli.signals import leave_interrupts
from pyrite_watch.errors import PyriteWatchError, UsageError
from pyrite_watch.model.entry import MAX_ENTRY_BYTES

if TYPE_CHECKING:
    from pyrite_watch.model.event import Position

app = typer.Typer(
    name="pyrite",
    help="The live layer for Markdown knowledge bases: every open view is true within milliseconds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

OUR_COMMANDS = ("watch", "sync", "tail", "status", "explain", "doctor")


@contextlib.contextmanager
def helpful_errors() -> Iterator[None]:
    """Say what happened and what to type; no traceback for what a user can cause."""
    try:
        yield
    except PyriteWatchError as error:
        print(f"pyrite: {error}", file=sys.stderr)
        if error.hint:
            print(f"        {error.hint}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error


@app.callback()
def _common(version: Version = False) -> None:
    return


@app.command()
def watch(
    paths: Paths = None,
    host: Annotated[str, typer.Option(envvar="PYRITE_HOST", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="PYRITE_PORT", min=0, max=65535, help="0 takes a free one.")
    ] = 8088,
    state_dir: StateDir = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print NDJSON, one object a line; logs go to stderr.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="EPOCH:OFFSET",
            help="With --json: print what happened after this position first.",
            show_default=False,
        ),
    ] = None,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Watch, index, print; open no port.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse writes.")] = False,
    poll: Annotated[
        float | None,
        typer.Option(
            "--poll",
            metavar="SECONDS",
            min=0.05,
            help="Compare every so often, for network drives.",
            show_default="by itself",
        ),
    ] = None,
    gitignore: Gitignore = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    token: Annotated[
        str | None, typer.Option(help="Who connects must know it; 'auto' makes one and prints it.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(parser=parse_path, metavar="FILE", help="A file that holds the token."),
    ] = None,
    read_token: Annotated[str | None, typer.Option(help="A second token, which may only read.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Another origin whose pages may connect. Repeatable.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another host name for this server. Repeatable.")
    ] = None,
    public_url: Annotated[str | None, typer.Option(help="The address by which a proxy shows it.")] = None,
    retention: Annotated[
        int, typer.Option(min=1, help="How many events the log keeps before it is compacted.")
    ] = 100_000,
    max_entry_bytes: MaxEntryBytes = MAX_ENTRY_BYTES,
    version: Version = False,
) -> None:
    """Watch knowledge bases, keep their index true, and tell every open view what changed."""
    from pyrite_watch.settings import Settings, check_listen, resolve_token

    with helpful_errors():
        if no_serve and open_page:
            raise UsageError("--open needs the page that --no-serve leaves out.", "Leave one of them out.")
        position = _position(since, as_json)
        kbs, state = _named(paths, state_dir)
        chosen, is_made = resolve_token(token, token_file, os.environ)
        reading, is_reading_made = resolve_token(read_token, None, {}, "--read-token")
        made = {"Token": chosen} if chosen and is_made else {}
        if reading and is_reading_made:
            made["Read token"] = reading
        if not no_serve:
            host = check_listen(host, chosen)
        settings = Settings(
            kbs=kbs,
            state_dir=state,
            host=host,
            port=port,
            read_only=read_only,
            poll_s=poll,
            gitignore=gitignore,
            retention=retention,
            max_entry_bytes=max_entry_bytes,
            token=chosen,
            read_token=reading,
            allow_origins=tuple(allow_origin or ()),
            allow_hosts=tuple(allow_host or ()),
            public_url=public_url,
        )
        if not no_serve:
            from pyrite_watch.server.guard import check_guard

            check_guard(settings)

        from pyrite_watch.cli.serve import Watch, set_up_logging

        set_up_logging()
        Watch(
            settings,
            as_json=as_json,
            serve=not no_serve,
            open_page=open_page,
            since=position,
            made_tokens=made,
        ).run()


@app.command()
def sync(
    paths: Paths = None,
    state_dir: StateDir = None,
    gitignore: Gitignore = False,
    max_entry_bytes: MaxEntryBytes = MAX_ENTRY_BYTES,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if there are problems.")] = False,
    token: Token = None,
) -> None:
    """Compare the index with the disk once, and print what changed."""
    from pyrite_watch.cli.sync import sync_once
    from pyrite_watch.settings import Settings

    with helpful_errors():
        kbs, state = _named(paths, state_dir)
        settings = Settings(kbs=kbs, state_dir=state, gitignore=gitignore, max_entry_bytes=max_entry_bytes)
        problems = sync_once(settings, token)
    if check and problems:
        raise typer.Exit(1)


@app.command()
def tail(
    url: Server = None,
    since: Annotated[
        str,
        typer.Option(metavar="EPOCH:OFFSET|now", help="Print what happened after this position first."),
    ] = "now",
    kb: Annotated[
        list[str] | None,
        typer.Option("--kb", metavar="NAME", help="Only this knowledge base. Repeatable."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print NDJSON, as it is on the socket: one event a line.")
    ] = False,
    token: Token = None,
) -> None:
    """Follow a process that watches, and print what happens. Ctrl-C stops it.

    With --json nothing but messages is printed, no line that says that it is connected. A script that must
    miss nothing gives a position as --since: that of 'pyrite status --json' (running[0].position), or the
    Pyrite-Position of any answer. What happened after it comes first, however late it connects.
    """
    from pyrite_watch.cli.asking import choose_server
    from pyrite_watch.cli.tail import Tail

    with helpful_errors():
        address, token = choose_server(url, token, "tail")
        Tail(address, since, kb or (), token, as_json=as_json).run()


@app.command()
def status(url: Server = None, as_json: Json = False, token: Token = None) -> None:
    """Show what is watched now, and how it goes. Exit code 3 where nothing is."""
    from pyrite_watch.cli.status import show_status

    with helpful_errors():
        runs = show_status(url, token, as_json=as_json)
    if not runs:
        raise typer.Exit(3)


@app.command()
def explain(
    file: Annotated[str, typer.Argument(parser=typed_path, metavar="FILE", help="A file, or what was one.")],
    state_dir: StateDir = None,
    gitignore: Gitignore = False,
    max_entry_bytes: Annotated[
        int | None,
        typer.Option(
            "--max-entry-bytes", min=1, help="Larger files are problems.", show_default="as it is watched"
        ),
    ] = None,
    as_json: Json = False,
    token: Token = None,
) -> None:
    """Say whether a file is an entry, of which knowledge base, and why (not). It changes nothing."""
    from pyrite_watch.cli.explain import explain_file

    with helpful_errors():
        is_there = explain_file(file, state_dir, gitignore, max_entry_bytes, token, as_json=as_json)
    if not is_there:
        raise typer.Exit(1)


@app.command()
def doctor(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="A knowledge base, or a folder of some. Without PATH: those that are watched now,"
            " and those of Pyrite's config.yaml.",
            show_default=False,
        ),
    ] = None,
    state_dir: StateDir = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove old state: of folders that are no more.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --prune: only show it.")] = False,
    as_json: Json = False,
) -> None:
    """Check what a watch depends on, and say what to type. Exit code 1 if something is bad."""
    from pyrite_watch.cli.doctor import show_health

    with helpful_errors():
        if dry_run and not prune:
            raise UsageError("--dry-run belongs to --prune.", "Type 'pyrite doctor --prune --dry-run'.")
        is_bad = show_health(paths or [], state_dir, prune=prune, dry_run=dry_run, as_json=as_json)
    if is_bad:
        raise typer.Exit(1)


def _position(since: str | None, as_json: bool) -> Position | None:
    from pyrite_watch.model.event import parse_position

    if since is None:
        return None
    if not as_json:
        raise UsageError(
            "--since is for programs: it goes with --json.",
            "Add --json, or follow with 'pyrite tail --since EPOCH:OFFSET'.",
        )
    position = parse_position(since)
    if position is None:
        raise UsageError(
            f"'{since}' is not a position.",
            "A position is EPOCH:OFFSET, as the ready line and each event tell it.",
        )
    return position


def _named(paths: list[str] | None, state_dir: Path | None):  # type: ignore[no-untyped-def]
    from pyrite_watch.settings import check_state_dir, default_state_dir, resolve_kbs

    kbs = resolve_kbs(paths or [], os.environ)
    state = state_dir.expanduser().absolute() if state_dir else default_state_dir(kbs, os.environ)
    check_state_dir(state, kbs)
    return kbs, state


def main() -> None:
    """Run `pyrite`; commands that are not ours go to Pyrite where it is installed."""
    first = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if first is not None and first not in OUR_COMMANDS:
        pass_on()
    app()


def pass_on() -> None:
    """Hand the command line to Pyrite's own `pyrite`, if there is one; returns if there is none."""
    import importlib.metadata

    try:
        points = importlib.metadata.distribution("pyrite").entry_points
    except importlib.metadata.PackageNotFoundError:
        return
    for point in points:
        if point.group == "console_scripts" and point.name == "pyrite":
            leave_interrupts()
            sys.exit(point.load()())


def main_watch() -> None:
    """Run `pyrite-watch`, which is `pyrite watch`."""
    # The command itself: by way of the group it would call itself `pyrite-watch watch`.
    group: Any = typer.main.get_command(app)
    group.commands["watch"].main(prog_name="pyrite-watch")
