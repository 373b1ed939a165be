"""Wikilinks and headings, and where they are code."""

from __future__ import annotations

import time

import pytest

from pyrite_watch.disk.links import first_heading, parse_links, strip_fences
from pyrite_watch.model.entry import Link


@pytest.mark.parametrize(
    ("written", "link"),
    [
        ("[[id]]", Link("id")),
        ("[[ id ]]", Link("id")),
        ("[[kb:id]]", Link("id", "kb")),
        ("[[ kb : id ]]", Link("id", "kb")),
        ("[[a:b:c]]", Link("b:c", "a")),
        ("[[:id]]", Link("id")),
        ("[[id|shown text]]", Link("id")),
        ("[[kb:id|a:b]]", Link("id", "kb")),
        ("[[id#heading]]", Link("id")),
        ("[[id#a:b|text]]", Link("id")),
        ("![[id]]", Link("id")),
        ("[[[id]]]", Link("id")),
        ("| [[id\\|text]] |", Link("id")),
        ("[[two words é]]", Link("two words é")),
    ],
)
def test_each_spelling_of_a_link_is_read(written: str, link: Link) -> None:
    """KB, target, heading and text are told apart."""
    assert parse_links(f"see {written}.", "a.md") == (link,)


@pytest.mark.parametrize(
    "written", ["[[]]", "[[ ]]", "[[#heading]]", "[[kb:]]", "[[|text]]", "[[a\nb]]", "\\[[a]]", "[a]"]
)
def test_what_names_no_entry_is_no_link(written: str) -> None:
    """An empty target, a heading of the page itself, a line break, and an escaped bracket."""
    assert parse_links(f"see {written}.", "a.md") == ()


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("[x](b.md)", "/sub/b.md"),
        ("[x](./b.md)", "/sub/b.md"),
        ("[x](../b.md)", "/b.md"),
        ("[x](/b.md)", "/b.md"),
        ("[x](deep/b.md#part)", "/sub/deep/b.md"),
        ('[x](b.md "A title")', "/sub/b.md"),
        ("[x](b.md 'A title')", "/sub/b.md"),
        ("[x]( b.md )", "/sub/b.md"),
        ("[x](<two words.md>)", "/sub/two words.md"),
        ("[x](two%20words.md)", "/sub/two words.md"),
        ("[x](b_(2024).md)", "/sub/b_(2024).md"),
        ("[a `code` and [brackets]](b.md)", "/sub/b.md"),
        ("[x][there]\n\n[there]: b.md 'A title'", "/sub/b.md"),
        ("[x][there]\n\n   [there]: <two words.md>", "/sub/two words.md"),
    ],
)
def test_a_link_to_a_file_is_its_path_from_the_root(written: str, path: str) -> None:
    """Markdown's own links, as they are relative to the entry's folder."""
    assert parse_links(f"see {written}", "sub/a.md") == (Link(path),)


@pytest.mark.parametrize(
    "written",
    [
        "[x](b.txt)",
        "[x](https://example.org/b.md)",
        "[x](//example.org/b.md)",
        "[x](mailto:a@b.md)",
        "[x](../../b.md)",
        "[x](#b.md)",
        "`[x](b.md)`",
        "\n```\n[x](b.md)\n```",
        "[x] (b.md)",
        "[x](\nb.md)",
        "(b.md)",
        "[x](b%00.md)",
    ],
)
def test_what_leads_to_no_file_of_the_kb_is_no_link(written: str) -> None:
    """Elsewhere, above the root, code, another kind of file."""
    assert parse_links(f"see {written}", "sub/a.md") == ()


def test_both_kinds_of_links_are_in_the_order_of_the_text() -> None:
    """Each counts once, where it was first."""
    body = "[one](b.md) [[c]] [two](d.md) [three](b.md) [[c]]"
    assert parse_links(body, "a.md") == (Link("/b.md"), Link("c"), Link("/d.md"))


