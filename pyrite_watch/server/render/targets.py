"""Where links lead: what is written in a body, as addresses of this server. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

_NOT_IN_SLUG = re.compile(r"[^\w\- ]+")
_ABROAD = ("http://", "https://", "mailto:")

IMAGE_TYPES: Mapping[str, str] = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".svg": "image/svg+xml",
}
"""What `GET /files` hands out, by suffix."""


class LinkTarget(NamedTuple):
    """What a link names. A target that begins with `/` is a path from the KB's root, with its suffix."""

    kb_name: str
    name: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """The entry that a link leads to."""

    kb_name: str
    entry_id: str
    title: str


def is_image(path: str) -> bool:
    """Whether a path has the name of a picture."""
    return posixpath.splitext(path)[1].lower() in IMAGE_TYPES


def anchor_of(heading: str) -> str:
    """Name a heading as GitHub does, with a prefix that no name of the page or the browser begins with."""
    return "h-" + _NOT_IN_SLUG.sub("", heading.strip().lower()).replace(" ", "-")[:200]


def entry_address(kb_name: str, entry_id: str, heading: str = "") -> str:
    """The address of an entry, relative to the page's base."""
    address = f"k/{quote(kb_name, safe='')}/{quote(entry_id, safe='')}"
    return f"{address}#{quote(anchor_of(heading), safe='')}" if heading else address


def file_address(kb_name: str, path: str) -> str:
    """The address of a picture, relative to the page's base."""
    return f"files/{quote(kb_name, safe='')}/{quote(path)}"


def is_abroad(href: str) -> bool:
    """Whether a link leads to somewhere else, by a scheme that does no harm."""
    return href.lower().startswith(_ABROAD)
