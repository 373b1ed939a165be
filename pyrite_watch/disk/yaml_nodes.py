"""Where each value of a front matter stands: PyYAML's events as a tree of nodes with exact ends.

Pure: text in, nodes out. The text must be one that `parse_yaml` could read, which bounds its depth. It uses
events and not `yaml.compose`, because a composed alias is the node it names and so stands in another place.
Both parsers count characters (not bytes) in a mark's `index`; two things they do not tell are mended here:

- a block collection ends where the next token begins, so that comments and blank lines below belong to it;
- libyaml puts an empty value (`a: , b`) at the next token, PyYAML after the colon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from pyrite_watch.disk.json_values import scalar_text
from pyrite_watch.disk.safe_yaml import GuardedLoader, PureGuardedLoader, YamlFault, parse_yaml
from pyrite_watch.disk.yaml_text import STR_TAG, plain_tag

_MERGE_TAG = "tag:yaml.org,2002:merge"
_VALUE_TAG = "tag:yaml.org,2002:value"

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_BREAKS = "\n\r\x85\u2028\u2029"
_SKIP = "(?:[ \t\n\r\x85\u2028\u2029\ufeff]|#[^\n\r\x85\u2028\u2029]*)*+"
_SKIPPED = re.compile(_SKIP)
_COLON = re.compile(_SKIP + ":")
_DASH = re.compile(_SKIP + "-")
_PROPERTY = re.compile(r"!<[^>\s]*>|[&!][^\s,\[\]{}]*")


class CannotCutError(Exception):
    """The text is written in a way that cannot be cut, or not so finely."""


@dataclass(slots=True)
class Node:
    """A value or key. `text[start:end]` is all of it; `content` is where it begins after anchor and tag.

    `end` leaves out what is below: comments, blank lines (but those that `|+` keeps). A node of no
    characters has `start == end`.
    """

    kind: Literal["scalar", "seq", "map", "alias"]
    start: int
    properties_end: int
    content: int
    end: int
    anchor: str | None = None
    tag: str | None = None
    style: str | None = None
    """Of a scalar: one of `'"|>`, None for plain."""
    value: str = ""
    flow: bool = False
    items: list[Item] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    def is_block(self) -> bool:
        """Whether it is a collection without brackets; it then has at least one item or pair."""
        return self.kind in ("seq", "map") and not self.flow

    def walk(self) -> Iterator[Node]:
        """This node and all below."""
        yield self
        for item in self.items:
            yield from item.node.walk()
        for pair in self.pairs:
            yield from pair.key.walk()
            yield from pair.value.walk()


@dataclass(slots=True)
class Item:
    """An item of a list; `dash` is where its dash is, or -1 in a flow list."""

    dash: int
    node: Node


@dataclass(slots=True)
class Pair:
    """A key and its value; `after` is where its colon ends, or -1 where it has none."""

    key: Node
    value: Node
    after: int


@dataclass(slots=True)
class Document:
    """The front matter's only document. `end` is where `...` begins, or the end of the text."""

    root: Node | None
    end: int


def line_start(text: str, index: int) -> int:
    """Where the line that holds `index` begins."""
    start = text.rfind("\n", 0, index) + 1
    for char in _BREAKS[1:]:
        start = max(start, text.rfind(char, start, index) + 1)
    return start


def line_end(text: str, index: int) -> int:
    """Where the line after begins, for what ends at `index`; that itself where its line end is part of it."""
    if index > 0 and text[index - 1] in _BREAKS:
        return index
    found = _BREAK.search(text, index)
    return found.end() if found else len(text)


def rest_of_line(text: str, index: int) -> str:
    """What follows `index` on its line."""
    found = _BREAK.search(text, index)
    return text[index : found.start() if found else len(text)]


def column_of(text: str, index: int) -> int:
    """How far `index` is from the beginning of its line."""
    return index - line_start(text, index)


