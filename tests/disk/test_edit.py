"""Edits of a source, case by case: what changes, what stays, what is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pyrite_watch.disk import edit_yaml
from pyrite_watch.disk.edit import (
    REMOVE,
    EditError,
    JsonValue,
    Remove,
    SourceEdit,
    coerce_like,
    edit_source,
    new_source,
)
from pyrite_watch.disk.parse import parse_entry

Fields = dict[str, JsonValue | Remove]


def front(lines: str) -> str:
    return f"---\n{lines}---\n\nbody\n"


def edited(source: str, fields: Fields | None = None, body: str | None = None) -> str:
    return edit_source(source.encode(), SourceEdit(fields or {}, body), "a.md").decode()


def metadata_of(source: str) -> dict[str, Any]:
    content = parse_entry(source.encode(), "a.md").content
    assert content is not None
    return dict(content.metadata)


def check(before: str, fields: Fields, after: str) -> None:
    """Edit a front matter; it must become this, and read back."""
    result = edited(front(before), fields)
    assert result == front(after)
    read = metadata_of(result)
    for key, value in fields.items():
        if value is REMOVE:
            assert key not in read
        else:
            assert read[key] == value


# ---- scalars ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("a: one # c\n", "two", "a: two # c\n"),
        ("a:   one   \n", "two", "a:   two   \n"),
        ("a:\tone\t# c\n", "two", "a:\ttwo\t# c\n"),
        ("a: 'one' # c\n", "it's", "a: 'it''s' # c\n"),
        ('a: "one" # c\n', 'say "x"\n', 'a: "say \\"x\\"\\n" # c\n'),
        ("a: 'one'\n", "x\ny", 'a: "x\\ny"\n'),
        ("a: one\n", "b: c", "a: 'b: c'\n"),
        ("a: one\n", "it's: so", 'a: "it\'s: so"\n'),
        ("a: one\n", "", "a: ''\n"),
        ("a: one\n", " x", "a: ' x'\n"),
        ("a: one\n", "5", "a: '5'\n"),
        ("a: one\n", "yes", "a: 'yes'\n"),
        ("a: one\n", "null", "a: 'null'\n"),
        ("a: one\n", "2026-01-02", "a: '2026-01-02'\n"),
        ("a: one\n", "1e3", "a: '1e3'\n"),
        ("a: one\n", "12:30", "a: '12:30'\n"),
        ("a: one\n", "-x", "a: -x\n"),
        ("a: one\n", "naïve 日本 😀", "a: naïve 日本 😀\n"),
        ("a: one\n", "\u2028\x00\ufeff", 'a: "\\u2028\\0\\ufeff"\n'),
        ("a: 'one'\n", 5, "a: 5\n"),
        ("a: 3\n", 5, "a: 5\n"),
        ("a: 0x1F\n", 32, "a: 32\n"),
        ("a: 1.5\n", 1e20, "a: 1.0e+20\n"),
        ("a: 1\n", 1.0, "a: 1.0\n"),
        ("a: true # c\n", False, "a: false # c\n"),
        ("a: Yes\n", False, "a: No\n"),
        ("a: off\n", True, "a: on\n"),
        ("a: one # c\n", None, "a: null # c\n"),
        ("a: 1\n", True, "a: true\n"),
        ("a:\n  one # c\n", "two", "a:\n  two # c\n"),
        ("a: one\n  more\n\n  lines # c\n", "two", "a: two # c\n"),
        ("a: 'one\n  more'\n", "two", "a: 'two'\n"),
        ('a: "one \\\n  more"\n', "two", 'a: "two"\n'),
        ("'a': one\n", "two", "'a': two\n"),
        ('"a" : one\n', "two", '"a" : two\n'),
        ("? a\n: one # c\n", "two", "? a\n: two # c\n"),
        ("? a\n", "two", "? a\n: two\n"),
        ("  a: one\n  b: 1\n", "two", "  a: two\n  b: 1\n"),
    ],
)
def test_a_scalar_takes_the_place_of_a_scalar(before: str, value: JsonValue, after: str) -> None:
    """Quotes, comments, tabs and trailing spaces stay; what plain YAML would misread is quoted."""
    check(before, {"a": value}, after)


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("a:\n", 1, "a: 1\n"),
        ("a: \n", 1, "a: 1\n"),
        ("a: # c\n", 1, "a: 1 # c\n"),
        ("a:   # c\n", "x", "a: x   # c\n"),
        ("a: &x\n", 1, "a: &x 1\n"),
        ("a: # c\n", ["x"], "a: # c\n  - x\n"),
        ("a:\n# c\n", {"k": 1}, "a:\n  k: 1\n# c\n"),
        ("a:\n", "x\ny\n", "a: |\n  x\n  y\n"),
        ("a: ~ # c\n", [1], "a: # c\n  - 1\n"),
    ],
)
def test_an_empty_value_is_filled(before: str, value: JsonValue, after: str) -> None:
    """Behind the colon, in front of the comment."""
    check(before, {"a": value}, after)


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("d: 2026-01-02 # c\n", "2027-03-04", "d: 2027-03-04 # c\n"),
        ("d: '2026-01-02'\n", "2027-03-04", "d: '2027-03-04'\n"),
        ("d: 2026-01-02\n", "2026-13-45", "d: '2026-13-45'\n"),
        ("d: 2026-01-02\n", "soon", "d: soon\n"),
        ("d: [2026-01-02]\n", ["2027-03-04"], "d: [2027-03-04]\n"),
    ],
)
def test_a_date_stays_a_date(before: str, value: JsonValue, after: str) -> None:
    """Plain where a plain date was and the new value is one; else a string in quotes."""
    check(before, {"d": value}, after)


def test_a_moment_stays_a_moment() -> None:
    """A time with Z is written as given where a time was, and reads back as YAML understands it."""
    before = front("at: 2026-01-02T10:00:00Z\n")
    result = edited(before, {"at": "2026-01-03T11:00:00Z"})
    assert result == front("at: 2026-01-03T11:00:00Z\n")
    assert metadata_of(result)["at"] == "2026-01-03T11:00:00+00:00"
    assert edited(before, {"at": "2026-01-02T10:00:00Z"}) == before


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("a: !!str 5 # c\n", "6", "a: !!str 6 # c\n"),
        ("a: !!str 5\n", 6, "a: 6\n"),
        ("a: !!int '5'\n", 6, "a: !!int 6\n"),
        ("a: &x !!str 5\n", 6, "a: &x 6\n"),
        ("a: &x one\n", "two", "a: &x two\n"),
        ("a: &x [1]\n", 2, "a: &x 2\n"),
        ("a: !!set {x, y}\n", ["x"], "a: [x]\n"),
        ("a: !!binary aGk=\n", "text", "a: text\n"),
    ],
)
def test_anchors_stay_and_tags_stay_where_they_fit(before: str, value: JsonValue, after: str) -> None:
    """`!!str` before a string is kept, before a number it would change it."""
    check(before, {"a": value}, after)


# ---- blocks of text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("a: |\n  one\n", "two\nthree\n", "a: |\n  two\n  three\n"),
        ("a: | # c\n    one\n\nb: 1\n", "two", "a: |- # c\n    two\n\nb: 1\n"),
        ("a: |-\n  one\n# c\nb: 1\n", "two\n\n\n", "a: |+\n  two\n\n\n# c\nb: 1\n"),
        ("a: |+\n  one\n\n\nb: 1\n", "two\n", "a: |\n  two\nb: 1\n"),
        ("a: |3\n    one\n", "two\n", "a: |\n   two\n"),
        ("a: |\n  one\n", "  two\n", "a: |2\n    two\n"),
        ("a: |\n  one\n", "\n\ntwo\n", "a: |\n\n\n  two\n"),
        ("a: >\n  one\n  one\n", "two\n", "a: >\n  two\n"),
        ("a: >-\n  one\n", "two\nthree\n\nfour", "a: >-\n  two\n\n  three\n\n\n  four\n"),
        ("a: >\n  one\n", "two\n  more\n", "a: |\n  two\n    more\n"),
        ("a: | # c\n  one\n", 5, "a: 5 # c\n"),
        ("a: | # c\n  one\n", ["x"], "a: # c\n  - x\n"),
        ("a: |\n  one\n", "x\n \ny", 'a: "x\\n \\ny"\n'),
        ("a: |\n  one\n", "\n", 'a: "\\n"\n'),
        ("a: |\n  one\n", "---\n", "a: |\n  ---\n"),
        ("a: |\nb: 1\n", "x\n", "a: |\n  x\nb: 1\n"),
        ("a: one # c\n", "x\ny", "a: |- # c\n  x\n  y\n"),
        ("a: [x]\n", "x\ny\n", "a: |\n  x\n  y\n"),
        ("a:\n- x\n", "x\ny\n", "a: |\n  x\n  y\n"),
    ],
)
def test_a_block_of_text_stays_a_block(before: str, value: JsonValue, after: str) -> None:
    """Its mark, indentation and comment stay; chomping follows the text's end; several lines become one."""
    check(before, {"a": value}, after)


