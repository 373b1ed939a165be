"""Cuts in a front matter's text that turn one value into another, and leave all other characters.

Pure. It follows the style of what it replaces, but it proves nothing: whether the result says what was asked
is for the caller to see by parsing it. A cut never reaches into a line of another field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from enum import Enum
from typing import Final

from pyrite_watch.disk.edit_style import HEADER, Level, Slot, render, style_of_items
from pyrite_watch.disk.yaml_nodes import (
    CannotCutError,
    Node,
    Pair,
    column_of,
    key_name,
    line_end,
    line_start,
    rest_of_line,
)
from pyrite_watch.disk.yaml_text import (
    STR_TAG,
    JsonValue,
    Layout,
    inline,
    key_text,
    list_lines,
    pair_lines,
    same_json,
)

# Comparing all items of a list with all others; above this, only what is equal at both ends is kept.
_MAX_COMPARED = 250_000

_SEPARATOR = re.compile(r"\s*,\s*")
# Blank lines and indented comments.
_BELOW = re.compile(r"(?:[ \t]*\r?\n|[ \t]+#[^\n]*\n)*+")
_TAGS: Mapping[str, type] = {
    STR_TAG: str,
    "!": str,
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:bool": bool,
    "tag:yaml.org,2002:null": type(None),
    "tag:yaml.org,2002:seq": list,
    "tag:yaml.org,2002:map": dict,
}


class Remove(Enum):
    """The type of `REMOVE`."""

    REMOVE = "remove"


REMOVE: Final = Remove.REMOVE
"""As the value of a field: take the field away."""


def named_pairs(mapping: Node) -> dict[str, list[Pair]]:
    """A mapping's pairs by the keys that JSON has; of pairs with one key the last counts."""
    named: dict[str, list[Pair]] = {}
    if mapping.kind == "map":
        for pair in mapping.pairs:
            name = key_name(pair.key)
            if name is not None:
                named.setdefault(name, []).append(pair)
    return named


