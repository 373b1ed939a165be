"""What a file's bytes say, and that no bytes harm the reader."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import time
from collections import Counter
from pathlib import Path

import frontmatter
import pytest
import yaml
from frontmatter.default_handlers import YAMLHandler
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrite_watch.disk.front_matter import Split, split_source
from pyrite_watch.disk.parse import parse_entry, revision_of, slug_of, stem_of
from pyrite_watch.disk.safe_yaml import PureGuardedLoader, YamlFault, parse_yaml
from pyrite_watch.model.entry import EntryContent, Link, Problem

# Real entries: named so, or beside the repository, as for tests/harness. A clone has neither.
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "pyrite-kb"
CORPUS = Path(os.environ.get("PYRITE_CORPUS") or BESIDE)


def entry(source: str | bytes, path: str = "notes/a-note.md") -> EntryContent:
    """Parse a source that must be an entry without any problem."""
    parsed = parse_entry(source if isinstance(source, bytes) else source.encode(), path)
    assert parsed.problems == ()
    assert parsed.content is not None
    return parsed.content


def front(lines: str, body: str = "text") -> str:
    return f"---\n{lines}\n---\n{body}\n"


def fatal(source: str | bytes, path: str = "a.md") -> Problem:
    """Parse a source that must be no entry, for one reason."""
    parsed = parse_entry(source if isinstance(source, bytes) else source.encode(), path)
    assert parsed.content is None
    (problem,) = parsed.problems
    assert problem.path == path
    return problem


# ---- an ordinary file -------------------------------------------------------------------------------------


def test_revision_is_the_blake2b_that_anyone_can_compute() -> None:
    """The revision is blake2b with 16 bytes of digest, in hex."""
    assert revision_of(b"abc") == hashlib.blake2b(b"abc", digest_size=16).hexdigest()


def test_all_fields_are_read() -> None:
    """Each field of the contract comes from the front matter key of its name."""
    content = entry(
        front(
            "id: ooda\ntitle: OODA Loop\ntype: concept\nsummary: A cycle\nimportance: 7\nstatus: active\n"
            "date: 2024-03-01\ntags: [boyd, war]\ncreated_at: 2024-03-01T10:00:00Z\nupdated_at: yesterday\n"
            "extra: {a: [1, 2.5, null]}",
            "See [[other]].",
        )
    )
    assert content == EntryContent(
        title="OODA Loop",
        entry_type="concept",
        body="See [[other]].",
        explicit_id=content.explicit_id,
        derived_id="ooda-loop",
        form="front",
        metadata=content.metadata,
        summary="A cycle",
        importance=7,
        status="active",
        date="2024-03-01",
        tags=("boyd", "war"),
        links=(Link("other"),),
        created_at="2024-03-01T10:00:00+00:00",
        updated_at="yesterday",
    )
    assert content.explicit_id == "ooda"
    assert content.metadata["extra"] == {"a": [1, 2.5, None]}
    assert list(content.metadata)[:3] == ["id", "title", "type"]


def test_file_without_front_matter_is_a_note_named_by_its_stem() -> None:
    """Nothing is needed to be an entry."""
    content = entry("just text", "deep/My Note.md")
    assert (content.title, content.entry_type, content.form) == ("My Note", "note", "plain")
    assert (content.explicit_id, content.derived_id, content.body) == (None, "My Note", "just text")


@pytest.mark.parametrize("source", [b"", b"\n \n", codecs.BOM_UTF8])
def test_empty_file_is_an_entry_with_an_empty_body(source: bytes) -> None:
    """Whether emptying a file is a problem needs history, which this stage has not."""
    content = entry(source)
    assert (content.body, content.form, content.title) == ("", "plain", "a-note")


@pytest.mark.parametrize("lines", ["", "# only a comment", "~"])
def test_empty_front_matter_is_an_empty_mapping(lines: str) -> None:
    """YAML's null is what no keys look like."""
    content = entry(front(lines))
    assert (content.metadata, content.form, content.body) == ({}, "front", "text")


def test_front_matter_that_is_never_closed_is_body() -> None:
    """A lone `---` may be a rule; its text is not read as YAML."""
    content = entry("---\ntitle: [\n\ntext\n")
    assert (content.form, content.body, content.title) == ("open", "---\ntitle: [\n\ntext", "a-note")


