"""What is known of a file and of the entry in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NewType

EntryId = NewType("EntryId", str)
Revision = NewType("Revision", str)
"""`blake2b(file_bytes, digest_size=16)` in hex: equal revision means equal content."""

Form = Literal["plain", "front", "open"]
"""Of a file's front matter: none, complete, or opened and never closed (then all of it is body)."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What `lstat` says of a file; equal states mean equal content, but for the racy rule."""

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int
    device: int


MAX_ENTRY_BYTES = 16 << 20
"""What a file may have at most to be read as an entry, unless somebody says otherwise."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file is not, or not fully, an entry. `line` counts from 1 in the file.

    `kind` is one of: yaml, front_matter, encoding, conflict, emptied, too_big, unreadable,
    not_a_file, name, duplicate_id, id, kb_yaml, unavailable, ignore_file.
    """

    path: str
    kind: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A wikilink as written, `[[kb:target#heading|text]]`, or a link to a file: its path after a `/`."""

    target: str
    kb_name: str | None = None


@dataclass(frozen=True, slots=True)
class EntryContent:
    """What a file that parses says, before it is decided which id it gets.

    `explicit_id` is the front matter's `id` where it is usable. `derived_id` is what the title or
    the file's stem gives; it is never empty. `metadata` is the whole front matter as JSON values.
    Dates are ISO 8601 strings as written or as YAML understood them.
    """

    title: str
    entry_type: str
    body: str
    explicit_id: EntryId | None
    derived_id: str
    form: Form
    metadata: Mapping[str, Any] = field(default_factory=dict)
    summary: str | None = None
    importance: int | None = None
    status: str | None = None
    date: str | None = None
    tags: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    created_at: str | None = None
    updated_at: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """The outcome of `parse_entry`: a content, or a fatal problem, or a content with a problem."""

    content: EntryContent | None
    problems: tuple[Problem, ...] = ()