def test_a_keeping_block_does_not_swallow_blank_lines() -> None:
    """A text with blank lines at its end, in front of a blank line: then it is quoted."""
    check("a: one\n\nb: 1\n", {"a": "x\n\n"}, 'a: "x\\n\\n"\n\nb: 1\n')


# ---- lists ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("t:\n- a\n- b\n", ["a", "b", "c"], "t:\n- a\n- b\n- c\n"),
        ("t:\n  - a # c\n  - b\n", ["n m", "a", "b"], "t:\n  - n m\n  - a # c\n  - b\n"),
        ("t:\n- a # one\n# mid\n- b\n- c # three\n", ["a", "c"], "t:\n- a # one\n# mid\n- c # three\n"),
        ("t:\n- a # one\n- b # two\n", ["a", "x"], "t:\n- a # one\n- x # two\n"),
        ("t: # c\n- 'a'\n\n- \"b\"\n", ["a", "b", "c"], 't: # c\n- \'a\'\n\n- "b"\n- "c"\n'),
        ("t:\n-   a\n", ["a", "b"], "t:\n-   a\n-   b\n"),
        ("t: # c\n- a\n", [], "t: [] # c\n"),
        ("t:\n- a\n# c\nb: 1\n", "x", "t: x\n# c\nb: 1\n"),
        ("t: # c\n    - a\n", {"k": 1}, "t: # c\n  k: 1\n"),
        ("t:\n-\n- a\n", ["x", "a"], "t:\n- x\n- a\n"),
        ("t:\n- - a\n  - b\n", [["a"]], "t:\n- - a\n"),
        ("t:\n- |\n  x\n- b\n", ["y\n", "b"], "t:\n- |\n  y\n- b\n"),
        ("t: [a, b] # c\n", ["a", "b", "c, d"], "t: [a, b, 'c, d'] # c\n"),
        ("t: [ a,b ]\n", ["a", "b", "c"], "t: [ a,b,c ]\n"),
        ("t: [a, b, c]\n", ["c"], "t: [c]\n"),
        ("t: [a, b, c]\n", ["a", "c"], "t: [a, c]\n"),
        ("t: [a, b,]\n", ["a"], "t: [a,]\n"),
        ("t: ['a', 'b']\n", ["a", "x"], "t: ['a', 'x']\n"),
        ("t: [\n  a, # c\n  b # d\n]\n", ["a", "b", "c"], "t: [\n  a, # c\n  b, c # d\n]\n"),
        ("t: [\n  a,\n  b\n]\n", ["a", "b", "c"], "t: [\n  a,\n  b,\n  c\n]\n"),
        ("t: [ ] # c\n", ["a"], "t: [a] # c\n"),
        ("t: [a] # c\n", [], "t: [] # c\n"),
        ("t: [a]\n", {"k": "v"}, "t: {k: v}\n"),
        ("t: [a: 1, b]\n", [{"a": 2}, "b"], "t: [{a: 2}, b]\n"),
        ("t: a, b # c\n", ["a", "b"], "t: # c\n  - a\n  - b\n"),
    ],
)
def test_a_list_stays_a_list(before: str, value: JsonValue, after: str) -> None:
    """In brackets or in lines, as it was; items that stay keep their text and comments."""
    check(before, {"t": value}, after)


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("m:\n    x: 1 # c\n    y: 2\n", {"x": 1, "y": 3}, "m:\n    x: 1 # c\n    y: 3\n"),
        ("m:\n  x: 1 # c\n\n  y: 2\nb: 1\n", {"x": 1, "z": [1]}, "m:\n  x: 1 # c\n\n  z:\n    - 1\nb: 1\n"),
        ("m: {x: 1, y: 2} # c\n", {"y": 2, "z": "a"}, "m: {y: 2, z: a} # c\n"),
        ('m: {"x":1}\n', {"x": 2}, 'm: {"x":2}\n'),
        ("m: {x, y: }\n", {"x": 1, "y": 2}, "m: {x: 1, y: 2 }\n"),
        (
            "m:\n- x: 1 # c\n  y: 2\n- z: 3\n",
            [{"x": 1, "y": 5}, {"z": 3}],
            "m:\n- x: 1 # c\n  y: 5\n- z: 3\n",
        ),
        ("m:\n- x: 1\n", [{"x": 1, "z": [2]}], "m:\n- x: 1\n  z:\n  - 2\n"),
        ("m:\n  x: 1\n", {}, "m: {}\n"),
        ("m:\n  x:\n    y: 1 # c\n", {"x": {"y": 2}}, "m:\n  x:\n    y: 2 # c\n"),
    ],
)
def test_a_mapping_keeps_what_stays(before: str, value: JsonValue, after: str) -> None:
    """Only the keys below that changed are touched."""
    check(before, {"m": value}, after)