class Cutter:
    """Collects the cuts of one edit."""

    def __init__(self, text: str, layout: Layout, level: Level) -> None:
        self.text = text
        self.layout = layout
        self.level = level
        self._cuts: list[tuple[int, int, str]] = []

    def cut(self, start: int, end: int, text: str) -> None:
        """Put `text` in place of what is between two offsets."""
        if start != end or text:
            self._cuts.append((start, end, text))

    def result(self) -> str:
        """The text with all cuts made."""
        parts = []
        at = 0
        # Stable: insertions at one place stay in the order they were made, from inside to outside.
        for start, end, text in sorted(self._cuts, key=lambda cut: cut[:2]):
            if start < at:
                raise CannotCutError("two changes overlap")
            parts += [self.text[at:start], text]
            at = end
        return "".join([*parts, self.text[at:]])

    # ---- mappings -----------------------------------------------------------------------------------------

    def change_mapping(
        self,
        node: Node,
        old: Mapping[str, JsonValue],
        changes: Mapping[str, JsonValue | Remove],
        add_at: int | None = None,
    ) -> None:
        """Set and remove keys of a mapping.

        Args:
            node: The mapping.
            old: What it says, merged keys too.
            changes: Only what differs.
            add_at: Where new keys of a block go; None for behind its last line.
        """
        if node.flow and not self.text.startswith("{", node.content):
            raise CannotCutError("a pair in a list, without braces")
        named = named_pairs(node)
        numbers = {id(pair): number for number, pair in enumerate(node.pairs)}
        column = column_of(self.text, node.content)
        gone: list[int] = []
        added: dict[str, JsonValue] = {}
        for key, value in changes.items():
            pairs = named.get(key)
            if isinstance(value, Remove):
                if not pairs:
                    raise CannotCutError("a key that is merged in, or no plain text")
                gone += [numbers[id(pair)] for pair in pairs]
            elif pairs:
                pair = pairs[-1]
                self.change(Slot(pair.after, column, node.flow), pair.value, old.get(key), value)
            else:
                added[key] = value
        if node.flow:
            spans = [(self._pair_start(pair, flow=True), pair.value.end) for pair in node.pairs]
            texts = [f"{key_text(key, flow=True)}: {self._in_flow(value)}" for key, value in added.items()]
            self._change_flow(node, spans, set(gone), {len(spans): texts})
            return
        if len(gone) == len(node.pairs) and add_at is None:
            raise CannotCutError("nothing would be left")
        for number in gone:
            pair = node.pairs[number]
            self._remove_lines(self._pair_start(pair, flow=False), pair.value.end)
        lines = [line for key, value in added.items() for line in self._pair_lines(key, value, column)]
        self._insert_lines(line_end(self.text, node.end) if add_at is None else add_at, lines)

    def _pair_start(self, pair: Pair, flow: bool) -> int:
        before = pair.key.start
        while before > 0 and self.text[before - 1] in " \t":
            before -= 1
        if before == 0 or self.text[before - 1] != "?":
            return pair.key.start
        if flow:
            raise CannotCutError("a key with '?' in braces")
        return before - 1

    def _pair_lines(self, key: str, value: JsonValue, column: int) -> list[str]:
        if self.level is Level.ROUGH:
            return [" " * column + f"{key_text(key)}: " + inline(value, style='"')]
        return pair_lines(key, value, column, self.layout)

    def _remove_lines(self, start: int, end: int) -> None:
        top = line_start(self.text, start)
        if not (self.text[top:start].isspace() or top == start):
            raise CannotCutError("it begins on the line of something else")
        bottom = line_end(self.text, end)
        if self.level is not Level.FINE:
            # Else a block of text above would take these lines in.
            below = _BELOW.match(self.text, bottom)
            bottom = below.end() if below else bottom
        self.cut(top, bottom, "")

    def _insert_lines(self, at: int, lines: list[str]) -> None:
        self.cut(at, at, "".join(line + self.layout.eol for line in lines))

    # ---- lists --------------------------------------------------------------------------------------------

    def _change_list(self, node: Node, old: list[JsonValue], new: list[JsonValue]) -> None:
        gone: set[int] = set()
        added: dict[int, list[JsonValue]] = {}
        column = column_of(self.text, node.content)
        for old_start, old_end, new_start, new_end in _differences(old, new):
            both = min(old_end - old_start, new_end - new_start)
            for step in range(both):
                item = node.items[old_start + step]
                slot = Slot(item.dash + 1, column, node.flow, in_list=True)
                self.change(slot, item.node, old[old_start + step], new[new_start + step])
            gone.update(range(old_start + both, old_end))
            if new_start + both < new_end:
                added[old_start + both] = new[new_start + both : new_end]
        style = style_of_items(node)
        if node.flow:
            spans = [(item.node.start, item.node.end) for item in node.items]
            texts = {at: [self._in_flow(value, style) for value in values] for at, values in added.items()}
            self._change_flow(node, spans, gone, texts)
            return
        if len(gone) == len(node.items):
            raise CannotCutError("nothing would be left")
        for number in gone:
            item = node.items[number]
            self._remove_lines(item.dash, item.node.end)
        gap = rest_of_line(self.text, node.items[-1].dash + 1)
        spaces = max(1, len(gap) - len(gap.lstrip(" "))) if gap.strip() else 1
        for number, values in added.items():
            if number:
                at = line_end(self.text, node.items[number - 1].node.end)
            else:
                at = line_start(self.text, node.items[0].dash)
                if self.text[at : node.items[0].dash].strip():
                    raise CannotCutError("a list that begins on another's line")
            self._insert_lines(at, list_lines(values, column, self.layout, spaces, style))

    # ---- brackets and braces ------------------------------------------------------------------------------

    def _in_flow(self, value: JsonValue, style: str | None = None) -> str:
        return inline(value, flow=True, style='"' if self.level is Level.ROUGH else style)

    def _change_flow(
        self,
        node: Node,
        spans: list[tuple[int, int]],
        gone: set[int],
        added: Mapping[int, list[str]],
    ) -> None:
        """Take members out of a flow collection and put new ones in front of those with these numbers."""
        if len(gone) == len(spans) and spans:
            if any(added.values()):
                raise CannotCutError("nothing would be left")
            self._cut_members(spans[0][0], node.end - 1)
            return
        for first, last in _runs(gone):
            if first:
                self._cut_members(spans[first - 1][1], spans[last][1])
            else:
                self._cut_members(spans[0][0], spans[last + 1][0])
        separator = self.text[spans[-2][1] : spans[-1][0]] if len(spans) > 1 else ", "
        if not _SEPARATOR.fullmatch(separator):
            separator = ", "
        for number, texts in added.items():
            if not texts:
                continue
            if not spans:
                inside = self.text[node.content + 1 : node.end - 1]
                self.cut(node.end - 1 - len(inside) * inside.isspace(), node.end - 1, separator.join(texts))
            elif number:
                at = spans[number - 1][1]
                self.cut(at, at, "".join(separator + text for text in texts))
            else:
                self.cut(spans[0][0], spans[0][0], "".join(text + separator for text in texts))

    def _cut_members(self, start: int, end: int) -> None:
        if "#" in self.text[start:end] and "\n" in self.text[start:end]:
            raise CannotCutError("a comment between what goes")
        self.cut(start, end, "")

    # ---- values -------------------------------------------------------------------------------------------

    def change(self, slot: Slot, node: Node, old: JsonValue, new: JsonValue) -> None:
        """Turn one value into another."""
        if self.level is Level.FINE:
            made = len(self._cuts)
            try:
                if self._change_inside(node, old, new):
                    return
            except CannotCutError:
                del self._cuts[made:]
        self._replace(slot, node, new)

    def _change_inside(self, node: Node, old: JsonValue, new: JsonValue) -> bool:
        """Change only what differs below; False where the two have nothing in common."""
        if node.tag is not None:
            return False
        if node.kind == "map" and isinstance(old, dict) and isinstance(new, dict):
            changes: dict[str, JsonValue | Remove] = {key: REMOVE for key in old if key not in new}
            for key, value in new.items():
                if key not in old or not same_json(old[key], value):
                    changes[key] = value
            self.change_mapping(node, old, changes)
            return True
        if node.kind == "seq" and isinstance(old, list) and isinstance(new, list):
            if len(node.items) != len(old):
                return False
            self._change_list(node, old, new)
            return True
        return False

    def _replace(self, slot: Slot, node: Node, new: JsonValue) -> None:
        """Write a value anew where it stands: its head in place of the old head, its lines below."""
        head, lines = render(self.text, self.layout, self.level, slot, node, new)
        if slot.after < 0:
            if lines:
                raise CannotCutError("a key without a colon")
            colon = ": " if slot.flow else f"{self.layout.eol}{' ' * slot.column}: "
            self.cut(node.start, node.end, colon + head)
            return
        start, end, top, bottom = self._place(slot, node)
        hollow = start == end or node.content == node.end
        if node.tag is not None and _TAGS.get(node.tag) is not type(new):
            start = node.start
            head = " ".join(part for part in (f"&{node.anchor}" if node.anchor else "", head) if part)
        elif hollow and head:
            head = " " + head
        if not head and not hollow:
            start, end = self._place_of_nothing(slot, node, start, end)
        self.cut(start, end, head)
        self.cut(top, bottom, "".join(line + self.layout.eol for line in lines))

    def _place(self, slot: Slot, node: Node) -> tuple[int, int, int, int]:
        """Where a value's head stands, and its lines below."""
        text = self.text
        if node.is_block() and line_start(text, node.content) > slot.after:
            at = node.properties_end if node.start < node.properties_end else slot.after
            return at, at, line_start(text, node.content), line_end(text, node.end)
        if node.style in ("|", ">"):
            header = HEADER.match(text, node.content)
            if header is None:
                raise CannotCutError("a block scalar without its header")
            top = line_end(text, header.end())
            return node.content, header.end(), top, max(top, node.end)
        start, end = node.content, node.end
        if node.start == node.end:
            rest = "" if slot.flow else rest_of_line(text, slot.after)
            start, end = slot.after, slot.after + (len(rest) if rest.isspace() else 0)
        # In brackets nothing goes below, and lines may be long.
        below = end if slot.flow else line_end(text, end)
        return start, end, below, below

    def _place_of_nothing(self, slot: Slot, node: Node, start: int, end: int) -> tuple[int, int]:
        """What to take away where a head goes and only lines below come: the space before it, too."""
        if node.anchor is not None:
            return node.properties_end, end
        top = line_start(self.text, start)
        if top <= slot.after:
            return slot.after, end
        # The old value stood alone on a line below its key.
        if self.text[top:start].strip() or rest_of_line(self.text, end).strip():
            raise CannotCutError("a comment that would be left alone")
        return top, max(end, line_end(self.text, end))


def _runs(numbers: set[int]) -> Iterator[tuple[int, int]]:
    """Runs of numbers that follow each other: the first and the last of each."""
    for first in sorted(numbers):
        if first - 1 not in numbers:
            last = first
            while last + 1 in numbers:
                last += 1
            yield first, last


def _differences(old: list[JsonValue], new: list[JsonValue]) -> Iterator[tuple[int, int, int, int]]:
    """Where two lists differ: `old[a:b]` became `new[c:d]`."""
    left = [json.dumps(item, sort_keys=True) for item in old]
    right = [json.dumps(item, sort_keys=True) for item in new]
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    ends = 0
    while ends < min(len(left), len(right)) - start and left[-1 - ends] == right[-1 - ends]:
        ends += 1
    left, right = left[start : len(left) - ends], right[start : len(right) - ends]
    if len(left) * len(right) > _MAX_COMPARED:
        yield start, start + len(left), start, start + len(right)
        return
    for kind, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind != "equal":
            yield start + a, start + b, start + c, start + d
