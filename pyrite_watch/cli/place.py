"""Where a file belongs: to which knowledge base, by which root, and whose state knows it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyrite_watch.cli.asking import NoAnswerError, Running, ask, list_running
from pyrite_watch.cli.states import find_state, list_states, read_note
from pyrite_watch.errors import PyriteWatchError
from pyrite_watch.kb_files import has_kb_yaml
from pyrite_watch.kb_roots import resolve_kbs


@dataclass(frozen=True, slots=True)
class Place:
    """A root above a file. `name` is the KB's, as far as it is known; `by` says how it was found."""

    root: Path
    name: str
    by: str
    running: Running | None = None
    state_dir: Path | None = None


def find_place(
    file: Path, state_dir: Path | None, token: str | None, environ: Mapping[str, str]
) -> Place | None:
    """Find the KB of a file: the innermost root above it that is watched, or else known, or has a kb.yaml.

    No folder in `file` may be a link.
    """
    above = _folders_above(file)
    running = list_running(environ)
    watched = {os.path.realpath(root): each for each in running for root in each.roots}
    if (real := _innermost(above, watched)) is not None:
        owner = watched[real]
        name = _name_by_note(owner.state_dir, real) or _name_by_asking(owner, real, token)
        return Place(Path(real), name or Path(real).name, "watched", owner, owner.state_dir)
    known = dict(_known_roots(state_dir, environ))
    real = _innermost(above, known)
    by = "known"
    if real is None:
        real, by = next((folder for folder in above if has_kb_yaml(folder)), None), "kb.yaml"
    if real is None:
        return None
    root = Path(real)
    return Place(root, known.get(real, root.name), by, None, state_dir or find_state(root, environ))


def _folders_above(file: Path) -> list[str]:
    """The folders above a file, the innermost first, and itself where it is one: it may be a root."""
    itself = [str(file)] if file.is_dir() and not file.is_symlink() else []
    return [*itself, *map(str, file.parents)]


def _innermost(above: Iterable[str], roots: Mapping[str, object]) -> str | None:
    return next((folder for folder in above if folder in roots), None)


def _known_roots(state_dir: Path | None, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Roots by their real path, with the KB's name: of Pyrite's config, and of earlier watches."""
    for folder in [state_dir] if state_dir is not None else list_states(environ):
        note = read_note(folder)
        for name, root in note.roots.items() if note else ():
            yield os.path.realpath(root), name
    try:
        kbs = resolve_kbs((), environ)
    except PyriteWatchError:
        return  # no config, or one that `watch` will complain of
    for kb in kbs:
        yield os.path.realpath(kb.root), kb.name


def _name_by_note(state_dir: Path | None, real: str) -> str | None:
    note = read_note(state_dir) if state_dir is not None else None
    names = (name for name, root in note.roots.items() if os.path.realpath(root) == real) if note else ()
    return next(iter(names), None)


def _name_by_asking(running: Running, real: str, token: str | None) -> str | None:
    if not running.url:
        return None
    try:
        kbs = ask(running.url, "/api/kbs", token).body["kbs"]
        return next((str(kb["name"]) for kb in kbs if os.path.realpath(kb["path"]) == real), None)
    except (NoAnswerError, KeyError, TypeError):
        return None