# ---- fields that come and go ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "fields", "after"),
    [
        ("a: 1\n", {"b": 2, "c": "x"}, "a: 1\nb: 2\nc: x\n"),
        ("a: 1\n# end\n\n", {"b": 2}, "a: 1\n# end\n\nb: 2\n"),
        ("  a: 1\n", {"b": [1]}, "  a: 1\n  b:\n    - 1\n"),
        ("t:\n- x\n", {"b": [1, {"c": []}]}, "t:\n- x\nb:\n- 1\n- c: []\n"),
        ("m:\n    x: 1\n", {"b": {"c": {"d": 1}}}, "m:\n    x: 1\nb:\n    c:\n        d: 1\n"),
        ("a: |+\n  x\n\n", {"b": 1}, "a: |+\n  x\n\nb: 1\n"),
        ("a: 1\n...\n# end\n", {"b": 1}, "a: 1\nb: 1\n...\n# end\n"),
        ("", {"b": 1}, "b: 1\n"),
        ("# only\n", {"b": 1}, "# only\nb: 1\n"),
        ("null # c\n", {"b": [1]}, "{b: [1]} # c\n"),
        ("{a: 1} # c\n", {"b": ["x, y"]}, "{a: 1, b: ['x, y']} # c\n"),
        ("{}\n", {"b": 1}, "{b: 1}\n"),
        ("{a: 1, # c\n}\n", {"b": 1}, "{a: 1, b: 1, # c\n}\n"),
        ("a: 1\n", {"5": 1, "b: c": 2, "yes": 3, "": 4}, "a: 1\n'5': 1\n'b: c': 2\n'yes': 3\n'': 4\n"),
        ("b: &b {x: 1}\n<<: *b\n", {"x": 2}, "b: &b {x: 1}\n<<: *b\nx: 2\n"),
        ("a: 1\n", {"<<": 2}, "a: 1\n'<<': 2\n"),
        ("a: 1\n", {"none": None}, "a: 1\nnone: null\n"),
    ],
)
def test_a_new_field_comes_last(before: str, fields: Fields, after: str) -> None:
    """At the end, in the order given, indented as the file does."""
    check(before, fields, after)