def test_byte_order_mark_and_crlf_are_accepted() -> None:
    """A file of Windows reads as its like of Linux."""
    unix = entry(front("title: A\nid: x", "one\ntwo"))
    windows = entry(codecs.BOM_UTF8 + front("title: A\nid: x", "one\ntwo").replace("\n", "\r\n").encode())
    assert windows == unix


# ---- id and title -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "entry_id"),
    [
        ("ooda", "ooda"),
        ("'  spaced out '", "spaced out"),
        ("42", "42"),
        ("1.5", "1.5"),
        ("true", "true"),
        ("No", "false"),
        ("2024-03-01", "2024-03-01"),
        ("é🎈", "é🎈"),
        ("x" * 200, "x" * 200),
        ("", None),
        ("~", None),
        ("''", None),
        ("'  '", None),
    ],
)
def test_scalar_id_is_explicit(written: str, entry_id: str | None) -> None:
    """Any scalar is an id as a person would write it; nothing is no id."""
    assert entry(front(f"title: T\nid: {written}")).explicit_id == entry_id


@pytest.mark.parametrize("written", ["a/b", "[a]", "{a: b}", '"a\\tb"', '"a\\x85b"', "x" * 201, "é" * 101])
def test_unusable_id_is_a_problem_and_the_title_gives_the_id(written: str) -> None:
    """The entry is there all the same, and the problem names the id's line."""
    parsed = parse_entry(front(f"title: A Title\nid: {written}").encode(), "a.md")
    assert parsed.content is not None
    assert (parsed.content.explicit_id, parsed.content.derived_id) == (None, "a-title")
    (problem,) = parsed.problems
    assert (problem.kind, problem.line) == ("id", 3)


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("OODA Loop!", "ooda-loop"),
        ("  --A--  ", "a"),
        ("Überblick", "berblick"),
        ("日本", ""),
        ("C++ & C#", "c-c"),
    ],
)
def test_slug_is_pyrites(title: str, slug: str) -> None:
    """Ids that Pyrite derived stay what they are."""
    assert slug_of(title) == slug


def test_title_without_ascii_letters_leaves_the_id_to_the_stem() -> None:
    """An empty slug is no id."""
    assert entry(front("title: 日本"), "nihon.md").derived_id == "nihon"


def test_heading_gives_a_title_but_no_id() -> None:
    """Rewording a heading must not change what an entry is called by."""
    content = entry("intro\n\n# A *Heading* ##\n", "stem.md")
    assert (content.title, content.derived_id) == ("A *Heading*", "stem")


@pytest.mark.parametrize(
    ("written", "title"), [("2024", "2024"), ("2024-03-01", "2024-03-01"), ("true", "true")]
)
def test_title_that_yaml_takes_for_something_else_is_text(written: str, title: str) -> None:
    """A title is what it says."""
    assert entry(front(f"title: {written}")).title == title


@pytest.mark.parametrize("written", ["", "''", "[a]", "{a: b}"])
def test_title_that_is_no_text_is_absent(written: str) -> None:
    """The heading, then the stem, stand in."""
    assert entry(front(f"title: {written}", "# Heading")).title == "Heading"


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("a/b.c.md", "b.c"),
        ("a/cafe\u0301.md", "caf\u00e9"),
        ("a/\udcff\udce9.md", "\\xff\\xe9"),
        ("\ud800.md", "\\ud800"),
        ("line\nbreak.md", "line\nbreak"),
        (".md", ".md"),
        ("", "untitled"),
    ],
)
def test_stem_is_nfc_and_always_text(path: str, stem: str) -> None:
    """A derived id is never empty, and every socket and file takes it."""
    assert stem_of(path) == stem


# ---- other fields -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "tags"),
    [
        ("[a, 'b c', 3, true, 2024-01-01]", ("a", "b c", "3", "true", "2024-01-01")),
        ("a, b ,, a", ("a", "b")),
        ("single", ("single",)),
        ("2024", ("2024",)),
        ("[a, ~, [x], {y: z}, '']", ("a",)),
        ("{a: b}", ()),
        ("", ()),
    ],
)
def test_tags_are_a_list_or_a_comma_string(written: str, tags: tuple[str, ...]) -> None:
    """Each tag once, in order."""
    assert entry(front(f"tags: {written}")).tags == tags


