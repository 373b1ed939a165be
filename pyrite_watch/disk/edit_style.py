"""How a new value is written where an old one stands: in the old one's style, as far as that can hold it.

Pure. What comes out is text without a place; `edit_cuts` puts it there.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple

from pyrite_watch.disk.yaml_nodes import Node, column_of, line_end
from pyrite_watch.disk.yaml_text import (
    STR_TAG,
    TIMESTAMP_TAG,
    JsonValue,
    Layout,
    date_text,
    indented,
    inline,
    list_lines,
    literal,
    map_lines,
    plain_tag,
)

HEADER = re.compile(r"[|>][-+0-9]*")
"""The first characters of a block scalar."""

_BOOLS = {
    word: words
    for words in (
        ("no", "yes"),
        ("No", "Yes"),
        ("NO", "YES"),
        ("off", "on"),
        ("Off", "On"),
        ("OFF", "ON"),
        ("False", "True"),
        ("FALSE", "TRUE"),
    )
    for word in words
}


class Level(IntEnum):
    """How much of a field's value is written anew."""

    FINE = 0
    """Only the items and keys below it that changed."""
    WHOLE = 1
    """All of it, in its style."""
    ROUGH = 2
    """All of it, in one line with quotes."""


class Slot(NamedTuple):
    """Where a value stands: behind what (a colon or a dash, -1 for a missing colon), and its parent."""

    after: int
    column: int
    flow: bool = False
    in_list: bool = False


class Rendered(NamedTuple):
    """A value's text: what stands on its key's line, and the lines below."""

    head: str
    lines: list[str]


def is_date(node: Node) -> bool:
    """Whether YAML reads the node as a date or a time."""
    plain = node.kind == "scalar" and node.style is None and node.tag is None
    return plain and plain_tag(node.value) == TIMESTAMP_TAG


def render(text: str, layout: Layout, level: Level, slot: Slot, node: Node, new: JsonValue) -> Rendered:
    """Write a value for the slot of an old one."""
    if level is Level.ROUGH:
        return Rendered(inline(new, flow=slot.flow, style='"'), [])
    stays_flow = slot.flow or (node.kind in ("seq", "map") and node.flow)
    if isinstance(new, (list, dict)) and new and not stays_flow:
        return _render_block(text, layout, slot, node, new)
    quote = node.style if node.style in ("'", '"') else None
    if isinstance(new, str) and not slot.flow and quote is None:
        rendered = _render_literal(text, layout, slot, node, new)
        if rendered is not None:
            return rendered
    if isinstance(new, str) and is_date(node) and date_text(new) is not None:
        return Rendered(new, [])
    if isinstance(new, bool) and node.style is None and node.value in _BOOLS:
        return Rendered(_BOOLS[node.value][new], [])
    if isinstance(new, list) and node.kind == "seq":
        quote = style_of_items(node)
    return Rendered(inline(new, flow=slot.flow, style=quote, tagged=node.tag == STR_TAG), [])


def _render_block(
    text: str, layout: Layout, slot: Slot, node: Node, new: list[JsonValue] | dict[str, JsonValue]
) -> Rendered:
    kind = "seq" if isinstance(new, list) else "map"
    if slot.in_list:
        column = slot.column + 2
    elif node.is_block() and node.kind == kind:
        column = column_of(text, node.content)
    else:
        column = slot.column + (layout.seq_offset if kind == "seq" else layout.map_step)
    if isinstance(new, list):
        style = style_of_items(node)
        lines = list_lines(new, column, layout, style=style)
    else:
        lines = map_lines(new, column, layout)
    if slot.in_list:
        return Rendered(lines[0].lstrip(" "), lines[1:])
    return Rendered("", lines)


def _render_literal(text: str, layout: Layout, slot: Slot, node: Node, new: str) -> Rendered | None:
    """Write a text as a block, where the old one was or the new one has several lines."""
    is_block = node.style in ("|", ">")
    if not is_block and "\n" not in new:
        return None
    mark = ">" if node.style == ">" else "|"
    block = literal(new, mark)
    if block is None and mark == ">":
        mark = "|"
        block = literal(new)
    if block is None:
        return None
    step = _literal_step(text, layout, slot, node) if is_block else layout.map_step
    return Rendered(block.header(mark, step), indented(block.lines, slot.column + step))


def _literal_step(text: str, layout: Layout, slot: Slot, node: Node) -> int:
    """How far the lines of a block scalar are indented under its parent."""
    header = HEADER.match(text, node.content)
    digits = [char for char in header[0] if char.isdigit()] if header else []
    if digits:
        return int(digits[0])
    top = line_end(text, node.content)
    for line in text[top : max(top, node.end)].splitlines():
        if line.strip():
            step = len(line) - len(line.lstrip(" ")) - slot.column
            return step if 0 < step < 10 else layout.map_step
    return layout.map_step


def style_of_items(node: Node) -> str | None:
    """The quotes around a list's last item, where it has some."""
    if node.kind != "seq" or not node.items:
        return None
    last = node.items[-1].node
    return last.style if last.style in ("'", '"') else None