@pytest.mark.parametrize(
    ("before", "fields", "after"),
    [
        ("a: 1 # c\nb: 2\n", {"a": REMOVE}, "b: 2\n"),
        ("# c\na:\n- x\n# d\nb: 2\n", {"a": REMOVE}, "# c\n# d\nb: 2\n"),
        ("a: |\n  x\n\nb: 2\n", {"a": REMOVE}, "\nb: 2\n"),
        ("a: 1\nb: 2\na: 3\n", {"a": REMOVE}, "b: 2\n"),
        ("a: 1\n", {"a": REMOVE}, ""),
        ("a: 1\n", {"x": REMOVE}, "a: 1\n"),
        ("a: 1\n", {"a": REMOVE, "b": 1}, "b: 1\n"),
        ("a: 1\n...\n", {"a": REMOVE}, "{}\n...\n"),
        ("{a: 1, b: 2}\n", {"a": REMOVE}, "{b: 2}\n"),
        ("{a: 1, b: 2}\n", {"b": REMOVE, "c": 3}, "{a: 1, c: 3}\n"),
        ("{a: 1}\n", {"a": REMOVE, "c": 3}, "{c: 3}\n"),
        ("? a\n: 1\nb: 2\n", {"a": REMOVE}, "b: 2\n"),
        ("a: &x 1\nb: *x\n", {"b": REMOVE}, "a: &x 1\n"),
        ("b: |\n x\na: 1\n  # of a\nc: 1\n", {"a": REMOVE}, "b: |\n x\nc: 1\n"),
        ("b: |+\n x\na: 1\n\nc: 1\n", {"a": REMOVE}, "b: |+\n x\nc: 1\n"),
    ],
)
def test_a_field_goes_with_its_lines(before: str, fields: Fields, after: str) -> None:
    """Comments above and below it are not its own."""
    check(before, fields, after)


