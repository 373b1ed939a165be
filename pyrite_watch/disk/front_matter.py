"""Where a file's front matter and body are, and what the front matter says.

Pure functions on text. The detection is python-frontmatter's own, so that Pyrite and this package never
disagree about a file; but positions are kept, because a lossless writer must know which characters to leave.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from frontmatter.default_handlers import YAMLHandler

from pyrite_watch.disk.safe_yaml import YamlFault, parse_yaml
from pyrite_watch.model.entry import Form

MAX_FRONT_MATTER_BYTES = 256 * 1024
"""PyYAML takes 1 s for half a MiB of ordinary YAML; nobody writes that much by hand."""

MAX_CACHED_CHARS = 16 * 1024
"""64 front matters of this length are 1 MiB: what the cache may hold."""

_boundary = YAMLHandler.FM_BOUNDARY
assert _boundary is not None
BOUNDARY: re.Pattern[str] = _boundary

_MARKER = re.compile(r"^(?:<{7} |>{7} |={7}$)", re.MULTILINE)
# Git's conflict around the opening `---` itself, as when both sides added the file.
_CONFLICT_AT_START = re.compile(r"<{7} [^\n]*\n(?:\|{7}[^\n]*\n)?(?:={7}\r?\n)?-{3,}[ \t\r]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem of a file whose path this module does not know. `line` counts from 1 in the file."""

    kind: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """Offsets into the text that `split_source` was given.

    `text[front_start:front_end]` is the front matter's lines, the last one with its line end: both
    offsets are at the beginning of a line, and `front_end` is where the closing `---` begins.
    `text[body_start:body_end]` is the body without surrounding white space; where there is none, both are
    the end of the text, which may lack a line end.
    """

    front_start: int
    front_end: int
    body_start: int
    body_end: int


def decode_source(data: bytes) -> str | Fault:
    """Decode a file's bytes without their byte order mark; line ends stay as they are."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Fault("encoding", "the file is UTF-16: save it as UTF-8", 1)
    nul = data.find(b"\0")
    if nul >= 0:
        message = "a NUL byte: not a text file, or not UTF-8"
        return Fault("encoding", message, data.count(b"\n", 0, nul) + 1)
    try:
        if data.startswith(codecs.BOM_UTF8):
            return str(memoryview(data)[len(codecs.BOM_UTF8) :], "utf-8")
        return data.decode()
    except UnicodeDecodeError as error:
        at = error.start + (len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0)
        message = f"byte 0x{data[at]:02x} is not UTF-8: save the file as UTF-8"
        return Fault("encoding", message, data.count(b"\n", 0, at) + 1)


def split_source(text: str) -> Split | None:
    """Find the front matter and the body as python-frontmatter does; None without complete front matter."""
    stripped = text.strip()
    opening = BOUNDARY.match(stripped)
    closing = _next_boundary(stripped, opening.end()) if opening else None
    if opening is None or closing is None:
        return None
    # `^` may match the opening only where the stripped text begins: hence `before`.
    before = 0 if len(stripped) == len(text) else len(text) - len(text.lstrip())
    # The boundary may span blank lines; it then ends in front of the last one's line end.
    front_start = opening.end() + 1
    end = len(stripped)
    start = end - len(stripped[closing.end() :].lstrip())
    if start == end:
        return Split(before + front_start, before + closing.start(), len(text), len(text))
    return Split(before + front_start, before + closing.start(), before + start, before + end)


def _next_boundary(text: str, start: int) -> re.Match[str] | None:
    # As `BOUNDARY.search`, which steps through every character: 50 ms for 10 MB, and this 1.
    at = text.find("\n---", start)
    while at >= 0:
        boundary = BOUNDARY.match(text, at + 1)
        if boundary:
            return boundary
        at = text.find("\n---", at + 1)
    return None


def form_of(text: str, split: Split | None) -> Form:
    """Name the form of a text that `split_source` split so."""
    if split is not None:
        return "front"
    return "open" if BOUNDARY.match(text.lstrip()) else "plain"


def line_at(text: str, index: int) -> int:
    """Count from 1 the line of `text` that holds `index`."""
    return text.count("\n", 0, index) + 1


@lru_cache(maxsize=64)
def _parse_again(front: str) -> Any:
    return parse_yaml(front)


def parse_front_matter(text: str, split: Split) -> Mapping[str, Any] | Fault:
    """Read the front matter as JSON values, which the caller must not change: they may be shared."""
    front = text[split.front_start : split.front_end]
    first_line = line_at(text, split.front_start)
    if len(front) * 4 > MAX_FRONT_MATTER_BYTES and _is_over(front, MAX_FRONT_MATTER_BYTES):
        return Fault("front_matter", f"over {MAX_FRONT_MATTER_BYTES // 1024} KiB", first_line)
    if "\r" in front:
        front = front.replace("\r\n", "\n")
    if "<<<<<<< " in front or ">>>>>>> " in front or "=======" in front:
        marker = _MARKER.search(front)
        if marker:
            return _conflict(first_line + front.count("\n", 0, marker.start()))

    # YAML is the cost of a parse, and one write reads the same front matter four times.
    value = _parse_again(front) if len(front) <= MAX_CACHED_CHARS else parse_yaml(front)
    if isinstance(value, YamlFault):
        line = first_line + front.count("\n", 0, value.index or 0)
        return Fault("yaml", value.message, line)
    if value is None:
        return {}
    if not isinstance(value, dict):
        what = "a list" if isinstance(value, list) else "plain text"
        return Fault("front_matter", f"expected 'key: value' lines, found {what}", first_line)
    return value


def conflict_at_start(text: str) -> Fault | None:
    """Recognize a Git conflict that begins above the front matter, which therefore cannot be seen."""
    if not text.startswith("<<<<<<< ") or not _CONFLICT_AT_START.match(text):
        return None
    return _conflict(1)


def _is_over(text: str, max_bytes: int) -> bool:
    return len(text) > max_bytes or len(text.encode()) > max_bytes


def _conflict(line: int) -> Fault:
    return Fault("conflict", "Git conflict markers in the front matter", line)
