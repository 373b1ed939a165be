"""Every field of every real entry, one edit each: only the lines of that field differ.

Where there is no real corpus, the look-alike of tests/harness takes its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
from harness.corpus import corpus_source, generate_lookalike

from pyrite_watch.disk.edit import REMOVE, JsonValue, SourceEdit, edit_source
from pyrite_watch.disk.parse import parse_entry

KEY = re.compile(rb"([A-Za-z_][\w-]*):")


class Entry:
    """A file of the corpus, with the lines that each field has."""

    def __init__(self, path: Path, data: bytes) -> None:
        content = parse_entry(data, path.name).content
        assert content is not None
        self.path = path.name
        self.data = data
        self.lines = data.splitlines(keepends=True)
        self.metadata = dict(content.metadata)
        self.body = content.body
        self.form = content.form

    def front_end(self) -> int:
        """The number of the line that closes the front matter."""
        return next(number for number, line in enumerate(self.lines[1:], 1) if line.rstrip() == b"---")

    def lines_of(self, key: str) -> tuple[int, int]:
        """The first line of a field, and the one after its last."""
        end = self.front_end()
        starts = [number for number in range(1, end) if KEY.match(self.lines[number])]
        (start,) = [number for number in starts if self.lines[number].startswith(f"{key}:".encode())]
        return start, min((number for number in [*starts, end] if number > start), default=end)


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    source = corpus_source() or generate_lookalike(tmp_path_factory.mktemp("corpus") / "kb")
    found = []
    for path in sorted(source.rglob("*.md")):
        data = path.read_bytes()
        if parse_entry(data, path.name).content is not None:
            found.append(Entry(path, data))
    assert len(found) > 500
    return found


def with_front(entries: list[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.form == "front")


def changed(value: Any) -> JsonValue:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, list):
        return [*value[1:], "added: this"]
    if isinstance(value, dict):
        return {**value, "added": "#this"}
    if isinstance(value, str):
        return "2027-01-02" if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else f'{value} and: it\'s "more"'
    return "no longer null"


def assert_field(entry: Entry, key: str, value: JsonValue) -> None:
    result = edit_source(entry.data, SourceEdit({key: value}), entry.path)
    start, end = entry.lines_of(key)
    lines = result.splitlines(keepends=True)
    below = len(entry.lines) - end
    assert lines[:start] == entry.lines[:start]
    assert lines[len(lines) - below :] == entry.lines[end:]
    content = parse_entry(result, entry.path).content
    assert content is not None
    assert content.metadata == {**entry.metadata, key: value}
    assert content.body == entry.body


def test_a_change_of_one_field_changes_only_its_lines(entries: list[Entry]) -> None:
    """Another value of its kind: the lines above and below are the same bytes, and it reads back."""
    for entry in with_front(entries):
        for key, value in entry.metadata.items():
            assert_field(entry, key, changed(value))


@pytest.mark.parametrize("value", [None, "one\ntwo\n", ["a", {"b": "- c"}], {"k": []}, "5"])
def test_a_value_of_any_kind_may_take_its_place(entries: list[Entry], value: JsonValue) -> None:
    """A field may change its kind; still only its own lines differ."""
    for entry in list(with_front(entries))[::10]:
        for key, old in entry.metadata.items():
            if old != value:
                assert_field(entry, key, value)


def test_a_one_line_field_stays_one_line(entries: list[Entry]) -> None:
    """A diff of a changed title shows one line that went and one that came."""
    for entry in list(with_front(entries))[::3]:
        start, end = entry.lines_of("title")
        if end - start > 1:
            continue
        result = edit_source(entry.data, SourceEdit({"title": "Another title"}), entry.path)
        matcher = SequenceMatcher(None, entry.lines, result.splitlines(keepends=True), autojunk=False)
        changes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
        assert changes == [("replace", start, end, start, end)]


def test_a_tag_that_is_added_adds_at_most_one_line(entries: list[Entry]) -> None:
    """The tags that were there keep their lines."""
    for entry in list(with_front(entries))[::2]:
        tags = entry.metadata.get("tags")
        if not isinstance(tags, list) or not tags:
            continue
        result = edit_source(entry.data, SourceEdit({"tags": [*tags, "new"]}), entry.path)
        gone = [line for line in entry.lines if line not in set(result.splitlines(keepends=True))]
        assert len(result) <= len(entry.data) + len(b"    - new\r\n")
        assert len(gone) == (1 if b"[" in entry.lines[entry.lines_of("tags")[0]] else 0)


def test_a_field_that_goes_takes_only_its_lines(entries: list[Entry]) -> None:
    """What is left are the other lines, in order."""
    for entry in list(with_front(entries))[::4]:
        for key in entry.metadata:
            start, end = entry.lines_of(key)
            result = edit_source(entry.data, SourceEdit({key: REMOVE}), entry.path)
            lines = result.splitlines(keepends=True)
            # Comments and blank lines below a field are not its own, and stay.
            kept = len(lines) - (len(entry.lines) - (end - start))
            own = [line for line in entry.lines[end - kept : end] if not line.startswith(b"#")]
            assert lines == entry.lines[:start] + entry.lines[end - kept :]
            assert b"".join(own).strip() == b""
            content = parse_entry(result, entry.path).content
            assert content is not None
            assert key not in content.metadata


def test_a_new_field_adds_only_lines(entries: list[Entry]) -> None:
    """It comes before the closing line, in front of everything where there was no front matter."""
    for entry in entries:
        result = edit_source(entry.data, SourceEdit({"new field": ["x", 1]}), entry.path)
        lines = result.splitlines(keepends=True)
        if entry.form == "front":
            end = entry.front_end()
            assert lines[:end] == entry.lines[:end]
            assert lines[len(lines) - len(entry.lines) + end :] == entry.lines[end:]
        else:
            assert result.endswith(entry.data)


def test_a_change_of_body_leaves_the_front_matter(entries: list[Entry]) -> None:
    """Up to the body all bytes are the same; the body reads back."""
    for entry in entries:
        result = edit_source(entry.data, SourceEdit(body="# New\n\ntext\n"), entry.path)
        if entry.form == "front":
            end = entry.front_end() + 1
            assert result.splitlines(keepends=True)[:end] == entry.lines[:end]
        content = parse_entry(result, entry.path).content
        assert content is not None
        assert content.body == "# New\n\ntext"
        assert content.metadata == entry.metadata


def test_a_change_of_one_line_of_a_body_changes_one_line(entries: list[Entry]) -> None:
    """A body that was read, changed in its middle, and written back."""
    for entry in entries:
        body = entry.body.split("\n")
        if len(body) < 3:
            continue
        body[1] = "changed"
        result = edit_source(entry.data, SourceEdit(body="\n".join(body)), entry.path)
        lines = result.splitlines(keepends=True)
        assert len(lines) == len(entry.lines)
        different = [new for new, old in zip(lines, entry.lines, strict=True) if new != old]
        assert [line.strip() for line in different] in ([b"changed"], [])


def test_what_is_so_already_is_not_touched(entries: list[Entry]) -> None:
    """All fields and the body set to what they are: the same bytes."""
    for entry in entries:
        edit = SourceEdit(entry.metadata, entry.body + "\n")
        assert edit_source(entry.data, edit, entry.path) == entry.data


def test_crlf_and_a_byte_order_mark_survive(entries: list[Entry]) -> None:
    """The same corpus as a Windows editor saves it: no line end is another than before."""
    for entry in entries[::4]:
        if b"\r" in entry.data or not entry.data.endswith(b"\n"):
            continue
        data = b"\xef\xbb\xbf" + entry.data.replace(b"\n", b"\r\n")
        edit = SourceEdit({"title": "x", "tags": ["a"], "notes": "b\nc\n"}, "new\n\nbody")
        result = edit_source(data, edit, entry.path)
        plain = edit_source(entry.data, edit, entry.path)
        assert result == b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n")