def test_of_two_fields_with_one_key_the_last_is_changed() -> None:
    """It is the one that is read."""
    check("a: 1\nb: 1\na: 2\n", {"a": 3}, "a: 1\nb: 1\na: 3\n")


def test_several_fields_change_at_once() -> None:
    """Each in its place."""
    check("a: 1\nb: [x]\nc:\n", {"c": 1, "a": REMOVE, "d": 2, "b": ["x", "z"]}, "b: [x, z]\nc: 1\nd: 2\n")


def test_a_complex_key_is_left_alone() -> None:
    """A key that is a date or a number is found by its JSON name; a quoted one by its text."""
    check("2026-01-02: x\n1: y\n'1:0': z\n", {"2026-01-02": "k", "1": "m"}, "2026-01-02: k\n1: m\n'1:0': z\n")


# ---- anchors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "fields", "after"),
    [
        ("a: &x 1\nb: *x # c\n", {"b": 2}, "a: &x 1\nb: 2 # c\n"),
        ("a: &x 1\nb: *x\n", {"a": 2, "b": 2}, "a: &x 2\nb: 2\n"),
        ("a: &x 1\nb: [*x, 2]\n", {"b": [1, 3]}, "a: &x 1\nb: [*x, 3]\n"),
        (
            "a: &x {p: 1}\nb:\n  <<: *x # c\n  q: 2\n",
            {"b": {"p": 5, "q": 2}},
            "a: &x {p: 1}\nb:\n  <<: *x # c\n  q: 2\n  p: 5\n",
        ),
        ("a: &x {p: 1}\nb:\n  <<: *x\n  q: 2\n", {"b": {"q": 2}}, "a: &x {p: 1}\nb:\n  q: 2\n"),
    ],
)
def test_an_alias_is_replaced_and_an_anchor_stays(before: str, fields: Fields, after: str) -> None:
    """What an alias stands for does not change with it."""
    check(before, fields, after)


@pytest.mark.parametrize(
    ("before", "fields", "field", "message"),
    [
        ("a: &x 1\nb: *x\n", {"a": 2}, "a", "anchor '&x' is used by another field"),
        ("a: &x 1\nb: *x\n", {"a": REMOVE}, "a", "anchor '&x' is used by another field"),
        ("a: [&x 1, 2]\nb: *x\n", {"a": [2]}, "a", "anchor '&x' is used by another field"),
        ("a: &x {p: 1}\n<<: *x\n", {"a": {"p": 2}}, "a", "anchor '&x' is used by another field"),
        ("a: &x {p: 1}\n<<: *x\n", {"p": REMOVE}, "p", "merged in"),
        ("a: 1\n", {"k" * 2000: 1}, "k" * 2000, "cannot be changed without other lines"),
        ("a: 1\n", {"b": "\ud800"}, "b", "half of a surrogate pair"),
        ("a: 1\n", {"b": float("nan")}, "b", "not finite"),
        ("a: 1\n", {"b": 10**5000}, "b", "digits"),
        ("a: 1\n", {"b": "x" * 300_000}, "b", "over 256 KiB"),
        ("a: 1\n", {"b": {"c": ["x"] * 10_001}}, "b", "more than 10,000 values"),
    ],
)
def test_what_would_change_something_else_is_refused(
    before: str, fields: Fields, field: str, message: str
) -> None:
    """With the field and the reason."""
    with pytest.raises(EditError, match=message) as caught:
        edited(front(before), fields)
    assert caught.value.field == field
    assert caught.value.path == "a.md"