@pytest.mark.parametrize(
    ("written", "importance"),
    [
        ("5", 5),
        ("'7'", 7),
        ("' -3 '", -3),
        ("4.0", 4),
        ("4.5", None),
        ("high", None),
        ("true", None),
        ("[5]", None),
        (".nan", None),
        (str(2**63), None),
    ],
)
def test_importance_is_a_whole_number_or_none(written: str, importance: int | None) -> None:
    """What SQLite cannot hold, or is no number, is no importance."""
    assert entry(front(f"importance: {written}")).importance == importance


def test_metadata_is_json() -> None:
    """What YAML has and JSON has not is written as text; all else keeps its type."""
    metadata = entry(
        front(
            "day: 2024-03-01\nat: 2024-03-01 10:00:00\nbytes: !!binary aGk=\nset: !!set {b, a}\nnan: .nan\n"
            "inf: -.inf\n7: int\n~: none\nyes: bool\n2024-01-01: date\nodd: !!omap [k: v]\nbase60: 12:30"
        )
    ).metadata
    assert metadata == {
        "day": "2024-03-01",
        "at": "2024-03-01T10:00:00",
        "bytes": "aGk=",
        "set": ["a", "b"],
        "nan": "nan",
        "inf": "-inf",
        "7": "int",
        "null": "none",
        "true": "bool",
        "2024-01-01": "date",
        "odd": [["k", "v"]],
        "base60": 750,
    }


def test_merge_keys_are_followed_as_pyyaml_does() -> None:
    """The mapping's own keys win, then the first merged one."""
    source = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b], y: 3}\nd: {'=': 4, <<: *b}\ne: {=: 5}"
    assert entry(front(source)).metadata == yaml.safe_load(source)


# ---- what is no entry -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("title".encode("utf-16"), 1),
        (codecs.BOM_UTF16_BE + b"\0a", 1),
        ("one\ntwo".encode("utf-16-le"), 1),
        (b"one\ntwo\n\xff\n", 3),
        (codecs.BOM_UTF8 + b"one\n\xe9", 2),
        (b"one\n\0", 2),
        (b"\xed\xa0\x80", 1),
    ],
)
def test_other_encodings_are_problems_with_a_line(source: bytes, line: int) -> None:
    """Text is UTF-8; what is not, says where."""
    problem = fatal(source)
    assert (problem.kind, problem.line) == ("encoding", line)


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        ("title: a\nb\nc: d", 3, "expected ':'"),
        ("title: a: b", 2, "a second ':' in one line: put the value in quotes"),
        ("a: 1\n\tb: 2", 3, "a tab may not indent: use spaces"),
        ("a: 1\nb: 'open\nc: 1", 3, "a quote that is never closed"),
        ("a: [1\nb: 2", 3, "expected ',' or ']': what was opened above is not closed"),
        ("a: @b", 2, "a value may not begin with '@': put it in quotes"),
        ("a: **b**", 2, None),
        ("a: *b", 2, "no such alias: put a value that begins with '*' in quotes"),
        ("a: !b c", 2, "unknown tag '!b'"),
        ("é: 1\nb: \x07", 3, "the control character U+0007 is not allowed in YAML"),
        ("a: 1\n? [b]\n: c", 3, "a key may not be a list or a mapping"),
        ("a: 1\nb: 2024-13-45", 3, "'2024-13-45' is not a date"),
        ("b: 2001-01-01 00:00:00 +99:99", 2, "'2001-01-01 00:00:00 +99:99' is not a date"),
        ("a: 1\nb: !!int x", 3, "'x' is not a number"),
        ("a: 1\nb: !!bool x", 3, "'x' is not true or false"),
        ("a: 1\nb: !!timestamp x", 3, "'x' is not a date"),
        ("a: 1\n--- b", 3, "a second document begins with '---'"),
        ("<<: 3", 2, "'<<' wants a mapping or a list of mappings"),
        ("<<: [3]", 2, "'<<' wants mappings in its list"),
        ('a: "\\ud800"', 2, "found invalid Unicode character escape code"),
        ("a: " + "9" * 5000, 2, "a number of 5000 characters"),
    ],
)
def test_bad_yaml_says_where_in_the_file_and_what(lines: str, line: int, message: str | None) -> None:
    """The line counts in the file, and the sentence is for the person who typed it."""
    problem = fatal(front(lines))
    assert (problem.kind, problem.line) == ("yaml", line)
    assert message is None or problem.message == message


