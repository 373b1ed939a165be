"""By what else than its id, path and title a link may name an entry: the file's stem, and aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyrite_watch.disk.parse import stem_of

STEM, ALIAS = 1, 2
"""The `rank` of a name."""

MAX_ALIASES = 100
MAX_ALIAS_CHARS = 500
"""More of them are somebody's data, not names."""

NameRow = tuple[int, str, int, int]
"""A row of the table `name`: KB, name, rank, and the entry's row."""


def names_of(row: int, kb_id: int, entry_id: str, path: str, metadata: Mapping[str, Any]) -> list[NameRow]:
    """Give the rows of an entry's further names; the stem only where it is not the id. Pure."""
    names = {(alias, ALIAS) for alias in aliases_of(metadata)}
    names.add((stem_of(path), STEM))
    return sorted((kb_id, name, rank, row) for name, rank in names if name != entry_id)


def aliases_of(metadata: Mapping[str, Any]) -> list[str]:
    """Give what the front matter's `aliases` (or `alias`) holds: a name, or a list of them."""
    found = metadata.get("aliases", metadata.get("alias"))
    listed = found if isinstance(found, list) else [found]
    names = [str(name).strip() for name in listed if isinstance(name, str | int | float)]
    return [name for name in dict.fromkeys(names) if 0 < len(name) <= MAX_ALIAS_CHARS][:MAX_ALIASES]
