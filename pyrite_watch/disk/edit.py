"""Edits of an entry's source that leave every byte as it was that they were not asked to change.

Pure: bytes in, bytes out; it touches no disk. The result is proved before it is returned: it is parsed, every
field must say what was asked or what it said before, and so must the body. What cannot be done so is refused
with an `EditError`, never done by halves.

Rules that are not visible in the code:

- A field that says what is asked already, as JSON, is not touched; an edit that changes nothing returns the
  bytes it was given. So does a date that is written in another way.
- A list or mapping keeps the text of the items and keys that stay. Any other value takes the style of the one
  that it replaces: its quotes, its brackets, its block (`|`, `>`), its indentation, its comment.
- New fields go to the end of the front matter, in the order given.
- A body is written without the blank lines around it. The blank lines between front matter and body stay, and
  so do the line ends of the file and its end: a final newline is added if the new body has one, never taken.
  The indentation of the body's first line, which reading takes away, stays as long as that line does.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrite_watch.disk import edit_yaml
from pyrite_watch.disk.edit_body import Body, eol_of, plain_text, replace_body
from pyrite_watch.disk.edit_cuts import REMOVE, Remove
from pyrite_watch.disk.edit_style import Level
from pyrite_watch.disk.front_matter import (
    BOUNDARY,
    MAX_FRONT_MATTER_BYTES,
    Fault,
    Split,
    conflict_at_start,
    decode_source,
    parse_front_matter,
    split_source,
)
from pyrite_watch.disk.safe_yaml import MAX_NODES
from pyrite_watch.disk.yaml_nodes import CannotCutError
from pyrite_watch.disk.yaml_text import (
    JsonValue,
    Layout,
    UnwritableValueError,
    check_value,
    same_json,
)

__all__ = [
    "REMOVE",
    "EditError",
    "JsonValue",
    "Remove",
    "SourceEdit",
    "coerce_like",
    "edit_source",
    "new_source",
]

FIRST_FIELDS = ("id", "type", "title", "date", "importance", "tags")

_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,300}\.?[0-9]{0,300}|\.[0-9]{1,300})(?:[eE][-+]?[0-9]{1,3})?")
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class EditError(ValueError):
    """An edit that was refused; nothing of it is done.

    `field` is the front matter key that it failed at, None where it was the body or the file as a whole.
    """

    def __init__(self, path: str, message: str, field: str | None = None) -> None:
        super().__init__(path, message, field)
        self.path = path
        self.message = message
        self.field = field

    def __str__(self) -> str:
        shown = self.path.encode("utf-8", "backslashreplace").decode()
        what = f"field '{self.field}': " if self.field is not None else ""
        return f"{shown}: {what}{self.message}"


@dataclass(frozen=True, slots=True)
class SourceEdit:
    """What to change. `fields` are front matter keys; the value `REMOVE` takes one away.

    `body` is a text with `\\n` or `\\r\\n`; None leaves it as it is.
    """

    fields: Mapping[str, JsonValue | Remove] = field(default_factory=dict)
    body: str | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    """A text and what is read in it."""

    text: str
    split: Split | None
    metadata: Mapping[str, Any]

    @property
    def front(self) -> str:
        return "" if self.split is None else self.text[self.split.front_start : self.split.front_end]

    @property
    def body_span(self) -> tuple[int, int]:
        if self.split is not None:
            return self.split.body_start, self.split.body_end
        stripped = self.text.strip()
        start = len(self.text) - len(self.text.lstrip())
        return start, start + len(stripped)

    @property
    def body(self) -> str:
        start, end = self.body_span
        return self.text[start:end].replace("\r\n", "\n")


def edit_source(data: bytes, edit: SourceEdit, path: str) -> bytes:
    """Change fields and body of an entry's source; all other bytes stay.

    Args:
        data: The whole file, as `parse_entry` can read it.
        edit: What to change; `edit.fields` may name what is so already.
        path: For messages only.

    Raises:
        EditError: The file cannot be read, a value cannot be written, or the change cannot be made without a
            change of something else.
    """
    source = _read(data, path)
    fields = _wanted(source, edit.fields, path)
    wanted_body = source.body if edit.body is None else plain_text(edit.body).strip()
    new = source
    if fields:
        new = _with_fields(source, fields, path)
    if wanted_body != source.body:
        assert edit.body is not None
        new = _with_body(new, plain_text(edit.body), path)
    if new is source:
        return data
    bom = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    result = bom + _encode(new.text, path)
    _prove(result, new.metadata, wanted_body, path, new)
    return result


def new_source(fields: Mapping[str, JsonValue], body: str, path: str = "") -> bytes:
    """Write the source of a new entry: UTF-8, `\\n`, a final newline.

    Raises:
        EditError: A value cannot be written.
    """
    ordered = {key: fields[key] for key in FIRST_FIELDS if key in fields} | dict(fields)
    _check_size(ordered, path)
    for key, value in ordered.items():
        _check(key, value, path)
    text = f"---\n{edit_yaml.new_front(ordered, Layout())}---\n"
    content = Body.of(plain_text(body))
    if content.stripped:
        text += f"\n{content.indent}{content.stripped}\n"
    result = _encode(text, path)
    _prove(result, ordered, content.stripped, path)
    return result


def coerce_like(old: JsonValue, new: JsonValue) -> JsonValue:
    """Give a string the type of the number or boolean that it replaces, if it reads as one.

    "5" for 3 is 5, "5" for 2.5 is 5.0, "2.5" for 3 is 2.5, "yes" for false is true. Whatever does not read so
    stays what it is: "abc" for 3 is "abc". Dates are strings in JSON: `edit_source` keeps them.
    """
    if not isinstance(new, str):
        return new
    text = new.strip()
    if isinstance(old, bool):
        return _BOOLS.get(text.lower(), new)
    if isinstance(old, (int, float)):
        if _INTEGER.fullmatch(text):
            return int(text) if isinstance(old, int) else float(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            return number if abs(number) != float("inf") else new
    return new


# ---- reading and proving ----------------------------------------------------------------------------------


def _read(data: bytes, path: str, known: _Source | None = None) -> _Source:
    text = decode_source(data)
    fault = text if isinstance(text, Fault) else conflict_at_start(text)
    if isinstance(text, Fault) or fault is not None:
        raise EditError(path, f"cannot be read: {fault.message if fault else ''}")
    source = _source_of(text, known)
    if isinstance(source, Fault):
        where = f"line {source.line}: " if source.line else ""
        raise EditError(path, f"cannot be read: {where}{source.message}")
    return source


def _source_of(text: str, known: _Source | None = None) -> _Source | Fault:
    """Read a text; `known` is one whose front matter may be the same, and then is not parsed again."""
    split = split_source(text)
    if split is None:
        return _Source(text, None, {})
    if (
        known is not None
        and known.split is not None
        and known.front == text[split.front_start : split.front_end]
    ):
        return _Source(text, split, known.metadata)
    metadata = parse_front_matter(text, split)
    return metadata if isinstance(metadata, Fault) else _Source(text, split, metadata)


def _prove(
    result: bytes, metadata: Mapping[str, Any], body: str, path: str, known: _Source | None = None
) -> None:
    """Raise unless the bytes read back as this."""
    source = _read(result, path, known)
    for key in (*metadata, *source.metadata):
        if not (
            key in metadata and key in source.metadata and same_json(metadata[key], source.metadata[key])
        ):
            raise EditError(path, "would not read back as asked", key)
    if source.body != body:
        raise EditError(path, "the body would not read back as asked")


def _encode(text: str, path: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EditError(path, "the text holds half of a surrogate pair") from error


# ---- fields -----------------------------------------------------------------------------------------------


def _check_size(fields: Mapping[str, JsonValue | Remove], path: str) -> None:
    """Refuse what no front matter holds before it is written: for 20 MB of tags that took half a minute."""
    chars = values = 0
    for key, held in fields.items():
        waiting: list[object] = [key, held]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                chars += len(value)
            elif isinstance(value, Mapping):
                waiting += value.keys()
                waiting += value.values()
            elif isinstance(value, list | tuple):
                waiting += value
            values += 1
            if chars > MAX_FRONT_MATTER_BYTES:
                most = f"over {MAX_FRONT_MATTER_BYTES // 1024} KiB"
                raise EditError(path, f"the front matter would be {most}", key)
            if values > MAX_NODES:
                raise EditError(path, f"the front matter would have more than {MAX_NODES:,} values", key)


def _check(key: str, value: JsonValue, path: str) -> None:
    try:
        check_value(key)
        check_value(value)
    except UnwritableValueError as error:
        raise EditError(path, f"cannot be written: {error}", key) from error


def _wanted(
    source: _Source, fields: Mapping[str, JsonValue | Remove], path: str
) -> dict[str, JsonValue | Remove]:
    _check_size(fields, path)
    for key, value in fields.items():
        _check(key, None if isinstance(value, Remove) else value, path)
    try:
        return edit_yaml.changed_fields(source.front, source.metadata, fields)
    except CannotCutError as error:
        raise EditError(path, str(error)) from error


def _with_fields(source: _Source, fields: Mapping[str, JsonValue | Remove], path: str) -> _Source:
    """Make all changes at once and finely; where that fails, one by one, each as finely as it goes."""
    if source.split is None:
        source = _with_front(source)
    new, _ = _attempt(source, fields, Level.FINE)
    if new is not None:
        return new
    for key, value in fields.items():
        reason = ""
        for level in Level:
            new, reason = _attempt(source, {key: value}, level)
            if new is not None:
                source = new
                break
        else:
            anchor = edit_yaml.shared_anchor(source.front, key)
            if anchor is not None:
                reason = f"its anchor '&{anchor}' is used by another field: change both in an editor"
            raise EditError(path, reason or "cannot be changed without other lines: use an editor", key)
    return source


def _attempt(
    source: _Source, fields: Mapping[str, JsonValue | Remove], level: Level
) -> tuple[_Source | None, str]:
    """Make changes; return None and perhaps a reason where the result does not say what was asked."""
    split = source.split
    assert split is not None
    try:
        front, expected = edit_yaml.edit_front(
            source.front, source.metadata, fields, eol_of(source.text[: split.front_end]), level
        )
    except CannotCutError as error:
        return None, str(error)
    text = source.text[: split.front_start] + front + source.text[split.front_end :]
    new = _source_of(text)
    if isinstance(new, Fault):
        return None, new.message if new.kind == "front_matter" else ""
    # Not the front's own text: blank lines at its start count as part of the `---` above.
    below = len(text) - new.body_span[0] == len(source.text) - source.body_span[0]
    if new.split is None or not below or not same_json(dict(new.metadata), expected):
        return None, ""
    return new, ""


def _with_front(source: _Source) -> _Source:
    """Put an empty front matter in front of a text that has none."""
    eol = eol_of(source.text)
    gap = "" if not source.text or source.text[0] in "\r\n" else eol
    new = _source_of(f"---{eol}---{eol}{gap}{source.text}")
    assert isinstance(new, _Source)
    assert new.split is not None
    return new


# ---- the body ---------------------------------------------------------------------------------------------


def _with_body(source: _Source, body: str, path: str) -> _Source:
    if "\0" in body:
        raise EditError(path, "the body has a NUL character, which no entry can hold")
    if source.split is None and not body.strip():
        raise EditError(path, "an empty body would leave an empty file")
    start, end = source.body_span
    text = replace_body(source.text, source.split, start, end, body)
    _encode(text, path)
    if source.split is None and (
        BOUNDARY.match(text.lstrip()) or conflict_at_start(text) is not None or text[0] == "\ufeff"
    ):
        # It would be read as front matter, as a conflict in it, or as a byte order mark.
        return _with_front(_Source(text, None, {}))
    result = _source_of(text, source)
    if isinstance(result, Fault):
        raise EditError(path, result.message)
    return result
