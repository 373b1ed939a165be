"""`web/diff.js` and `web/texts.js`, which are pure, run by Node without a browser."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from typing import Any

import pytest
from harness.isolation import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st

WEB = REPOSITORY / "pyrite_watch" / "web"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None, reason="Node is not installed: the same modules run in the browser's tests"
)

Segments = list[dict[str, str]]


def run(module: str, script: str, given_values: Any) -> Any:
    """Run a script with a module's exports as `m` and a value as `given`; return what it returns."""
    source = (
        f"import * as m from {json.dumps((WEB / module).as_uri())};"
        "import { readFileSync, writeFileSync } from 'node:fs';"
        "const given = JSON.parse(readFileSync(0, 'utf8'));"
        f"const result = (() => {{ {script} }})();"
        "writeFileSync(1, JSON.stringify(result));"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", source],
        input=json.dumps(given_values),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def diffs(pairs: list[tuple[str, str]], how: str) -> list[Segments]:
    """The differences of many pairs in one run."""
    found: list[Segments] = run("diff.js", f"return given.map(([a, b]) => m.{how}(a, b));", pairs)
    return found


def joined(segments: Segments, *kinds: str) -> str:
    """The text of some kinds of segments."""
    return "".join(segment["text"] for segment in segments if segment["kind"] in kinds)


def check(a: str, b: str, segments: Segments) -> None:
    """A difference gives both texts back, and its neighbours are of different kinds."""
    assert joined(segments, "same", "removed") == a
    assert joined(segments, "same", "added") == b
    kinds = [segment["kind"] for segment in segments]
    assert all(one != other for one, other in itertools.pairwise(kinds)), segments
    assert all(segment["text"] for segment in segments)


words = st.text(alphabet="ab \n\r", max_size=40)
anything = st.text(max_size=20)


@pytest.mark.parametrize("how", ["diffLines", "diffWords"])
@settings(max_examples=4, deadline=None)
@given(pairs=st.lists(st.tuples(words, words) | st.tuples(anything, anything), min_size=200, max_size=200))
def test_a_difference_gives_both_texts_back(how: str, pairs: list[tuple[str, str]]) -> None:
    """Same and removed are the first text, same and added the second, whatever the texts are."""
    for (a, b), segments in zip(pairs, diffs(pairs, how), strict=True):
        check(a, b, segments)


def test_the_difference_is_as_small_as_a_reader_expects() -> None:
    """A changed word is one word, a changed line one line; what was removed comes first."""
    word, line, inserted, equal, nothing = (
        *diffs([("The quick brown fox", "The slow brown fox!")], "diffWords"),
        *diffs(
            [("one\ntwo\nthree\n", "one\n2\nthree\n"), ("a\nb\na\nb\n", "a\nb\nnew\na\nb\n")], "diffLines"
        ),
        *diffs([("same\n", "same\n"), ("", "")], "diffLines"),
    )
    assert [(part["kind"], part["text"]) for part in word] == [
        ("same", "The "),
        ("removed", "quick"),
        ("added", "slow"),
        ("same", " brown fox"),
        ("added", "!"),
    ]
    assert [(part["kind"], part["text"]) for part in line] == [
        ("same", "one\n"),
        ("removed", "two\n"),
        ("added", "2\n"),
        ("same", "three\n"),
    ]
    assert joined(inserted, "added") == "new\n"
    assert joined(inserted, "removed") == ""
    assert [part["kind"] for part in equal] == ["same"]
    assert nothing == []


def test_many_changes_in_a_long_text_stay_apart() -> None:
    """Each tenth of 20,000 lines changed: just those lines differ, as the others anchor them."""
    before = [f"line {number}\n" for number in range(20_000)]
    after = [f"LINE {at}\n" if at % 10 == 0 else line for at, line in enumerate(before)]
    (segments,) = diffs([("".join(before), "".join(after))], "diffLines")
    check("".join(before), "".join(after), segments)
    assert joined(segments, "added").count("\n") == 2_000


def test_two_large_texts_cannot_freeze_the_page() -> None:
    """2 MB against 2 MB without anchors, by lines and by words: bounded work, and still both texts."""
    script = """
    const lines = (make) => Array.from({length: 300000}, (_, at) => make(at)).join("\\n");
    const make = (factor, modulus) => lines((at) => `l${at * factor % modulus}`);
    const [a, b] = [make(7919, 613), make(104729, 617)];
    return ["diffLines", "diffWords"].map((how) => {
      const start = process.cpuUsage();
      const parts = m[how](a, b);
      const took = process.cpuUsage(start).user / 1_000;
      const text = (...kinds) =>
        parts.filter(({kind}) => kinds.includes(kind)).map(({text}) => text).join("");
      return [took, text("same", "removed") === a && text("same", "added") === b];
    });
    """
    for took_ms, is_right in run("diff.js", script, None):
        assert is_right
        assert took_ms < 5_000  # some 200 ms on an idle machine; without the bound minutes


@pytest.mark.parametrize(
    ("raw", "typed", "sent"),
    [
        ("a\nb", "a\nc", "a\nc"),
        ("a\r\nb\r\nc", "a\nb\nc", "a\r\nb\r\nc"),
        ("a\r\nb\r\nc", "a\nnew\nb\nc", "a\r\nnew\nb\r\nc"),
        ("a\rb\r\nc\nd", "a\nb\nc\nD", "a\rb\r\nc\nD"),
        ("a\rb", "", ""),
        ("\r", "\n", "\r"),
        ("a\r", "a\n!", "a\r!"),
    ],
)
def test_typed_lines_get_their_ends_back(raw: str, typed: str, sent: str) -> None:
    """Lines that stay keep their line end; new ones get the plain one."""
    assert run("texts.js", "return m.withLineEnds(given[0], given[1]);", [raw, typed]) == sent


@settings(max_examples=5, deadline=None)
@given(raws=st.lists(st.text(alphabet="ab\r\n", max_size=30), min_size=200, max_size=200))
def test_a_text_that_was_not_touched_is_sent_as_it_was(raws: list[str]) -> None:
    """What a text area makes of a text, sent back unchanged, is the text."""
    assert run("texts.js", "return given.map((raw) => m.withLineEnds(raw, m.asTyped(raw)));", raws) == raws


def test_the_caret_stays_in_its_word() -> None:
    """A place before a change stays, one behind it moves along, one within goes no further than its end."""
    script = "return given.map(([from, to, place]) => m.movedPlace(from, to, place));"
    cases = [
        ("abc", "xabc", 2),
        ("abc", "abcx", 2),
        ("a old b", "a newer b", 6),
        ("long text", "x", 9),
        ("a\nb\nc", "1\na\nb\nd", 2),
    ]
    assert run("texts.js", script, cases) == [3, 2, 8, 1, 4]