def test_line_of_bad_yaml_counts_what_stands_above_the_front_matter() -> None:
    """Blank lines above and below the opening dashes, and CRLF, are lines of the file."""
    assert fatal(b"\r\n\r\n---\r\n\r\n# x\r\na: b: c\r\n---\r\n").line == 6


@pytest.mark.parametrize("lines", ["- a\n- b", "just text", "42", "2024-01-01"])
def test_front_matter_that_is_no_mapping_is_a_problem(lines: str) -> None:
    """Front matter is keys and values."""
    problem = fatal(front(lines))
    assert (problem.kind, problem.line) == ("front_matter", 2)


@pytest.mark.parametrize(
    "source",
    [
        front("id: x\n<<<<<<< HEAD\ntitle: a\n=======\ntitle: b\n>>>>>>> other"),
        front("id: x\n<<<<<<< HEAD\ntitle: a", "=======\n---\n>>>>>>> other"),
        front("id: x\r\n=======\r\ntitle: b"),
        "<<<<<<< HEAD\n---\nid: x\n---\na\n=======\n---\nid: x\n---\nb\n>>>>>>> other\n",
        "<<<<<<< HEAD\n||||||| base\n=======\n---\nid: x\n---\nb\n>>>>>>> other\n",
    ],
)
def test_conflict_in_the_front_matter_is_no_entry(source: str) -> None:
    """Also where the markers hide the opening dashes: the id must not seem to have changed."""
    assert fatal(source).kind == "conflict"


def test_conflict_in_the_body_is_an_entry_and_a_problem() -> None:
    """The problem names the first marker's line."""
    source = front("id: x", "one\n\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n")
    parsed = parse_entry(source.encode(), "a.md")
    assert parsed.content is not None
    assert parsed.content.explicit_id == "x"
    assert [(problem.kind, problem.line) for problem in parsed.problems] == [("conflict", 6)]


@pytest.mark.parametrize(
    "body",
    [
        "<<<<<<< HEAD\n```py\na\n=======\nb\n>>>>>>> other\n",
        "```py\n<<<<<<< HEAD\na\n```\n=======\nb\n```\n>>>>>>> other\n",
    ],
)
def test_a_conflict_about_a_code_block_is_one(body: str) -> None:
    """Bug: a block that only one side opens, and that ran to the end, hid the last marker."""
    parsed = parse_entry(front("id: x", body).encode(), "a.md")
    assert parsed.content is not None
    assert [problem.kind for problem in parsed.problems] == ["conflict"]


@pytest.mark.parametrize(
    "body",
    [
        "Title\n=======\ntext",
        "<<<<<<< only one",
        "```\n<<<<<<< a\n=======\n>>>>>>> b\n```",
        ">>>>>>> b\n<<<<<<< a\n",
        " <<<<<<< a\n >>>>>>> b",
    ],
)
def test_what_only_looks_like_a_conflict_is_none(body: str) -> None:
    """An underlined heading, one marker, and a conflict shown as code are text."""
    assert entry(front("id: x", body)).explicit_id == "x"


