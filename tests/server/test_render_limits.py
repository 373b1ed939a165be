"""What is large, deep or slow to render, and real texts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pyrite_watch.disk.parse import parse_entry
from pyrite_watch.server.render import parse_document
from pyrite_watch.server.render.limits import Budget

HARD = {
    "2 MB of paragraphs": "A line of text with [[a link]] and *emphasis*.\n\n" * 45_000,
    "one line of 2 MB": "word " * 400_000,
    "10,000 headings": "\n\n".join(f"# heading {number}" for number in range(10_000)),
    "10,000 equal headings": "# same\n\n" * 10_000,
    "quotes": ">" * 50_000 + " x",
    "lists": "".join("  " * depth + "- x\n" for depth in range(1_000)),
    "brackets": "[" * 100_000,
    "pairs of brackets": "[" * 20_000 + "]" * 20_000,
    "links in links": "[" * 2_000 + "x" + "](y)" * 2_000,
    "pictures": "![" * 50_000,
    "wikilinks": "[[a" * 100_000,
    "emphasis": "*a **b " * 50_000,
    "underscores": "_" * 100_000 + "a",
    "backticks": "` `` " * 50_000,
    "tags": "<div>" * 50_000,
    "tags in lines": "<div>\n\n" * 20_000,
    "formatting tags": "".join(f"<b a={number}>" for number in range(5_000)) + "<p>x\n" * 5_000,
    "comments": "<!--" * 50_000,
    "angles": "<" * 100_000,
    "entities": "&" * 200_000,
    "table": "|" + "a|" * 5_000 + "\n|" + "-|" * 5_000 + "\n" + ("|" + "a|" * 5_000 + "\n") * 20,
    "footnotes": "".join(f"[^{number}] " for number in range(5_000)) + "\n\n"
    + "".join(f"[^{number}]: x\n\n" for number in range(5_000)),
    "definitions": "".join(f"[{number}]: y\n" for number in range(20_000)),
    "backslashes": "\\" * 500_000,
    "tildes": "~~a " * 50_000,
}  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", HARD)
def test_time_is_bounded_whatever_the_body(name: str) -> None:
    """Two seconds of parsing and not much more: else the text comes as it is written, with a note."""
    start_s = time.thread_time()
    html = parse_document("notes", "x.md", HARD[name]).html()
    assert time.thread_time() - start_s < 12
    assert html or name == "definitions"  # they show nothing


@pytest.mark.parametrize(
    "body", [">" * 200 + " deep", "<div>" * 200, "".join("  " * n + "- x\n" for n in range(99))]
)
def test_what_is_nested_too_deeply_loses_no_text(body: str) -> None:
    """markdown-it would leave out what is below its limit."""
    html = parse_document("notes", "x.md", body).html()
    assert html.startswith('<p id="b-note">')
    assert "nested too deeply" in html
    assert body.replace("<", "&lt;").replace(">", "&gt;") in html


def test_what_takes_too_long_is_shown_as_it_is_written() -> None:
    """And says so."""
    html = parse_document("notes", "x.md", "*a* <b> " * 1_000, Budget(0)).html()
    assert "too long" in html
    assert '<pre id="b-text">*a* &lt;b&gt; ' in html


def test_every_text_of_the_real_corpus_renders() -> None:
    """Each with a sequence of blocks that have ids."""
    corpus = Path(os.environ.get("PYRITE_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
    if not corpus.is_dir():
        pytest.skip(f"the corpus is not at {corpus} (PYRITE_CORPUS)")
    count = 0
    for file in corpus.rglob("*.md"):
        path = file.relative_to(corpus).as_posix()
        content = parse_entry(file.read_bytes(), path).content
        if content is not None:
            html = parse_document("corpus", path, content.body).html()
            assert "b-note" not in html, path
            assert bool(html) == bool(content.body.strip()), path
            count += 1
    assert count > 500