def test_a_value_nested_too_deep_is_refused() -> None:
    """Deeper than an entry is read, and deeper than Python's own stack."""
    value: JsonValue = 1
    for _ in range(5_000):
        value = [value]
    with pytest.raises(EditError, match="levels deep"):
        edited(front("a: 1\n"), {"a": value})


@pytest.mark.parametrize("lines", ["a: [\n", "- a\n", "a: 1\n<<<<<<< x\n", "x\n"])
def test_a_file_that_does_not_parse_is_refused(lines: str) -> None:
    """There is nothing to hold on to in it."""
    with pytest.raises(EditError, match="cannot be read"):
        edited(front(lines), {"a": 2})


def test_what_only_one_of_the_parsers_reads_is_refused() -> None:
    """Two byte order marks: libyaml reads it and counts neither, PyYAML's own parser does not read it."""
    with pytest.raises(EditError, match="not readable"):
        edited("---\n\ufeff\ufeff\na: 1\n---\n", {"a": 2})


def test_an_error_is_one_sentence() -> None:
    """Path, field, reason."""
    error = EditError("a\udcff.md", "cannot be", "title")
    assert str(error) == "a\\udcff.md: field 'title': cannot be"


# ---- line ends, byte order mark ---------------------------------------------------------------------------


def test_crlf_is_kept_and_used() -> None:
    """New lines end as those of the file."""
    source = front("a: 1\nt:\n- x\n").replace("\n", "\r\n")
    result = edited(source, {"a": "p\nq", "t": ["x", "z"], "new": {"k": 1}}, "one\n\ntwo")
    assert result == (
        "---\r\na: |-\r\n  p\r\n  q\r\nt:\r\n- x\r\n- z\r\nnew:\r\n  k: 1\r\n---\r\n\r\none\r\n\r\ntwo\r\n"
    )


def test_a_byte_order_mark_is_kept() -> None:
    """In front of everything, also of front matter that is new."""
    assert edited("\ufeff" + front("a: 1\n"), {"a": 2}) == "\ufeff" + front("a: 2\n")
    assert edited("\ufefftext", {"a": 2}) == "\ufeff---\na: 2\n---\n\ntext"


def test_a_second_byte_order_mark_moves_no_cut() -> None:
    """Fails if libyaml's marks are trusted: it does not count a mark at the start."""
    assert edited("---\n\ufeffa: 1\nb: 2\n---\n", {"b": 3}) == "---\n\ufeffa: 1\nb: 3\n---\n"


def test_characters_outside_of_the_basic_plane_move_no_cut() -> None:
    """Marks count characters, not bytes or UTF-16 units."""
    check("é: 'ü€😀'\nb: 1 # 😀\n", {"b": 2}, "é: 'ü€😀'\nb: 2 # 😀\n")


def test_lines_that_end_with_a_lone_cr_stay() -> None:
    """YAML takes it for a line end."""
    assert edited("---\na: 1\rb: 2\n---\n", {"a": 3}) == "---\na: 3\rb: 2\n---\n"


