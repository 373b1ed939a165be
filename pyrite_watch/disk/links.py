"""Links and headings of a Markdown body, code left out.

Pure, and linear in the body's length whatever it holds: each expression reads a line or a paragraph once.
It reads as much Markdown as that needs and no more: an HTML comment or an indented code block is text here.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

from pyrite_watch.model.entry import Link

# Fences may stand in a quote or be the first thing in a list item. A leading "\n" instead of `^` lets `re`
# skip from line to line by memchr.
_FENCE_LINE = re.compile(r"\n([ \t>]*)((?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}|~{3,})([^\n]*)")
_LINK = re.compile(r"(?<!\\)\[\[([^\[\]\n]+)\]\]")
# `[text](path "title")`, or `[name]: path` on a line of its own; a path with spaces stands in angle brackets,
# and one pair of round ones may be in it. Bounded, as every `](` is a beginning.
_PATH = r"(?:<([^<>\n]{1,1000})>|((?:[^\s()<>]|\([^\s()<>]{0,200}\)){1,1000}))"
_MARKDOWN_LINK = re.compile(rf"\]\([ \t]*{_PATH}|\n {{0,3}}\[[^\[\]\n]{{1,200}}\]:[ \t]*{_PATH}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_BACKTICKS = re.compile(r"`+")
# A code span ends with its block: at a blank line, list item, heading or table row.
_BLOCK = re.compile(r"\n(?=[ \t]*(?:\n|[-*+][ \t]|\d{1,9}[.)][ \t]|#|\|))")
_HEADING = re.compile(r"\n {0,3}#[ \t]+([^\n]+)")
_HEADING_CLOSE = re.compile(r"(?:^|[ \t])#+$")


def parse_links(body: str, path: str) -> tuple[Link, ...]:
    """Collect each distinct link to an entry in order of appearance, those in code left out.

    These are `[[kb:target#heading|text]]`, and Markdown's own to a file `.md`, whose target is then its path
    from the KB's root, with a `/` before it.

    Args:
        path: The entry's, for what is relative to it.
    """
    if not _may_link(body):
        return ()
    links: dict[Link, None] = {}
    # Most paragraphs hold no link, and need no look at their backticks.
    for paragraph in strip_fences(body).split("\n\n"):
        if not _may_link(paragraph):
            continue
        blocks = _BLOCK.split(paragraph) if "`" in paragraph else [paragraph]
        for block in blocks:
            if not _may_link(block):
                continue
            text = "\n" + (_strip_code_spans(block) if "`" in block else block)
            found = [(match.start(), _parse_link(match[1])) for match in _LINK.finditer(text)]
            if ".md" in text:
                found += [
                    (match.start(), _link_to_file(match[match.lastindex or 0], path))
                    for match in _MARKDOWN_LINK.finditer(text)
                ]
                found.sort(key=lambda pair: pair[0])
            links.update((link, None) for _, link in found if link is not None)
    return tuple(links)


def _may_link(text: str) -> bool:
    return "[[" in text or (".md" in text and ("](" in text or "]:" in text))


def _link_to_file(href: str, base_path: str) -> Link | None:
    found = path_of(href, base_path)
    return Link(f"/{found[0]}") if found is not None and found[0].lower().endswith(".md") else None


def _parse_link(inner: str) -> Link | None:
    # In a table the bar is escaped: `[[target\|text]]`.
    target = inner.partition("|")[0].removesuffix("\\").partition("#")[0]
    kb_name, colon, rest = target.partition(":")
    if not colon:
        kb_name, rest = "", target
    rest = rest.strip()
    return Link(rest, kb_name.strip() or None) if rest else None


def path_of(href: str, base_path: str) -> tuple[str, str] | None:
    """Return the path in the KB and the fragment of a relative link; None where it is none.

    Args:
        href: As written, percent-encoded or not. One that begins with `/` is meant from the KB's root.
        base_path: The path of the entry in which it stands.
    """
    if _SCHEME.match(href) or href.startswith(("//", "\\", "#")):
        return None
    before, _, fragment = href.partition("#")
    path = unquote(before.partition("?")[0])
    if not path or "\0" in path or "\\" in path:
        return None
    if not path.startswith("/"):
        path = posixpath.join(posixpath.dirname(base_path), path)
    path = posixpath.normpath(path.lstrip("/"))
    if path in (".", "..") or path.startswith("../"):
        return None
    return path, unquote(fragment)


def name_of(target: str) -> str:
    """Give what an entry that a link misses would be called: of a path, the file's stem."""
    return target.rpartition("/")[2].removesuffix(".md") if target.startswith("/") else target


def first_heading(body: str) -> str | None:
    """Return the text of the first `# heading` outside code fences."""
    if "# " not in body and "#\t" not in body:
        return None
    for match in _HEADING.finditer("\n" + strip_fences(body)):
        # rstrip first: `[ \t]+#+[ \t]*$` in one expression would be quadratic in a line of blanks.
        text = match[1].strip()
        close = _HEADING_CLOSE.search(text[-256:])
        if close:
            text = text[: len(text) - len(close[0])].rstrip()
        if text:
            return text
    return None


def strip_fences(body: str) -> str:
    """Cut out fenced code blocks; one that is never closed runs to the end."""
    if "```" not in body and "~~~" not in body:
        return body
    text = "\n" + body
    kept: list[str] = []
    start = 0
    fence = ""
    quoted = False
    for match in _FENCE_LINE.finditer(text):
        prefix, item, run, info = match.groups()
        if not fence:
            if run[0] == "`" and "`" in info:
                continue  # a code span that begins with three backticks
            kept.append(text[start : match.start()])
            fence, quoted = run, ">" in prefix
        elif run[0] == fence[0] and len(run) >= len(fence) and not item and not info.strip():
            if ">" in prefix and not quoted:
                continue  # a quote's line within a block that is not quoted is code
            fence, start = "", match.end()
            kept.append("\n")
    if not fence:
        kept.append(text[start:])
    return "".join(kept)[1:]


def has_fence(text: str) -> bool:
    """Whether a line of it opens or closes a code block."""
    return _FENCE_LINE.search("\n" + text) is not None


def _strip_code_spans(block: str) -> str:
    """Replace each code span with a line break, which no link crosses."""
    runs = [(match.start(), match.end()) for match in _BACKTICKS.finditer(block)]
    closes: list[int | None] = [None] * len(runs)
    opens: list[int] = [0] * len(runs)
    next_of_length: dict[int, int] = {}
    for number in range(len(runs) - 1, -1, -1):
        start, end = runs[number]
        # Escaped, the first backtick is text; that matters to an opening run only.
        before = block[max(0, start - 64) : start]
        escaped = (len(before) - len(before.rstrip("\\"))) % 2
        opens[number] = end - start - escaped
        closes[number] = next_of_length.get(opens[number])
        next_of_length[end - start] = number
    kept: list[str] = []
    position = number = 0
    while number < len(runs):
        close = closes[number]
        if close is None:
            number += 1
            continue
        kept.append(block[position : runs[number][1] - opens[number]])
        position = runs[close][1]
        number = close + 1
    kept.append(block[position:])
    return "\n".join(kept)
