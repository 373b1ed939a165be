"""Cut a parsed body into its top-level blocks, each of which is written and sanitised by itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it.token import Token

TAG = re.compile(r"<(/?)([A-Za-z][^\s/>]*)")
"""A tag of somebody's own HTML: its slash, and its name."""

# HTML closes these by itself, or they have no end.
_ALONE = frozenset(
    {
        "br", "hr", "img", "input", "wbr", "col", "p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead",
        "tfoot", "colgroup", "option", "rp", "rt",
    }
)  # fmt: skip
_PHRASING = frozenset(
    {
        "a", "abbr", "b", "bdi", "bdo", "br", "cite", "code", "del", "dfn", "em", "i", "img", "ins", "kbd", "mark",  # noqa: E501
        "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr", "input",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Block:
    """Tokens that belong together, and their lines in the source."""

    tokens: Sequence[Token]
    start: int
    end: int

    @property
    def is_footnotes(self) -> bool:
        """Whether it is what markdown-it puts at the end."""
        return self.tokens[0].type == "footnote_block_open"

    @property
    def needs_wrapper(self) -> bool:
        """Whether it may come to more or less than one element, or to one that takes no id."""
        first = self.tokens[0]
        if self.is_footnotes or first.type not in _WITH_ID:
            return True
        pieces = [
            child.content
            for token in self.tokens
            for child in (token, *(token.children or ()))
            if child.type in ("html_block", "html_inline")
        ]
        opened: Counter[str] = Counter()
        for piece in pieces:
            _count(piece, opened)
        # What is not closed in it, a parser opens once more behind it.
        return bool(opened) or any(
            name.lower() not in _PHRASING for piece in pieces for _, name in TAG.findall(piece)
        )


_WITH_ID = frozenset(
    {
        "paragraph_open",
        "heading_open",
        "bullet_list_open",
        "ordered_list_open",
        "blockquote_open",
        "table_open",
        "hr",
    }
)


def blocks_of(tokens: Sequence[Token]) -> Iterator[Block]:
    """Give the blocks in order. HTML that is opened in one and closed in a later one holds them together."""
    part: list[Token] = []
    start = end = depth = 0
    opened: Counter[str] = Counter()
    for token in tokens:
        if not part:
            start = token.map[0] if token.map else end
        part.append(token)
        depth += token.nesting
        if token.map:
            end = max(end, token.map[1])
        if token.type == "html_block":
            _count(token.content, opened)
        if depth == 0 and not opened:
            yield Block(part, start, end)
            part = []
    if part:
        yield Block(part, start, end)


def _count(html: str, opened: Counter[str]) -> None:
    for close, written in TAG.findall(html):
        name = written.lower()
        if name in _ALONE:
            continue
        if not close:
            opened[name] += 1
        elif opened[name] > 1:
            opened[name] -= 1
        else:
            del opened[name]
