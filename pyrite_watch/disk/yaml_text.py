"""JSON values as YAML text: as plain as is safe, and never folded.

Pure: values in, text out. It must not guess what a value means: a string that YAML would read as a number, a
date or null is quoted. What it writes PyYAML reads back as the same JSON value; the caller still verifies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple, TypeAlias

import yaml

from pyrite_watch.disk.json_values import MAX_DEPTH
from pyrite_watch.disk.safe_yaml import MAX_NUMBER_CHARS, parse_yaml

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None

MAX_PLAIN_KEY_CHARS = 128

STR_TAG = "tag:yaml.org,2002:str"
TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"

_STEP = 2
# 10 bits are 3 digits and a bit.
_MAX_NUMBER_BITS = MAX_NUMBER_CHARS * 10 // 3

_RESOLVERS = yaml.SafeLoader.yaml_implicit_resolvers
# One line, no control characters, none of YAML's odd line breaks (U+0085, U+2028, U+2029), no U+FEFF.
_CLEAN_SET = "\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"
_CLEAN = re.compile(f"[{_CLEAN_SET}]*")
_CLEAN_LINES = re.compile(f"[{_CLEAN_SET}\t\n]*")
_ESCAPED = re.compile(f'[^{_CLEAN_SET}]|["\\\\]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
# `-x` may be plain, `- x` and `---` may not.
_NOT_PLAIN = re.compile(r"""[,\[\]{}#&*!|>'"%@`?:=<]|-(?![A-Za-z0-9.])|.*(?::(?:\s|\Z)|\s\#)""")
# What only other YAML parsers (YAML 1.2, or 1.1 to the letter) read as a number or a boolean.
_TYPED_ELSEWHERE = re.compile(r"[-+]?(?:\.?[0-9][0-9_.]*(?:[eE][-+]?[0-9]+)?|0[ox][0-9a-fA-F_]+)|[yYnN]")
_NOT_FLOW = re.compile(r"[,\[\]{}?:]")


class UnwritableValueError(ValueError):
    """A value that no YAML (or no UTF-8) can hold as it is."""


class Literal(NamedTuple):
    """A block scalar: the indicators after `|` or `>`, and lines that are not yet indented."""

    chomping: str
    explicit: bool
    """Whether the header needs an indentation indicator, as the text begins with a space."""
    lines: list[str]

    def header(self, mark: str, step: int) -> str:
        """Write the header of content that is indented by `step` more than its parent."""
        return f"{mark}{step if self.explicit else ''}{self.chomping}"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is laid out: its line end, and the indentation of what is under a key."""

    eol: str = "\n"
    seq_offset: int = _STEP
    """From a key to the dashes of its list: 0 and 2 are both common."""
    map_step: int = _STEP


def check_value(value: JsonValue, depth: int = 0) -> None:
    """Raise `UnwritableValueError` for what is no JSON value, or none that can be read back."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UnwritableValueError("a text holds half of a surrogate pair") from error
    elif isinstance(value, float):
        if not isfinite(value):
            raise UnwritableValueError("a number is not finite")
    elif isinstance(value, int):
        if value.bit_length() > _MAX_NUMBER_BITS:
            raise UnwritableValueError(f"a number has more than {MAX_NUMBER_CHARS} digits")
    elif isinstance(value, (list, dict)):
        if depth >= MAX_DEPTH:
            raise UnwritableValueError(f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    raise UnwritableValueError(f"a key is no text: {key!r}")
                check_value(key)
                check_value(item, depth + 1)
        else:
            for item in value:
                check_value(item, depth + 1)
    elif value is not None:
        raise UnwritableValueError(f"not a JSON value: {type(value).__name__}")


def same_json(left: object, right: object) -> bool:
    """Compare as JSON texts would, but for the order of keys: 1, 1.0 and true are three values."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    return left == right


def plain_tag(text: str) -> str:
    """Name the type that YAML gives to a plain scalar."""
    for tag, pattern in (*_RESOLVERS.get(text[:1], ()), *_RESOLVERS.get(None, ())):
        if pattern.match(text):
            return str(tag)
    return STR_TAG


def date_text(text: str) -> str | None:
    """What a text that is a YAML date or time when plain reads back as; None for any other."""
    if plain_tag(text) != TIMESTAMP_TAG:
        return None
    value = parse_yaml(text)
    return value if isinstance(value, str) else None


# ---- one line ---------------------------------------------------------------------------------------------


def is_plain(text: str, *, flow: bool = False, tagged: bool = False) -> bool:
    """Whether a string may stand without quotes; `tagged` is after `!!str`, where nothing is resolved."""
    return (
        bool(text)
        and text == text.strip()
        and _CLEAN.fullmatch(text) is not None
        and _NOT_PLAIN.match(text) is None
        and not (flow and _NOT_FLOW.search(text))
        and (tagged or (plain_tag(text) == STR_TAG and not _TYPED_ELSEWHERE.fullmatch(text)))
    )


def quoted(text: str, style: str | None = None) -> str:
    """Quote a string: in `style` where that can hold it, else as needs the fewest escapes."""
    if style is None:
        style = '"' if "'" in text and '"' not in text and "\\" not in text else "'"
    if style == "'" and _CLEAN.fullmatch(text):
        return "'" + text.replace("'", "''") + "'"
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _ESCAPES.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def inline(value: JsonValue, *, flow: bool = False, style: str | None = None, tagged: bool = False) -> str:
    """Write a value in one line; a collection becomes a flow collection.

    Args:
        value: What to write.
        flow: Whether the text will stand inside of `[]` or `{}`.
        style: The quote to use for strings; None for plain where that is safe.
        tagged: Whether the tag `!!str` stands before it.
    """
    if isinstance(value, str):
        if style is None and is_plain(value, flow=flow, tagged=tagged):
            return value
        return quoted(value, style)
    if isinstance(value, list):
        return "[" + ", ".join(inline(item, flow=True, style=style) for item in value) + "]"
    if isinstance(value, dict):
        pairs = (
            f"{key_text(key, flow=True)}: {inline(item, flow=True, style=style)}"
            for key, item in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        # YAML 1.1 reads 1e+20 as text.
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    return str(value)


def key_text(key: str, *, flow: bool = False) -> str:
    """Write a mapping's key."""
    return key if len(key) <= MAX_PLAIN_KEY_CHARS and is_plain(key, flow=flow) else quoted(key)


# ---- several lines ----------------------------------------------------------------------------------------


def literal(text: str, mark: str = "|") -> Literal | None:
    """Lay a string out as a literal (`|`) or folded (`>`) block; None where that would not hold it."""
    content = text.rstrip("\n")
    if not content or not _CLEAN_LINES.fullmatch(text):
        return None
    lines = content.split("\n")
    if any(line.isspace() for line in lines):
        return None
    ends = len(text) - len(content)
    if mark == ">":
        if any(line[:1] in (" ", "\t") for line in lines):
            return None
        lines = _unfold(lines)
    lines += [""] * (ends - 1)
    chomping = "-" if not ends else "" if ends == 1 else "+"
    first = next(line for line in lines if line)
    return Literal(chomping, first[0] in " \t", lines)


def _unfold(lines: list[str]) -> list[str]:
    """Separate lines so that folding, which makes a space of one line end and n of n + 1, gives them."""
    unfolded = []
    for number, line in enumerate(lines):
        if line and number and any(lines[:number]):
            unfolded.append("")
        unfolded.append(line)
    return unfolded


def indented(lines: list[str], column: int) -> list[str]:
    """Indent the lines that are not empty."""
    pad = " " * column
    return [pad + line if line else line for line in lines]


def pair_lines(key: str, value: JsonValue, column: int, layout: Layout) -> list[str]:
    """Write `key: value` as the lines of a block mapping at `column`."""
    head = " " * column + key_text(key) + ":"
    if isinstance(value, list) and value:
        return [head, *list_lines(value, column + layout.seq_offset, layout)]
    if isinstance(value, dict) and value:
        return [head, *map_lines(value, column + layout.map_step, layout)]
    return _scalar_lines(head, value, column)


def map_lines(values: dict[str, JsonValue], column: int, layout: Layout) -> list[str]:
    """Write a mapping as a block at `column`."""
    return [line for key, value in values.items() for line in pair_lines(key, value, column, layout)]


def list_lines(
    values: list[JsonValue], column: int, layout: Layout, gap: int = 1, style: str | None = None
) -> list[str]:
    """Write a list as a block with its dashes at `column`; `gap` is the number of spaces after a dash."""
    lines = []
    for value in values:
        dash = " " * column + "-"
        inner: list[str] = []
        if isinstance(value, list) and value:
            inner = list_lines(value, column + 1 + gap, layout)
        elif isinstance(value, dict) and value:
            inner = map_lines(value, column + 1 + gap, layout)
        if inner:
            lines += [dash + " " * gap + inner[0].lstrip(" "), *inner[1:]]
        else:
            lines += _scalar_lines(dash + " " * (gap - 1), value, column, style)
    return lines


def _scalar_lines(head: str, value: JsonValue, column: int, style: str | None = None) -> list[str]:
    block = literal(value) if isinstance(value, str) and "\n" in value and style is None else None
    if block is None:
        return [f"{head} {inline(value, style=style)}"]
    return [f"{head} {block.header('|', _STEP)}", *indented(block.lines, column + _STEP)]
