"""A second reader of a knowledge base, written from interface §2 alone.

It shares no code with the product, so that one mistake is not made twice. It knows no history but the view
that one hands it: of files that are bad now, the last good version stays where `previous` had one.
Not covered: `.pyriteignore`, symlinks, KBs inside KBs, ids kept by history.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MAX_ENTRY_BYTES = 16 * 1024 * 1024
MAX_ID_BYTES = 200

_SLUG_GAP = re.compile(r"[^a-z0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONFLICT = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)


class BadFileError(Exception):
    """A file that is a problem: it cannot be an entry as it is now."""


@dataclass(frozen=True, slots=True)
class View:
    """What a KB folder holds: entries by id, the paths of the problems, and the ids that two files claim."""

    entries: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: frozenset[str] = frozenset()
    contested: frozenset[str] = frozenset()

    def id_at(self, path: str) -> str:
        """The id of the entry at a path."""
        for entry_id, (entry_path, _) in self.entries.items():
            if entry_path == path:
                return entry_id
        raise KeyError(path)


@dataclass(frozen=True, slots=True)
class _Candidate:
    path: str
    revision: str
    explicit_id: str | None
    derived_id: str


def revision_of(content: bytes) -> str:
    """Name content, as anyone can."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_kb(root: Path, previous: View | None = None) -> View:
    """Read the folder as it is now.

    Args:
        previous: what the folder held before; it gives the last good versions of files that are bad now.
    """
    candidates: list[_Candidate] = []
    problems: set[str] = set()
    contested: set[str] = set()
    kept: dict[str, tuple[str, str]] = {}
    known = {path: (entry_id, rev) for entry_id, (path, rev) in (previous or View()).entries.items()}
    for path in entry_paths(root):
        try:
            content = (root / path).read_bytes()
            if not content and path in known and known[path][1] != revision_of(b""):
                raise BadFileError("a good file emptied")
            candidate, is_conflict = _candidate(path, content)
            candidates.append(candidate)
            if is_conflict:
                problems.add(path)
        except BadFileError:
            problems.add(path)
            if path in known:
                entry_id, revision = known[path]
                kept[entry_id] = (path, revision)
    entries = dict(kept)
    for candidate in candidates:  # explicit ids first; the smallest path owns
        if candidate.explicit_id is None:
            continue
        if candidate.explicit_id in entries:
            problems.add(candidate.path)
            contested.add(candidate.explicit_id)
        else:
            entries[candidate.explicit_id] = (candidate.path, candidate.revision)
    for candidate in candidates:
        if candidate.explicit_id is not None:
            continue
        entry_id = candidate.derived_id
        if entry_id == "index" or entry_id in entries:
            entry_id = path_form(candidate.path)
        if entry_id in entries:
            problems.add(candidate.path)
        else:
            entries[entry_id] = (candidate.path, candidate.revision)
    return View(entries, frozenset(problems), frozenset(contested))


def entry_paths(root: Path) -> list[str]:
    """The paths of all files that are entries by their names, smallest first."""
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "_templates"]
        for name in files:
            if not name.endswith(".md") or name.startswith(".") or name.lower() == "readme.md":
                continue
            full = Path(folder, name)
            if stat.S_ISREG(full.lstat().st_mode):
                found.append(full.relative_to(root).as_posix())
    return sorted(found)


def path_form(path: str) -> str:
    """The id that a path gives: without suffix, `/` as `-`."""
    return unicodedata.normalize("NFC", path.removesuffix(".md").replace("/", "-"))


def slug(title: str) -> str:
    """Pyrite's slug."""
    return _SLUG_GAP.sub("-", title.lower()).strip("-")


def parse_front_matter(content: bytes) -> dict[Any, Any]:
    """Return the front matter, `{}` where there is none.

    Raises:
        BadFileError: the file is a problem.
    """
    if len(content) > MAX_ENTRY_BYTES:
        raise BadFileError("too large")
    if b"\x00" in content:
        raise BadFileError("a NUL")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFileError("not UTF-8") from error
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != "---":
        return {}
    ends = [number for number, line in enumerate(lines) if number and line.rstrip() == "---"]
    if not ends:
        return {}  # never closed: a body
    block = "\n".join(lines[1 : ends[0]])
    if _CONFLICT.search(block):
        raise BadFileError("conflict markers in the front matter")
    try:
        values = yaml.load(block, yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadFileError(f"bad YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BadFileError("front matter that is not a mapping")
    return values


@functools.lru_cache(maxsize=4_096)
def _candidate(path: str, content: bytes) -> tuple[_Candidate, bool]:
    # Remembered: hundreds of tests read the same corpus, each twice and more, and YAML is dear.
    values = parse_front_matter(content)
    stem = unicodedata.normalize("NFC", path.rsplit("/", 1)[-1].removesuffix(".md"))
    title = values.get("title")
    derived = slug(str(title)) if _is_scalar(title) else ""
    candidate = _Candidate(path, revision_of(content), _explicit_id(values.get("id")), derived or stem)
    return candidate, bool(_CONFLICT.search(content.decode("utf-8")))


def _explicit_id(value: object) -> str | None:
    if not _is_scalar(value):
        return None
    text = str(value)
    if not text.strip() or "/" in text or _CONTROL.search(text) or len(text.encode()) > MAX_ID_BYTES:
        return None
    return text


def _is_scalar(value: object) -> bool:
    return value is not None and not isinstance(value, dict | list | set | tuple | bytes)