def test_links_are_distinct_and_in_order() -> None:
    """A target that is linked twice counts once, where it was first."""
    body = "[[b]] [[a]] [[b|again]]\n\n[[kb:a]] [[a#x]]"
    assert parse_links(body, "a.md") == (Link("b"), Link("a"), Link("a", "kb"))


@pytest.mark.parametrize(
    "body",
    [
        "```\n[[x]]\n```",
        "```python\n[[x]]\n````",
        "~~~\n[[x]]\n```\n[[x]]\n~~~",
        "````\n```\n[[x]]\n```\n````",
        "- item\n\n    ```\n    [[x]]\n    ```",
        "- ```\n  [[x]]\n  ```",
        "```\n- ```\n[[x]]\n```",
        "> ```\n> [[x]]\n> ```",
        "```\nnever closed\n\n[[x]]",
        "`[[x]]`",
        "``a ` [[x]] ` b``",
        "`one\n[[x]] line on`",
        "text `[[x]]` and `[[x]]`.",
    ],
)
def test_links_in_code_are_none(body: str) -> None:
    """Fences of either kind, wherever they stand, and code spans of any length."""
    assert parse_links(body, "a.md") == ()


@pytest.mark.parametrize(
    "body",
    [
        "```\ncode\n```\n[[x]]",
        "~~~ a`b\ncode\n~~~\n[[x]]",
        "``` not a fence ```\n[[x]]",
        "a stray ` and [[x]]",
        "a stray ` here\n\n[[x]] and ` there",
        "- a stray ` here\n- [[x]] and ` there",
        "\\`[[x]]\\`",
        "`` ` `` [[x]] ` ``",
        "`a\\` [[x]] `b`",
        "> ```\n> code\n> ```\n[[x]]",
    ],
)
def test_links_beside_code_are_found(body: str) -> None:
    """Code ends where Markdown ends it, and a lone backtick begins none."""
    assert parse_links(body, "a.md") == (Link("x"),)


def test_body_without_fences_is_left_alone() -> None:
    """Nothing is copied or changed where there is nothing to cut."""
    body = "a `b` c"
    assert strip_fences(body) is body


@pytest.mark.parametrize(
    ("body", "heading"),
    [
        ("# One\n# Two", "One"),
        ("text\n\n  #\tOne ##  ", "One"),
        ("## Two\n\n# C#", "C#"),
        ("```\n# code\n```\n# Real", "Real"),
        ("#hashtag\n#\n# \n# One", "One"),
        ("no heading # here", None),
        ("", None),
    ],
)
def test_first_heading_is_the_title_of_last_resort(body: str, heading: str | None) -> None:
    """Only a first-level heading outside code."""
    assert first_heading(body) == heading


LONG = {
    "brackets": "[" * 1_000_000,
    "backticks": "`" * 1_000_000,
    "open links": "[[a" * 300_000,
    "code spans": "` `` " * 200_000 + "[[x]]",
    "fences in one line": "``` " * 250_000 + "[[x]]",
    "fences": "\n```" * 250_000 + "[[x]]",
    "blanks": " " * 1_000_000 + "[[`",
    "heading of blanks": "# " + " #" * 500_000,
    "backslashes": "\\" * 1_000_000 + "`[[x]]`",
    "paragraphs": "\n\n`[[x]]" * 100_000,
    "round brackets": ".md](" * 200_000,
    "round brackets in pairs": ".md](a(b)" * 110_000,
    "a path without an end": ".md](" + "a" * 1_000_000,
    "definitions": "\n[a" * 250_000 + ".md]:",
    "angle brackets": ".md](<a" * 140_000,
    "quotes": ">" * 1_000_000 + "[[```",
}


@pytest.mark.parametrize("name", LONG)
def test_time_is_linear_whatever_the_body(name: str) -> None:
    """1 MB takes at most 0.6 s here; what is quadratic takes an hour."""
    start_s = time.thread_time()
    parse_links(LONG[name], "a.md")
    first_heading(LONG[name])
    assert time.thread_time() - start_s < 10