def compose(text: str) -> Document:
    """Build the tree of a text that `parse_yaml` can read.

    Raises:
        CannotCutError: Where it turns out that it cannot be read after all.
    """
    # libyaml does not count a byte order mark at the start; PyYAML's own parser does.
    loader = PureGuardedLoader if text.startswith("\ufeff") else GuardedLoader
    events: Iterator[Any] = iter(yaml.parse(text, Loader=loader))
    root: Node | None = None
    end = len(text)
    try:
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                root = _node(text, event, events)
            elif isinstance(event, yaml.DocumentEndEvent) and event.explicit:
                mark: Any = event.start_mark
                end = mark.index
    except yaml.YAMLError as error:
        raise CannotCutError("not readable") from error
    return Document(root, end)


def _node(text: str, event: Any, events: Iterator[Any]) -> Node:
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.AliasEvent):
        return Node("alias", start, start, start, end, value=str(event.anchor))
    properties_end, content = _after_properties(text, event)
    if isinstance(event, yaml.ScalarEvent):
        style = event.style or None
        if style in ("|", ">"):
            end = _end_of_block(text, content, end)
        elif content > end or properties_end == end:
            content = end
        return Node(
            "scalar", start, properties_end, content, end, event.anchor, event.tag, style, event.value
        )
    node = Node("map", start, properties_end, content, end, event.anchor, event.tag)
    node.flow = bool(event.flow_style)
    if isinstance(event, yaml.SequenceStartEvent):
        node.kind = "seq"
        closing = _fill_list(text, node, events)
    else:
        closing = _fill_mapping(text, node, events)
    if node.flow:
        node.end = closing.end_mark.index
    return node


def _fill_list(text: str, node: Node, events: Iterator[Any]) -> Any:
    at = node.content
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            return event
        dash = -1
        if not node.flow:
            found = _DASH.match(text, at)
            if found is None:
                raise CannotCutError("an item without a dash")
            dash = found.end() - 1
        child = _node(text, event, events)
        if child.kind == "scalar" and child.start == child.end and not node.flow:
            child.start = child.properties_end = child.content = child.end = dash + 1
        node.items.append(Item(dash, child))
        at = node.end = child.end
    raise CannotCutError("a list without an end")


def _fill_mapping(text: str, node: Node, events: Iterator[Any]) -> Any:
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            return event
        key = _node(text, event, events)
        value = _node(text, next(events), events)
        colon = _COLON.match(text, key.end)
        after = colon.end() if colon else -1
        if value.kind == "scalar" and value.start == value.end:
            value.start = value.properties_end = value.content = value.end = max(after, key.end)
        node.pairs.append(Pair(key, value, after))
        node.end = value.end
    raise CannotCutError("a mapping without an end")


def _after_properties(text: str, event: Any) -> tuple[int, int]:
    """Where anchor and tag end, and where what they belong to begins."""
    at = end = event.start_mark.index
    for _ in range((event.anchor is not None) + (event.tag is not None)):
        found = _PROPERTY.match(text, at)
        if found is None:
            # A tag that the parser made up: `! x` and the like.
            break
        end = found.end()
        at = _skip(text, end)
    return end, at


def _skip(text: str, index: int) -> int:
    found = _SKIPPED.match(text, index)
    return found.end() if found else index


def _end_of_block(text: str, content: int, end: int) -> int:
    """Leave out the blank lines below a block scalar, unless they are part of its value."""
    header = rest_of_line(text, content)
    if "+" in header.split("#")[0]:
        return end
    shown = content + len(text[content:end].rstrip(" \t" + _BREAKS))
    return line_end(text, max(shown, content + 1))


def key_name(key: Node) -> str | None:
    """The key that JSON has for it; None for a merge key and for what is no simple scalar."""
    if key.kind != "scalar":
        return None
    if key.tag is None:
        if key.style is not None:
            return key.value
        tag = plain_tag(key.value)
        if tag in (STR_TAG, _VALUE_TAG):
            return key.value
        if tag == _MERGE_TAG:
            return None
        value = parse_yaml(key.value)
        if isinstance(value, (YamlFault, dict, list)):
            return None
        return value if isinstance(value, str) else scalar_text(value)
    return key.value if key.tag == STR_TAG else None
