"""The options and arguments that several commands share, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyrite_watch import __version__


def _show_version(asked: bool) -> None:
    if asked:
        print(f"pyrite-watch {__version__}")
        raise typer.Exit


def typed_path(typed: str) -> str:
    """Take a path as it was typed. An empty one is of a variable that is not set, and no current folder."""
    if not typed:
        raise typer.BadParameter("it is empty. Is a variable not set?")
    return typed


def parse_path(typed: str) -> Path:
    """As `typed_path`; `Path("")` would be `Path(".")`."""
    return Path(typed_path(typed))


def parse_token(typed: str) -> str:
    """Take a token as `pyrite watch` does: a line end that a file left on it is not part of it."""
    from pyrite_watch.settings import fault_of_token

    token = typed.strip()
    if fault := fault_of_token(token):
        raise typer.BadParameter(f"it {fault}.")
    return token


Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="A knowledge base, or a folder of some; NAME=PATH names it."
        " Without PATH: those of Pyrite's config.yaml.",
        show_default=False,
    ),
]
Server = Annotated[
    str | None,
    typer.Argument(
        metavar="URL",
        help="The server's address, as 'pyrite watch' prints it. Without URL: the one that runs here.",
        show_default=False,
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        parser=parse_path,
        metavar="DIR",
        envvar="PYRITE_WATCH_STATE",
        help="Where index and event log are kept.",
        show_default="the user's state folder",
    ),
]
Gitignore = Annotated[bool, typer.Option("--gitignore", help="Also skip what .gitignore files in it say.")]
MaxEntryBytes = Annotated[
    int, typer.Option("--max-entry-bytes", min=1, help="Larger files are problems, not entries.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="PYRITE_TOKEN",
        parser=parse_token,
        metavar="TOKEN",
        help="The token of the process that watches.",
    ),
]
Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
]