# ---- the body ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "body", "after"),
    [
        ("---\na: 1\n---\n\n\nold\n", "new", "---\na: 1\n---\n\n\nnew\n"),
        ("---\na: 1\n---\nold", "new", "---\na: 1\n---\nnew"),
        ("---\na: 1\n---\nold", "new\n", "---\na: 1\n---\nnew\n"),
        ("---\na: 1\n---\nold\n\n", "\n\nnew\n\n\n", "---\na: 1\n---\nnew\n\n"),
        ("---\na: 1\n---\n", "new", "---\na: 1\n---\n\nnew\n"),
        ("---\na: 1\n---", "new", "---\na: 1\n---\n\nnew"),
        ("---\na: 1\n---\n\n\n", "new", "---\na: 1\n---\n\n\nnew\n"),
        ("---\na: 1\n--- \n\nold\n", "", "---\na: 1\n--- \n"),
        ("---\na: 1\n---\n\n    code\nold\n", "    code\nnew", "---\na: 1\n---\n\n    code\nnew\n"),
        ("---\na: 1\n---\n\n    code\nold\n", "code\nnew", "---\na: 1\n---\n\n    code\nnew\n"),
        ("---\na: 1\n---\n\n    code\nold\n", "text\nnew", "---\na: 1\n---\n\ntext\nnew\n"),
        ("---\na: 1\n---\n\nold\n", "\n    code\nnew", "---\na: 1\n---\n\n    code\nnew\n"),
        ("---\na: 1\n---\n\nx\nold  \n", "y\nold", "---\na: 1\n---\n\ny\nold  \n"),
        ("---\na: 1\n---\n\nx\nold  \n", "x\nnew", "---\na: 1\n---\n\nx\nnew\n"),
        ("---\na: 1\n---\n\nold\n", "---\nb: 1\n---\n", "---\na: 1\n---\n\n---\nb: 1\n---\n"),
        ("", "new", "new\n"),
        ("old\n", "new", "new\n"),
        ("\n\nold", "new", "\n\nnew"),
        ("a\r\nold\r\n", "b\nnew", "b\r\nnew\r\n"),
        ("a\r\nold\r\n", "b\r\nnew\r\n", "b\r\nnew\r\n"),
        ("a\r\nb\nc\r\nd\ne\n", "a\nb\nX\nd\ne", "a\r\nb\nX\nd\ne\n"),
        ("---\nopen\n", "new", "new\n"),
    ],
)
def test_a_body_takes_the_place_of_a_body(before: str, body: str, after: str) -> None:
    """The white space around it is the file's."""
    result = edited(before, None, body)
    assert result == after
    content = parse_entry(result.encode(), "a.md").content
    assert content is not None
    assert content.body == body.replace("\r\n", "\n").strip()


@pytest.mark.parametrize(
    "body", ["---\na: 1\n---\nx", "---\nx", "---", "\ufeffx", "<<<<<<< a\n---\nx", "  ---\nb: 1\n---"]
)
def test_a_body_that_would_be_read_as_something_else_gets_an_empty_front_matter(body: str) -> None:
    """Then it is a body."""
    result = edited("old\n", None, body)
    assert result == f"---\n---\n\n{body}\n"
    content = parse_entry(result.encode(), "a.md").content
    assert content is not None
    assert content.body == body.strip()
    assert content.metadata == {}


@pytest.mark.parametrize("body", ["", " \n"])
def test_a_body_that_would_empty_the_file_is_refused(body: str) -> None:
    """A good file that is emptied is a problem, not an entry."""
    with pytest.raises(EditError, match="empty"):
        edited("old\n", None, body)


@pytest.mark.parametrize("body", ["a\0b", "a\ud800"])
def test_a_body_that_no_file_can_hold_is_refused(body: str) -> None:
    """NUL, half of a surrogate pair."""
    with pytest.raises(EditError):
        edited(front("a: 1\n"), None, body)


def test_front_matter_is_made_in_front_of_the_body() -> None:
    """With a blank line, unless the text begins with one; an empty file gets only that."""
    assert edited("text", {"a": 1}) == "---\na: 1\n---\n\ntext"
    assert edited("\r\ntext\r\n", {"a": 1}) == "---\r\na: 1\r\n---\r\n\r\ntext\r\n"
    assert edited("", {"a": 1}) == "---\na: 1\n---\n"
    assert edited("---\nopen", {"a": 1}) == "---\na: 1\n---\n\n---\nopen"


def test_fields_and_body_change_together() -> None:
    """Both in one file."""
    assert edited(front("a: 1\n"), {"a": 2}, "new") == "---\na: 2\n---\n\nnew\n"
    assert edited("old", {"a": 2}, "new") == "---\na: 2\n---\n\nnew"