# ---- what is meant to harm --------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 26))
ATTACKS = {
    "deep lists": ("yaml", "[" * 100_000),
    "deep mappings": ("yaml", "{a: " * 50_000),
    "deep dashes": ("yaml", "- " * 50_000 + "a"),
    "deep question marks": ("yaml", "? " * 50_000 + "a"),
    "deep colons": ("yaml", "? a\n" + ": " * 50_000 + "a"),
    "deep indentation": ("yaml", "".join(" " * n + "a:\n" for n in range(600))),
    "aliases that double": ("yaml", LAUGHS),
    "alias of something long": ("yaml", f"a: &a {'x' * 100_000}\nb: [{'*a,' * 2_000}]"),
    "deep chain of aliases": (
        "yaml",
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000)),
    ),
    "cyclic alias": ("yaml", "a: &a [*a]"),
    "cyclic aliases that branch": ("yaml", "a: &a {b: *a, c: [*a, *a]}"),
    "merges that double": ("yaml", MERGES),
    "wide merge": (
        "yaml",
        f"a: &a {{{','.join(f'k{n}: 1' for n in range(2000))}}}\nb: {{<<: [{'*a,' * 3000}]}}",
    ),
    "deep chain of merges, used first": (
        "yaml",
        f"d: [[&a0 {{x: 1}},{','.join(f'&a{n} {{<<: *a{n - 1}}}' for n in range(1, 1500))}]]\n"
        "u: {<<: *a1499}",
    ),
    "number in base 60": ("yaml", "a: 1" + ":1" * 120_000),
    "fraction in base 60": ("yaml", "a: 1" + ":1" * 120_000 + ".5"),
    "hexadecimal number": ("yaml", "a: 0x" + "f" * 200_000),
    "many values": ("yaml", f"a: [{'a,' * 120_000}]"),
    "many lines": ("yaml", "- a: b\n" * 30_000),
    "many directives": ("yaml", "".join(f"%TAG !a{n}! f\n" for n in range(15_000))),
    "long tag": ("yaml", "a: !" + "x" * 200_000 + " b"),
    "10 MB": ("front_matter", "a: b\n" * 2_000_000),
    "10 MB in one line": ("front_matter", "a: " + "é" * 5_000_000),
}


def cpu_s(text: str) -> float:
    """How long this thread computes to read it, in seconds."""
    source = text.encode()
    start_s = time.thread_time()
    parse_entry(source, "a.md")
    return time.thread_time() - start_s


@pytest.mark.parametrize("name", ATTACKS)
def test_front_matter_that_is_meant_to_harm_is_a_problem_at_once(name: str) -> None:
    """No stack overflow (libyaml's composer recurses in C), and no more work than what is honest may make."""
    kind, lines = ATTACKS[name]
    honest = "".join(f"key{number}: [value {number}, other]\n" for number in range(250))
    attack_s, honest_s = [], []
    for turn in range(3):  # in turns: the processor is not always as fast; no text twice, or it is remembered
        attack_s.append(cpu_s(front(f"# {turn}\n{lines}")))
        honest_s.append(cpu_s(front(f"# {name} {turn}\n{honest}")))
    parsed = parse_entry(front(lines).encode(), "a.md")
    assert parsed.content is None
    (problem,) = parsed.problems
    assert problem.kind == kind
    assert len(problem.message) <= 200
    assert problem.line is not None
    # The worst of them takes 6 times as long as the 250 honest lines (10 ms), and a guard left out hundreds.
    assert min(attack_s) < 12 * min(honest_s)


@pytest.mark.parametrize(
    "name", ["deep lists", "deep dashes", "aliases that double", "cyclic alias", "merges that double"]
)
def test_without_libyaml_the_guards_hold_too(name: str) -> None:
    """PyYAML's own parser recurses in Python, which must not end in a traceback either."""
    assert isinstance(parse_yaml(ATTACKS[name][1], PureGuardedLoader), YamlFault)


@pytest.mark.parametrize("text", ['a: "\\ud800"', 'a: "\\Uffffffff"', "a: \x07", "a: b: c"])
def test_without_libyaml_bad_text_is_a_fault_too(text: str) -> None:
    """PyYAML's own scanner lets half a surrogate pair through, which no file or socket takes."""
    assert isinstance(parse_yaml(text, PureGuardedLoader), YamlFault)


def test_honest_depth_and_size_are_read() -> None:
    """What a person may write, and more, is within the bounds."""
    lines = "".join("  " * n + f"k{n}:\n" for n in range(30)) + "  " * 30 + "end: 1\n"
    lines += "flow: " + "[" * 40 + "]" * 40 + "\nlist:\n" + "- item, with a comma\n" * 2_000
    lines += "text: |\n" + "  [a](b), and: more - of it\n" * 2_000
    assert set(entry(front(lines)).metadata) == {"k0", "flow", "list", "text"}


