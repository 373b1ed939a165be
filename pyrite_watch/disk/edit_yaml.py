"""Changes of a front matter's fields as text.

Pure: text in, text out. What was written is proved by the caller, who parses it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyrite_watch.disk.edit_cuts import Cutter, Remove, named_pairs
from pyrite_watch.disk.edit_style import Level, is_date
from pyrite_watch.disk.yaml_nodes import CannotCutError, Node, column_of, compose
from pyrite_watch.disk.yaml_text import (
    JsonValue,
    Layout,
    check_value,
    date_text,
    inline,
    pair_lines,
    same_json,
)


def new_front(fields: Mapping[str, JsonValue], layout: Layout) -> str:
    """Write fields as the lines of a front matter."""
    lines = [line for key, value in fields.items() for line in pair_lines(key, value, 0, layout)]
    return "".join(line + layout.eol for line in lines)


def changed_fields(
    front: str, old: Mapping[str, JsonValue], fields: Mapping[str, JsonValue | Remove]
) -> dict[str, JsonValue | Remove]:
    """Leave out what is so already: an equal value, or a date written in another way."""
    changed: dict[str, JsonValue | Remove] = {}
    for key, value in fields.items():
        if isinstance(value, Remove):
            if key in old:
                changed[key] = value
            continue
        check_value(value)
        if key not in old or not same_json(old[key], value):
            changed[key] = value
    for key, value in list(changed.items()):
        if isinstance(value, str) and key in old and date_text(value) == old[key]:
            root = compose(front).root
            pairs = named_pairs(root).get(key) if root is not None else None
            if pairs and is_date(pairs[-1].value):
                del changed[key]
    return changed


def edit_front(
    front: str,
    old: Mapping[str, JsonValue],
    fields: Mapping[str, JsonValue | Remove],
    eol: str,
    level: Level = Level.FINE,
) -> tuple[str, dict[str, JsonValue]]:
    """Set or remove fields; return the text and what it should read back as.

    Args:
        front: The lines between the `---`, such that `parse_yaml` can read them.
        old: What they say.
        fields: Only what differs from `old`, checked.
        eol: The line end for lines that are new.
        level: How much of each value is written anew.

    Raises:
        CannotCutError: Where this level has no cut for it.
    """
    document = compose(front)
    root = document.root
    cutter = Cutter(front, _layout_of(front, root, eol), level)
    expected = dict(old)
    named = named_pairs(root) if root is not None else {}
    added: dict[str, JsonValue] = {}
    for key, value in fields.items():
        if isinstance(value, Remove):
            del expected[key]
            continue
        expected[key] = value
        if key not in named:
            added[key] = value
        elif isinstance(value, str) and is_date(named[key][-1].value):
            # A date stays a date, and those read back in ISO 8601.
            expected[key] = date_text(value) or value
    if root is not None and root.kind == "map":
        cutter.change_mapping(root, old, fields, document.end)
        if not expected and not root.flow and (root.content > root.start or document.end < len(front)):
            # A tag, or a `...`, with nothing before it is no YAML.
            cutter.cut(document.end, document.end, "{}" + eol)
    elif root is None or root.start == root.end:
        cutter.cut(document.end, document.end, new_front(added, cutter.layout))
    else:  # `null` or `~`
        cutter.cut(root.start, root.end, inline(added))
    return cutter.result(), expected


def shared_anchor(front: str, key: str) -> str | None:
    """Name an anchor in a field's value that another field uses."""
    try:
        root = compose(front).root
    except CannotCutError:
        return None
    if root is None:
        return None
    own = [node for pair in named_pairs(root).get(key, []) for node in pair.value.walk()]
    inside = {id(node) for node in own}
    used = {node.value for node in root.walk() if node.kind == "alias" and id(node) not in inside}
    return next((node.anchor for node in own if node.anchor in used), None)


def _layout_of(text: str, root: Node | None, eol: str) -> Layout:
    """How the file indents, by its first list and its first mapping under a key."""
    offset: int | None = None
    step: int | None = None
    if root is not None and root.kind == "map" and not root.flow:
        column = column_of(text, root.content)
        for pair in root.pairs:
            if not pair.value.is_block():
                continue
            by = column_of(text, pair.value.content) - column
            if pair.value.kind == "seq" and offset is None:
                offset = by
            elif pair.value.kind == "map" and step is None:
                step = by
    fallback = Layout()
    return Layout(
        eol,
        fallback.seq_offset if offset is None else offset,
        step or fallback.map_step,
    )
