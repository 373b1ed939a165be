"""Find the processes that watch, and ask one over HTTP. Needs no server's modules: it must be instant."""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pyrite_watch.errors import PyriteWatchError, StartError, UsageError
from pyrite_watch.ownership import list_owners

ASK_TIMEOUT_S = 10.0

TOKEN_HINT = "Give its token: --token, or PYRITE_TOKEN."


ADDRESS_HINT = "An address is, for example, http://127.0.0.1:8088, as 'pyrite watch' prints it."


class NoAnswerError(PyriteWatchError):
    """A server did not do what it was asked; `status` is None where it did not answer at all."""

    def __init__(self, url: str, why: str, status: int | None = None, hint: str = "") -> None:
        super().__init__(url, why, status)
        self.url, self.why, self.status = url, why, status
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.url} {self.why}."


class NothingRunsError(StartError):
    """No process of this user watches anything."""

    hint = "Start one: pyrite watch PATH. If one runs elsewhere, give its address: http://HOST:PORT"

    def __str__(self) -> str:
        return "Nothing is watched at the moment: no 'pyrite watch' of yours serves a port."


class WhichServerError(UsageError):
    """Several processes serve."""


@dataclass(frozen=True, slots=True)
class Running:
    """One process that watches; `url` is empty where it opens no port, `pid` 0 where unknown."""

    url: str
    pid: int = 0
    roots: tuple[Path, ...] = ()
    state_dir: Path | None = None
    started: str = ""


def list_running(environ: Mapping[str, str] = os.environ) -> list[Running]:
    """List the processes of this user that watch, each with all its roots."""
    roots: dict[tuple[str, int, Path | None, str], list[Path]] = {}
    for owner in list_owners(environ):
        roots.setdefault((owner.url, owner.pid, owner.state_dir, owner.started), []).append(owner.root)
    found = [
        Running(url, pid, tuple(sorted(paths)), state_dir, started)
        for (url, pid, state_dir, started), paths in roots.items()
    ]
    return sorted(found, key=lambda running: (running.started, running.pid))


def choose_server(url: str | None, token: str | None, command: str) -> tuple[str, str | None]:
    """Choose whom to ask, and with which token: who was named, else the one that runs.

    Raises:
        NothingRunsError: None was named, and none runs.
        WhichServerError: None was named, and several run.
        UsageError: What was named is no address.
    """
    if url is not None:
        return check_url(url, token)
    serving = [running for running in list_running() if running.url]
    if not serving:
        raise NothingRunsError
    if len(serving) > 1:
        lines = [f"  {each.url}  {', '.join(map(str, each.roots))}" for each in serving]
        raise WhichServerError(
            "\n".join([f"{len(serving)} processes watch. Say which one is meant:", *lines]),
            f"Type, for example: pyrite {command} {serving[0].url}",
        )
    return serving[0].url, token


def check_url(url: str, token: str | None = None) -> tuple[str, str | None]:
    """Give a server's address without the slash at its end, and the token: the one given, else the address's.

    A token may stand in an address as in the one that opens the page. It is in no message.

    Raises:
        UsageError: It is none, or has more to it.
    """
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise UsageError(f"'{_shown(url)}' is not the address of a server.", ADDRESS_HINT)
    tokens, has_more = _split_query(parts.query)
    if has_more or len(tokens) > 1 or parts.fragment or "@" in parts.netloc:
        raise UsageError(f"'{_shown(url)}' has more to it than the address of a server.", ADDRESS_HINT)
    if token is None and tokens:
        from pyrite_watch.settings import fault_of_token

        token = tokens[0].strip()
        if fault := fault_of_token(token):
            raise UsageError(f"The token in the address {fault}.", TOKEN_HINT)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), token


def _split_query(query: str) -> tuple[list[str], bool]:
    """The tokens of a query, and whether it holds anything else."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    # Not as a form's: a `+` is itself, as no token has a blank.
    tokens = [unquote(value) for name, _, value in pairs if name == "token"]
    return tokens, len(tokens) < len(pairs)


def _shown(url: str) -> str:
    """What of an address may be printed: no query, no fragment, no password."""
    return re.sub(r"//.*@", "//…@", re.split(r"[?#]", url, maxsplit=1)[0])


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; `position` is EPOCH:OFFSET, or empty."""

    body: Any
    position: str = ""


def ask(
    url: str, path: str, token: str | None = None, method: str = "GET", timeout_s: float = ASK_TIMEOUT_S
) -> Answer:
    """Ask a server for JSON.

    Raises:
        NoAnswerError: It refused, did not answer, or what answered is something else.
    """
    request = urllib.request.Request(url + path, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    # The environment's proxy is for the world outside, and would get the token.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            return Answer(json.load(answer), answer.headers.get("Pyrite-Position", ""))
    except urllib.error.HTTPError as error:
        hint = TOKEN_HINT if error.code == 401 else _hint_of(error)
        raise NoAnswerError(url, f"refused ({error.code})", error.code, hint) from error
    except (ValueError, http.client.HTTPException) as error:
        raise NoAnswerError(url, "answered something else than this asks for", 200) from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        why = getattr(reason, "strerror", None) or str(reason)
        raise NoAnswerError(url, f"did not answer ({why})", hint="Is it stopped? Try again.") from error


def _hint_of(error: urllib.error.HTTPError) -> str:
    try:
        detail = json.load(error)["detail"]
        return f"{detail['message']} {detail.get('hint', '')}".strip()
    except (ValueError, KeyError, TypeError, OSError):
        return ""
