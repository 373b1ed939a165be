"""Generated sources in every style: an edit changes what it was asked to, and no other character."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from pyrite_watch.disk.edit import REMOVE, EditError, JsonValue, SourceEdit, edit_source, new_source
from pyrite_watch.disk.parse import parse_entry
from pyrite_watch.disk.yaml_text import date_text

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
EXAMPLES = 10_000 if LONG else 200
TIMEOUT_S = 3_600 if LONG else 60

pytestmark = pytest.mark.timeout(TIMEOUT_S)
runs = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

# ---- sources ----------------------------------------------------------------------------------------------

words = st.sampled_from(
    ["a", "word", "two words", "naïve café", "x-y", "日本", "😀 face", "C:\\temp", "it's"]
)
comments = st.sampled_from(["", "", "", " # a comment", "  # 'quoted' - [x]", "   ", " #"])
lines_between = st.lists(st.sampled_from(["# a comment", "", "  # indented", "#- a: b", "    "]), max_size=2)
plain_scalars = st.sampled_from(
    [
        "word",
        "two words",
        "3",
        "-1.5",
        "0x1F",
        "1_000",
        "true",
        "no",
        "Off",
        "~",
        "null",
        "2026-01-02",
        "2026-01-02 10:00:00",
        "2026-01-02T10:00:00Z",
        "12:30",
        "naïve",
        "a#b",
        "a:b",
        ".inf",
        "😀",
        "1e3",
        "007",
    ]
)


def _single(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _double(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


scalars = st.one_of(plain_scalars, words.map(_single), words.map(_double), st.just('"a\\tb\\n\\u263a"'))


def _flow(items: list[str], padding: str, comma: str, trailing: bool) -> str:
    return f"[{padding}{comma.join(items)}{',' if trailing and items else ''}{padding}]"


def _flow_map(pairs: dict[str, str], padding: str, comma: str) -> str:
    return "{" + padding + comma.join(f"{key}: {value}" for key, value in pairs.items()) + padding + "}"


separators = st.sampled_from([", ", ",", " , ", ",\n    "])
flow_lists = st.builds(
    _flow, st.lists(scalars, max_size=4), st.sampled_from(["", " "]), separators, st.booleans()
)
flow_maps = st.builds(
    _flow_map,
    st.dictionaries(st.sampled_from(["p", "'q'", '"r"', "s t"]), st.one_of(scalars, flow_lists), max_size=3),
    st.sampled_from(["", " "]),
    separators,
)
inline_values = st.one_of(scalars, scalars, flow_lists, flow_maps)


@st.composite
def block_scalars(draw: st.DrawFn, column: int) -> list[str]:
    mark = draw(st.sampled_from("|>"))
    chomping = draw(st.sampled_from(["", "-", "+"]))
    step = draw(st.integers(1, 4))
    explicit = draw(st.booleans())
    content = draw(
        st.lists(st.sampled_from(["text", "", "# no comment", "- x", "  more", "a: b"]), max_size=4)
    )
    if not explicit and content and content[0].startswith(" "):
        explicit = True
    header = mark + (str(step) if explicit else "") + chomping + draw(st.sampled_from(["", " # c"]))
    return [header, *(" " * (column + step) + line if line else "" for line in ["first", *content])]


@st.composite
def block_lists(draw: st.DrawFn, column: int, depth: int) -> list[str]:
    gap = " " * draw(st.sampled_from([1, 1, 3]))
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        dash = " " * column + "-"
        kind = draw(st.integers(0, 9))
        if kind == 0:
            lines.append(dash + draw(comments))
        elif kind == 1 and depth:
            inner = draw(block_maps(column + 1 + len(gap), depth - 1))
            lines += [dash + gap + inner[0].lstrip(" "), *inner[1:]]
        elif kind == 2 and depth:
            inner = draw(block_lists(column + 1 + len(gap), depth - 1))
            lines += [dash + gap + inner[0].lstrip(" "), *inner[1:]]
        elif kind == 3:
            block = draw(block_scalars(column))
            lines += [dash + gap + block[0], *block[1:]]
        else:
            lines += (dash + gap + draw(inline_values) + draw(comments)).split("\n")
        if draw(st.integers(0, 4)) == 0:
            lines += [" " * column + "# between"]
    return lines


@st.composite
def block_maps(draw: st.DrawFn, column: int, depth: int) -> list[str]:
    lines: list[str] = []
    for key in draw(
        st.lists(st.sampled_from(["p", "'q'", '"r"', "s t", "1"]), min_size=1, max_size=3, unique=True)
    ):
        lines += draw(pairs(key, column, depth))
        if draw(st.integers(0, 4)) == 0:
            lines += [" " * column + "# between"]
    return lines


@st.composite
def pairs(draw: st.DrawFn, key: str, column: int, depth: int) -> list[str]:
    """The lines of `key: value`."""
    head = " " * column + key + ":"
    kind = draw(st.integers(0, 11))
    if kind == 0:
        return [head + draw(comments)]
    if kind == 1:
        block = draw(block_scalars(column))
        return [f"{head} {block[0]}", *block[1:]]
    if kind in (2, 3) and depth:
        offset = draw(st.sampled_from([0, 2, 4]))
        return [head + draw(comments), *draw(block_lists(column + offset, depth - 1))]
    if kind in (4, 5) and depth:
        return [
            head + draw(comments),
            *draw(block_maps(column + draw(st.sampled_from([1, 2, 4])), depth - 1)),
        ]
    if kind == 6:
        return [
            head + draw(comments),
            " " * (column + 2) + draw(inline_values).replace("\n", "") + draw(comments),
        ]
    if kind == 7:
        quote = draw(st.sampled_from(["", "'", '"']))
        return [
            f"{head} {quote}several",
            " " * (column + 3) + "lines",
            "",
            " " * (column + 1) + f"of text{quote}",
        ]
    if kind == 8:
        return [f"{head} !!str {draw(plain_scalars)}{draw(comments)}"]
    if kind == 9:
        return [f"{head}\t{draw(scalars)}\t# after a tab"]
    return (f"{head} {draw(inline_values)}{draw(comments)}").split("\n")


@dataclass(frozen=True)
class Generated:
    """A source as chunks: those of a field with its key, the others with None; the body is the last."""

    chunks: tuple[tuple[str | None, str], ...]
    bom: bool

    @property
    def data(self) -> bytes:
        return (b"\xef\xbb\xbf" if self.bom else b"") + "".join(text for _, text in self.chunks).encode()

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.chunks if key is not None]


BLOCK_HEADER = re.compile(r"[|>][-+0-9]*(?: # c)?$")
BELOW = re.compile(r"\A(?:[ \t]*\r?\n|[ \t]+#[^\n]*\n)+")
KEYS = ["id", "title", "tags", "date", "k 1", "é", "on-off", "42"]


@st.composite
def sources(draw: st.DrawFn) -> Generated:
    eol = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    column = draw(st.sampled_from([0, 0, 0, 2]))
    chunks: list[tuple[str | None, list[str]]] = [(None, ["---"])]
    anchors: list[str] = []
    for key in draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=6)):
        between = draw(lines_between)
        if any(BLOCK_HEADER.search(line) for line in chunks[-1][1]):
            # Blank lines and indented comments below a block scalar are part of it.
            chunks[-1][1].extend(between)
        else:
            chunks.append((None, between))
        written = draw(st.sampled_from([key, key, _single(key), _double(key)]))
        kind = draw(st.integers(0, 12))
        if kind == 0:
            anchors.append(f"n{len(anchors)}")
            lines = [f"{' ' * column}{written}: &{anchors[-1]} {draw(inline_values)}".replace("\n", "")]
        elif kind == 1 and anchors:
            lines = [f"{' ' * column}{written}: *{draw(st.sampled_from(anchors))}{draw(comments)}"]
        elif kind == 2:
            lines = [f"{' ' * column}? {written}", f"{' ' * column}: {draw(inline_values)}".replace("\n", "")]
        else:
            lines = draw(pairs(written, column, 2))
        chunks.append((key, lines))
    chunks.append((chunks[-1][0], draw(lines_between)))
    if draw(st.integers(0, 9)) == 0:
        chunks.append((None, ["...", "# the end"]))
    chunks.append((None, ["---" + draw(st.sampled_from(["", " ", "--"]))]))
    texts = [(key, "".join(line + eol for line in lines)) for key, lines in chunks]
    body = draw(
        st.sampled_from(["", "body", "\n# Head\n\ntext\n", "\n\n    code\nend  \n\n", "---\nx: 1\n---\n"])
    )
    texts.append((None, body.replace("\n", eol)))
    return Generated(tuple(texts), draw(st.integers(0, 4)) == 0)


# ---- edits ------------------------------------------------------------------------------------------------

awkward = st.sampled_from(
    [
        "",
        " ",
        "null",
        "~",
        "yes",
        "5",
        "1.5",
        "2026-01-02",
        "2026-13-45",
        "- a",
        "a: b",
        "a #b",
        "#",
        "---",
        "...",
        "'",
        '"',
        "\\",
        "a\nb",
        "a\nb\n",
        "\na",
        "a\n\n\n",
        "  a\nb",
        "a\n b\n",
        "\t",
        "a\tb\n",
        "\r",
        "a\r\nb",
        "\x85",
        "\u2028",
        "\ufeff",
        "\0",
        "\x7f",
        "\xa0",
        "[a",
        "{",
        "*x",
        "&x",
        "!x",
        "%",
        "@",
        "`",
        "<<",
        "=",
        "?",
        "? a",
        "-",
        ":",
        "a:",
        "::",
        "12:30",
        "0x1f",
        "1_0",
        "a, b",
        "]",
        "long " * 60,
        "a\n---\nb",
        "😀",
        "| a",
        ">",
        "2026-01-02T10:00:00Z",
        "2026-03-04 10:00:00",
        "a\n  \nb",
        "trailing \nx",
        "a\n# b\n",
    ]
)
texts = st.one_of(awkward, words, st.text(max_size=12))
leaves: st.SearchStrategy[Any] = st.one_of(
    texts, texts, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)
)
json_values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(texts, st.sampled_from(["p", "q", "r", "1"])), inner, max_size=3),
    ),
    max_leaves=6,
)


@st.composite
def nearby(draw: st.DrawFn, old: Any) -> Any:
    """A value that differs from an old one a little, as those of a person do."""
    a_little = draw(st.booleans())
    if isinstance(old, list) and a_little:
        items = [draw(nearby(item)) if draw(st.integers(0, 3)) == 0 else item for item in old]
        if draw(st.booleans()) and items:
            del items[draw(st.integers(0, len(items) - 1))]
        if draw(st.booleans()):
            items.insert(draw(st.integers(0, len(items))), draw(json_values))
        return items
    if isinstance(old, dict) and a_little:
        values = {key: draw(nearby(item)) if draw(st.booleans()) else item for key, item in old.items()}
        if draw(st.booleans()) and values:
            del values[draw(st.sampled_from(sorted(values)))]
        if draw(st.booleans()):
            values[draw(texts)] = draw(json_values)
        return values
    return draw(json_values)


def read(data: bytes) -> tuple[dict[str, Any], str]:
    content = parse_entry(data, "a.md").content
    assert content is not None
    return dict(content.metadata), content.body


def assert_only_changed(
    source: Generated, result: bytes, keys: set[str], removed: set[str], body: bool
) -> None:
    """Everything but the chunks of these keys is still there, in its order, from the start to the end.

    New fields may come before the closing line, or before `...`. Blank lines and indented comments below a
    field may go with it, where a block of text above would else take them in.
    """
    rest = result.decode()
    if source.bom:
        assert rest.startswith("\ufeff")
        rest = rest[1:]
    kept = [""]
    after_removed = False
    for number, (key, written) in enumerate(source.chunks):
        text = BELOW.sub("", written) if after_removed else written
        after_removed = key in removed or (after_removed and not text)
        is_body = number == len(source.chunks) - 1
        if key in keys or (is_body and body):
            kept.append("")
        elif text.startswith(("---", "...")) and number and not is_body:
            kept.append(text)
        else:
            kept[-1] += text
    assert rest.startswith(kept[0])
    assert rest.endswith(kept[-1])
    at = 0
    for text in kept:
        assert text in rest[at:]
        at = rest.index(text, at) + len(text)


@runs
@given(sources(), st.data())
def test_an_edit_changes_what_was_asked_and_nothing_else(source: Generated, data: st.DataObject) -> None:
    """Set, add and remove fields, change the body: it reads back, and all other bytes are still there."""
    parsed = parse_entry(source.data, "a.md").content
    assume(parsed is not None)
    assert parsed is not None
    old, old_body = dict(parsed.metadata), parsed.body
    fields: dict[str, Any] = {}
    for key in data.draw(st.lists(st.sampled_from([*source.keys, *source.keys, *KEYS, "new"]), max_size=3)):
        if data.draw(st.integers(0, 5)) == 0:
            fields[key] = REMOVE
        else:
            fields[key] = data.draw(nearby(old.get(key)))
    body = data.draw(st.none() | texts | st.text(max_size=30)) if data.draw(st.booleans()) else None

    reason = ""
    try:
        result = edit_source(source.data, SourceEdit(fields, body), "a.md")
    except EditError as error:
        event("refused")
        reason = error.message
        result = b""
    if not result:
        assert "is used by another field" in reason or "NUL" in reason
        return

    new, new_body = read(result)
    for key in {*old, *fields}:
        if key not in fields:
            assert repr(new[key]) == repr(old[key])
        elif fields[key] is REMOVE:
            assert key not in new
        else:
            assert new[key] == fields[key] or new[key] == date_text(fields[key])
    assert new.keys() <= {*old, *fields}
    if body is None:
        assert new_body == old_body
    else:
        assert new_body == body.replace("\r\r\n", "\n").replace("\r\n", "\n").strip()
    changed = {key for key in fields if old.get(key, REMOVE) != fields[key] or old.get(key) in (0, 1)}
    removed = {key for key in changed if fields[key] is REMOVE}
    assert_only_changed(source, result, changed, removed, body is not None)
    assert edit_source(result, SourceEdit(fields, body), "a.md") == result


@runs
@given(sources())
def test_an_edit_to_what_is_so_returns_the_same_bytes(source: Generated) -> None:
    """Each field set to its own value and the body to itself: not a byte moves."""
    parsed = parse_entry(source.data, "a.md").content
    assume(parsed is not None)
    assert parsed is not None
    data = source.data
    assert edit_source(data, SourceEdit(dict(parsed.metadata), parsed.body), "a.md") == data


@runs
@given(st.dictionaries(texts, json_values, max_size=5), texts | st.text())
def test_a_new_source_reads_back(fields: dict[str, JsonValue], body: str) -> None:
    """Whatever JSON is given for a new entry, the file says that."""
    if "\0" in body:
        with pytest.raises(EditError, match="NUL"):
            new_source(fields, body)
        return
    data = new_source(fields, body)
    metadata, text = read(data)
    assert metadata == fields
    assert text == body.replace("\r\r\n", "\n").replace("\r\n", "\n").strip()


@runs
@given(st.text() | texts, st.text(max_size=200) | texts, st.dictionaries(texts, json_values, max_size=2))
def test_a_text_without_front_matter_keeps_its_bytes(
    text: str, body: str, fields: dict[str, JsonValue]
) -> None:
    """Front matter is made in front of it, and a new body is read as a body, whatever it looks like."""
    data = text.encode()
    parsed = parse_entry(data, "a.md").content
    assume(parsed is not None)
    assert parsed is not None
    assume(parsed.form != "front")
    framed = edit_source(data, SourceEdit(fields), "a.md")
    assert read(framed) == (fields, parsed.body)
    assert framed.endswith(data.removeprefix(b"\xef\xbb\xbf"))
    if "\0" in body or not (body.strip() or not parsed.body):
        with pytest.raises(EditError, match=r"NUL|empty"):
            edit_source(data, SourceEdit({}, body), "a.md")
        return
    result = edit_source(data, SourceEdit({}, body), "a.md")
    assert read(result)[1] == body.replace("\r\r\n", "\n").replace("\r\n", "\n").strip()


yaml_pieces = st.lists(
    st.sampled_from(
        [
            "a",
            "b",
            "c",
            ": ",
            ":",
            "- ",
            "-",
            "? ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "'",
            '"',
            "|",
            ">",
            "&x ",
            "*x",
            "<<",
            "!!str ",
            "!",
            " #",
            "#",
            "\n",
            "\n",
            "\n  ",
            "\n    ",
            " ",
            "\t",
            "\r\n",
            "\r",
            "...",
            "--- ",
            "\u2028",
            "\ufeff",
            "a: ",
            "b:\n",
            "\na: 1\n",
            "+",
            "2",
            "%",
        ]
    ),
    max_size=24,
).map("".join)


@runs
@given(
    yaml_pieces, st.dictionaries(st.sampled_from("abc"), leaves | json_values | st.just(REMOVE), max_size=2)
)
def test_no_text_makes_an_edit_go_wrong(front: str, fields: dict[str, Any]) -> None:
    """Whatever is between the `---`: the edit is right, or it is refused."""
    data = f"---\n{front}\n---\nbody\n".encode()
    parsed = parse_entry(data, "a.md").content
    assume(parsed is not None)
    assert parsed is not None
    try:
        result = edit_source(data, SourceEdit(fields), "a.md")
    except EditError:
        event("refused")
        return
    metadata, body = read(result)
    asked = {**parsed.metadata, **fields}
    for key, value in asked.items():
        if value is REMOVE:
            assert key not in metadata
        else:
            assert metadata[key] == value or metadata[key] == date_text(str(value))
    assert metadata.keys() <= asked.keys()
    assert body == parsed.body