# fmt: off
SCRAPS = st.sampled_from([
    "---\n", "---", "\n", "\r\n", "a: ", "- ", "[", "]", "{", "}", "id: ", "title: ", "tags: ", "x",
    "importance: ", "&a ", "*a", "<<: ", "? ", "|", ":", "!!int ", "!!set ", "!!binary ", "1:1", "2024-13-45",
    ".nan", "'", '"', "# ", "\\ud800", "`",
    "```\n", "[[", "]]", "\ufeff", "\0", "\t", "\u2028", "\x85", "é", "😀",
    "<<<<<<< a\n", "=======\n", ">>>>>>> b\n",
])
# fmt: on


@settings(max_examples=400, deadline=None)
@given(
    data=st.binary(max_size=200)
    | st.lists(SCRAPS, max_size=40).map(lambda scraps: "".join(scraps).encode())
    | st.lists(SCRAPS, max_size=30).map(lambda scraps: front("".join(scraps)).encode()),
    path=st.text(st.characters() | st.characters(categories=["Cs"]), max_size=20).map(
        lambda stem: stem + ".md"
    ),
)
def test_no_bytes_raise_and_every_outcome_is_json(data: bytes, path: str) -> None:
    """A bad file is data, not an exception."""
    parsed = parse_entry(data, path)
    assert parsed.content is not None or parsed.problems
    for problem in parsed.problems:
        assert problem.line is None or 1 <= problem.line <= data.count(b"\n") + 1
        problem.message.encode()
    if parsed.content is not None:
        content = parsed.content
        assert content.derived_id
        json.dumps(content.metadata, allow_nan=False)
        json.dumps([content.title, content.derived_id, content.body], ensure_ascii=False).encode()


# ---- positions --------------------------------------------------------------------------------------------


def test_split_gives_offsets_for_a_lossless_writer() -> None:
    """What lies between the offsets is the lines of the front matter, and the body."""
    text = "\n---\r\nid: x\r\n--- \r\n\r\nbody\r\n\r\n"
    split = split_source(text)
    assert split is not None
    assert text[split.front_start : split.front_end] == "id: x\r\n"
    assert text[split.body_start : split.body_end] == "body"


def test_split_without_a_body_points_behind_the_end() -> None:
    """There a writer may append a body; the last line may lack its end."""
    assert split_source("---\nid: x\n---") == Split(4, 10, 13, 13)


PIECES = st.sampled_from(
    ["---", "---\n", "----", "\n", "\r\n", "\r", " ", "\t", "a", "a: b\n", "\u2028", "\x0b", "-"]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_split_is_python_frontmatters(text: str) -> None:
    """Any text is taken apart as the library does it: front matter, content, or neither."""
    handler = YAMLHandler()
    plain = text.replace("\r\n", "\n").strip()
    expected = None
    if handler.detect(plain):
        try:
            expected = handler.split(plain)
        except ValueError:
            expected = None
    split = split_source(text)
    if split is None:
        assert expected is None
        return
    assert expected is not None
    assert expected[0] == "\n" + text[split.front_start : split.front_end].replace("\r\n", "\n")
    assert expected[1].strip() == text[split.body_start : split.body_end].replace("\r\n", "\n")


# ---- real files -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no real entries here: PYRITE_CORPUS names a folder")
def test_real_entries_are_read_as_python_frontmatter_reads_them() -> None:
    """Every file is an entry, with the library's keys and body; few ids are taken twice."""
    ids: Counter[str] = Counter()
    for file in sorted(CORPUS.rglob("*.md")):
        data = file.read_bytes()
        content = entry(data, file.relative_to(CORPUS).as_posix())
        metadata, body = frontmatter.parse(data.decode())
        assert (set(content.metadata), content.body) == ({str(key) for key in metadata}, body)
        json.dumps(content.metadata, allow_nan=False)
        ids[content.explicit_id or content.derived_id] += 1
    assert sum(ids.values()) > 100
    assert sum(1 for count in ids.values() if count > 1) <= len(ids) // 50