def test_an_edit_that_changes_nothing_returns_the_same_bytes() -> None:
    """Also where the file is odd."""
    source = "\ufeff \n---  \na:   [ 1,2 ]  # c\r\nb: &x 'y'\n--- \n\n body \r\n "
    data = source.encode()
    assert edit_source(data, SourceEdit(metadata_of(source), "body"), "a.md") is data
    assert edit_source(data, SourceEdit(), "a.md") is data


# ---- new sources ------------------------------------------------------------------------------------------


def test_a_new_source_has_a_pleasant_order() -> None:
    """Those that a person looks for first; then the others as given."""
    fields: dict[str, JsonValue] = {
        "status": "open",
        "tags": ["a", "b c"],
        "importance": 5,
        "date": "2026-01-02",
        "title": "Plain: quoted",
        "type": "note",
        "id": "plain-quoted",
        "links": [{"target": "x", "note": "one\ntwo\n"}],
        "empty": [],
    }
    assert new_source(fields, "\n# Head\n\ntext \n\n").decode() == (
        "---\nid: plain-quoted\ntype: note\ntitle: 'Plain: quoted'\ndate: '2026-01-02'\nimportance: 5\n"
        "tags:\n  - a\n  - b c\nstatus: open\nlinks:\n  - target: x\n    note: |\n      one\n      two\n"
        "empty: []\n---\n\n# Head\n\ntext\n"
    )


def test_a_new_source_may_be_without_body_or_fields() -> None:
    """The front matter is there all the same."""
    assert new_source({"id": "x"}, " \n") == b"---\nid: x\n---\n"
    assert new_source({}, "a\r\nb") == b"---\n---\n\na\nb\n"
    with pytest.raises(EditError, match="NUL"):
        new_source({}, "\0")


# ---- coerce_like ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        (3, "5", 5),
        (3, " -5 ", -5),
        (3, "2.5", 2.5),
        (3, "1e3", 1000.0),
        (2.5, "5", 5.0),
        (2.5, ".5", 0.5),
        (3, "abc", "abc"),
        (3, "", ""),
        (3, "1e999", "1e999"),
        (3, "0x1f", "0x1f"),
        (3, "9" * 5000, "9" * 5000),
        (False, "true", True),
        (True, "No", False),
        (True, "1", "1"),
        ("x", "5", "5"),
        (None, "5", "5"),
        ([1], "5", "5"),
        ("2026-01-02", "2026-01-03", "2026-01-03"),
        (3, 5.5, 5.5),
        (3, None, None),
    ],
)
def test_a_string_takes_the_type_of_a_number_or_boolean(
    old: JsonValue, new: JsonValue, result: JsonValue
) -> None:
    """Where it reads as one; else it stays a string."""
    got = coerce_like(old, new)
    assert got == result
    assert type(got) is type(result)


# ---- cost -------------------------------------------------------------------------------------------------


def test_long_lines_and_lists_take_no_long_time() -> None:
    """Thousands of values in one line, all of them changed: still far below a second."""
    old: list[JsonValue] = [f"item {number}" for number in range(3_000)]
    new: list[JsonValue] = [f"other {number}" for number in range(2_900)]
    for lines in (
        f"t: [{', '.join(map(str, old))}]\n",
        "t:\n" + "".join(f"- {item}\n" for item in old),
        "t: {" + ", ".join(f"k{number}: {item}" for number, item in enumerate(old)) + "}\n",
    ):
        source = front(lines)
        value: JsonValue = new if "k0" not in lines else {f"k{n}": item for n, item in enumerate(new)}
        started = time.process_time()
        result = edited(source, {"t": value})
        # Reading it twice takes 0.1 s of this; what was quadratic took 10 s and more.
        assert time.process_time() - started < 3
        assert metadata_of(result)["t"] == value


# ---- proof ------------------------------------------------------------------------------------------------


def test_a_wrong_cut_is_never_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a cut be wrong, the result is parsed before anyone gets it."""

    def wrong(front: str, *rest: Any) -> tuple[str, dict[str, JsonValue]]:
        return front.replace("b: 2", "b: 3"), {"a": 5, "b": 2}

    monkeypatch.setattr(edit_yaml, "edit_front", wrong)
    with pytest.raises(EditError, match="field 'a'"):
        edited(front("a: 1\nb: 2\n"), {"a": 5})
