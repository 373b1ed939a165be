"""What a file's bytes say: the entry in them, or why there is none.

Pure: bytes in, values out. This stage never raises, whatever the bytes, and never decides what needs history
(whether an id is taken, whether an empty file was good before): it says what is written, no more.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from pyrite_watch.disk.front_matter import (
    Fault,
    Split,
    conflict_at_start,
    decode_source,
    form_of,
    line_at,
    parse_front_matter,
    split_source,
)
from pyrite_watch.disk.json_values import scalar_text
from pyrite_watch.disk.links import first_heading, has_fence, parse_links, strip_fences
from pyrite_watch.disk.safe_yaml import index_of_key
from pyrite_watch.model.entry import EntryContent, EntryId, ParsedFile, Problem, Revision

MAX_ID_BYTES = 200
_MAX_SQL_INT = 2**63

_NOT_SLUG = re.compile(r"[^a-z0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"\s*[-+]?[0-9]{1,18}\s*")


def revision_of(data: bytes) -> Revision:
    """Name a content: equal revisions mean equal bytes."""
    return Revision(hashlib.blake2b(data, digest_size=16).hexdigest())


def parse_entry(data: bytes, path: str) -> ParsedFile:
    """Read the entry in a file's bytes. Never raises.

    Args:
        data: The whole file.
        path: Relative to the KB's root; may hold surrogates where the name is not UTF-8.
    """
    text = decode_source(data)
    if isinstance(text, Fault):
        return _fatal(text, path)
    conflict = conflict_at_start(text)
    if conflict is not None:
        return _fatal(conflict, path)

    split = split_source(text)
    metadata: Mapping[str, Any] = {}
    if split is None:
        body = text.strip()
    else:
        parsed = parse_front_matter(text, split)
        if isinstance(parsed, Fault):
            return _fatal(parsed, path)
        metadata = parsed
        body = text[split.body_start : split.body_end]
    if "\r" in body:
        body = body.replace("\r\n", "\n")

    faults: list[Fault] = []
    usable = usable_id(metadata.get("id"))
    if isinstance(usable, Fault):
        faults.append(Fault(usable.kind, usable.message, _line_of_key(text, split, "id")))
        usable = None
    marker = _body_conflict(body)
    if marker is not None:
        start = split.body_start if split is not None else len(text) - len(text.lstrip())
        line = line_at(text, start) + marker
        faults.append(Fault("conflict", "Git conflict markers in the text", line))

    stem = stem_of(path)
    title = _text(metadata.get("title"))
    content = EntryContent(
        title=title or first_heading(body) or stem,
        entry_type=_text(metadata.get("type")) or "note",
        body=body,
        explicit_id=usable,
        derived_id=slug_of(title or "") or stem,
        form=form_of(text, split),
        metadata=metadata,
        summary=_text(metadata.get("summary")),
        importance=_importance(metadata.get("importance")),
        status=_text(metadata.get("status")),
        date=_text(metadata.get("date")),
        tags=_tags(metadata.get("tags")),
        links=parse_links(body, path),
        created_at=_moment(metadata.get("created_at")),
        updated_at=_moment(metadata.get("updated_at")),
    )
    return ParsedFile(content, tuple(_problem(fault, path) for fault in faults))


def slug_of(title: str) -> str:
    """Derive an id from a title as Pyrite does; empty where the title has no ASCII letter or digit."""
    return _NOT_SLUG.sub("-", title.lower()).strip("-")


def stem_of(path: str) -> str:
    r"""Return the file's name without `.md`, in NFC; bytes that are no UTF-8 become `\xff`. Never empty."""
    name = path.rpartition("/")[2]
    stem = name.removesuffix(".md") or name or "untitled"
    if stem.isascii():
        return stem
    return unicodedata.normalize("NFC", _SURROGATE.sub(_escape, stem))


def usable_id(value: Any) -> EntryId | Fault | None:
    """Check a front matter's `id`; None where there is none, a fault where it cannot be one."""
    if value is None:
        return None
    if isinstance(value, (dict, list)):
        return Fault("id", "id is a list or a mapping, not a name")
    entry_id = scalar_text(value).strip()
    if not entry_id:
        return None
    if "/" in entry_id:
        return Fault("id", "id has a '/'")
    if _CONTROL.search(entry_id):
        return Fault("id", "id has a control character")
    if len(entry_id) * 4 > MAX_ID_BYTES and len(entry_id.encode()) > MAX_ID_BYTES:
        return Fault("id", f"id is longer than {MAX_ID_BYTES} bytes")
    return EntryId(entry_id)


def _fatal(fault: Fault, path: str) -> ParsedFile:
    return ParsedFile(None, (_problem(fault, path),))


def _problem(fault: Fault, path: str) -> Problem:
    return Problem(path, fault.kind, fault.message, fault.line)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    # surrogateescape (PEP 383) hides the byte 0xNN as U+DCNN.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _line_of_key(text: str, split: Split | None, key: str) -> int | None:
    if split is None:
        return None
    index = index_of_key(text[split.front_start : split.front_end], key)
    return None if index is None else line_at(text, split.front_start + index)


def _body_conflict(body: str) -> int | None:
    """Return the number of lines above an open Git conflict's first marker in the body.

    One that lies in a code block as a whole is an example. A block that begins or ends between the markers
    may be what the two sides do not agree on.
    """
    if "<<<<<<< " not in body or ">>>>>>> " not in body:
        return None
    text, lines = "\n" + body, "\n" + strip_fences(body)
    at = text.find("\n<<<<<<< ")
    if at < 0 or text.find("\n>>>>>>> ", at) < 0:
        return None
    is_inside = "\n<<<<<<< " not in lines and "\n>>>>>>> " not in lines
    if is_inside and not has_fence(text[at : text.find("\n>>>>>>> ", at)]):
        return None
    # In the body itself, since the cut fences took lines with them; nearly always the same marker.
    return body.count("\n", 0, at)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, (dict, list)):
        return None
    return scalar_text(value).strip() or None


def _moment(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _importance(value: Any) -> int | None:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # SQLite keeps 64 bits.
    return value if isinstance(value, int) and -_MAX_SQL_INT <= value < _MAX_SQL_INT else None


def _tags(value: Any) -> tuple[str, ...]:
    if value is None or isinstance(value, dict):
        return ()
    items = value if isinstance(value, list) else scalar_text(value).split(",")
    tags = (_text(item) for item in items)
    return tuple(dict.fromkeys(tag for tag in tags if tag))
