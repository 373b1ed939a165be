"""Which knowledge bases, which state folder, which options: all that a command line decides.

Functions take the environment as a mapping, so one mapping decides about everything; nothing is
made or written here. Everything a user can get wrong ends in a UsageError that says what to type.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyrite_watch.errors import TokenNeededError, UsageError
from pyrite_watch.kb_roots import resolve_kbs
from pyrite_watch.model.entry import MAX_ENTRY_BYTES
from pyrite_watch.model.kb import KnowledgeBase
from pyrite_watch.system import expand_home, filesystem_type, is_network_filesystem, user_state_folder

__all__ = [
    "AUTO_TOKEN",
    "Settings",
    "check_listen",
    "check_state_dir",
    "default_state_dir",
    "fault_of_token",
    "is_loopback",
    "resolve_kbs",
    "resolve_token",
]

AUTO_TOKEN = "auto"
MAX_TOKEN_CHARS = 1024  # far below the 64 KiB that uvicorn takes as a head


@dataclass(frozen=True, slots=True)
class Settings:
    """What one `pyrite watch` was asked to do.

    `poll_s` None means: notifications where the file system has them. `retention` counts events.
    `settle_s` is how long a missing file may take to come back, `settle_incomplete_s` how long a
    half-written one may take to be whole. Tokens stay out of the repr, as that ends up in logs.
    """

    kbs: tuple[KnowledgeBase, ...]
    state_dir: Path
    host: str = "127.0.0.1"
    port: int = 8088
    read_only: bool = False
    poll_s: float | None = None
    gitignore: bool = False
    retention: int = 100_000
    max_entry_bytes: int = MAX_ENTRY_BYTES
    token: str | None = field(default=None, repr=False)
    read_token: str | None = field(default=None, repr=False)
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    public_url: str | None = None
    settle_s: float = 0.12
    settle_incomplete_s: float = 0.4
    sweep_min_s: float = 30.0


def default_state_dir(kbs: Sequence[KnowledgeBase], environ: Mapping[str, str]) -> Path:
    """Name the state folder of this set of KBs; it need not exist.

    The same roots under the same names give the same folder, in whatever order, from wherever, and
    through whatever link they were named.
    """
    if chosen := environ.get("PYRITE_WATCH_STATE"):
        return Path(os.path.abspath(expand_home(chosen, environ)))
    digest = hashlib.blake2b(digest_size=8)
    for root, name in sorted((os.path.realpath(kb.root), kb.name) for kb in kbs):
        # NUL, which no path holds, keeps ("a", "b/c") and ("a/b", "c") apart.
        digest.update(os.fsencode(root) + b"\0" + name.encode() + b"\0")
    return user_state_folder(environ) / "states" / digest.hexdigest()


def check_state_dir(state_dir: Path, kbs: Sequence[KnowledgeBase]) -> None:
    """Refuse a state folder that would be watched, or on which SQLite is not safe.

    Both are usage errors rather than failures to start: trying again later would not help.

    Raises:
        UsageError: It lies inside a KB (each commit would wake the watcher, and git would take it),
            or on a network file system (two hosts could write one log).
    """
    hint = "Give another folder with --state-dir (or PYRITE_WATCH_STATE)."
    real = Path(os.path.realpath(state_dir))
    for kb in kbs:
        if any(_is_same_folder(folder, kb.root) for folder in (real, *real.parents)):
            raise UsageError(
                f"The state folder {state_dir} lies inside the knowledge base '{kb.name}' ({kb.root}).", hint
            )
    fs_type = filesystem_type(real)
    if is_network_filesystem(fs_type):
        raise UsageError(f"The state folder {state_dir} is on a network file system ({fs_type}).", hint)


def _is_same_folder(folder: Path, root: Path) -> bool:
    if str(folder) == os.path.realpath(root):
        return True
    try:
        return os.path.samefile(folder, root)  # bind mounts, file systems without case
    except OSError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`; a name other than localhost is not trusted."""
    host = _bare(host)
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # ::ffff:127.0.0.1 is only called loopback by newer Pythons (3.13).
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _bare(host: str) -> str:
    """Take off the brackets in which an IPv6 address stands in a URL."""
    return host.strip().removeprefix("[").removesuffix("]")


def check_listen(host: str, token: str | None) -> str:
    """Refuse to open the notes to the network without a token; return the host as it can be bound.

    Raises:
        TokenNeededError: `host` is not loopback (an empty one means all addresses) and no token is given.
    """
    if not token and not is_loopback(host):
        raise TokenNeededError(host or "all addresses")
    return _bare(host)


def resolve_token(
    option: str | None, token_file: Path | None, environ: Mapping[str, str], name: str = "--token"
) -> tuple[str | None, bool]:
    """Choose the token: the option of that name, else the file, else $PYRITE_TOKEN; `auto` makes one.

    Returns it, and whether it was made: then somebody must be told. None means that none was asked for. An
    empty one is not none: somebody believes to be protected by it. No message here repeats a token.

    Raises:
        UsageError: The file cannot be read, or the token is empty or could not stand in a header.
    """
    if option is not None:
        source, token = name, option
    elif token_file is not None:
        source, token = f"The token file {token_file}", _read_token_file(token_file, environ)
    elif "PYRITE_TOKEN" in environ:
        source, token = "PYRITE_TOKEN", environ["PYRITE_TOKEN"]
    else:
        return None, False
    token = token.strip()
    if token == AUTO_TOKEN:
        return secrets.token_urlsafe(24), True
    if fault := fault_of_token(token):
        what = f"Use up to {MAX_TOKEN_CHARS} ASCII characters without blanks" if token else "Leave it out"
        raise UsageError(f"{source} {fault}.", f"{what}, or let one be made: {name} auto.")
    return token, False


def fault_of_token(token: str) -> str:
    """Say what keeps a token out of a request's header, "" for nothing."""
    if not token:
        return "is empty"
    if len(token) > MAX_TOKEN_CHARS or not all("!" <= character <= "~" for character in token):
        return "holds no token that a browser could send"
    return ""


def _read_token_file(path: Path, environ: Mapping[str, str]) -> str:
    hint = "Write the token into that file, or let one be made: --token auto."
    try:
        # Not "a regular file only": a shell's <(pass show pyrite) is a pipe.
        with open(expand_home(str(path), environ), "rb") as file:
            return file.read(4 * MAX_TOKEN_CHARS).decode("ascii")
    except OSError as error:
        raise UsageError(f"The token file {path} cannot be read ({error.strerror}).", hint) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The token file {path} holds no token that a browser could send.", hint) from error
