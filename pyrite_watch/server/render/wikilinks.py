"""`[[kb:target#heading|text]]` and `![[…]]` as an inline rule of markdown-it. Code is never asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

_WIKILINK = re.compile(r"(!?)\[\[([^\[\]\n]{1,1000})\]\]")


@dataclass(frozen=True, slots=True)
class WikiLink:
    """As written. `target` may be empty: then the heading is one of the entry's own."""

    kb_name: str
    target: str
    heading: str
    text: str
    embed: bool

    @property
    def shown(self) -> str:
        """What the link says."""
        if self.text:
            return self.text
        return " › ".join(part for part in (self.target, self.heading) if part)


def parse_wikilink(inner: str, embed: bool) -> WikiLink | None:
    """Read what stands between the brackets; None where it names nothing."""
    whole, _, text = inner.partition("|")
    # In a table the bar is escaped.
    target, _, heading = whole.removesuffix("\\").partition("#")
    kb_name, colon, rest = target.partition(":")
    if not colon:
        kb_name, rest = "", target
    link = WikiLink(kb_name.strip(), rest.strip(), heading.strip(), text.strip(), embed)
    return link if link.target or (link.heading and not colon) else None


def add_wikilinks(md: MarkdownIt) -> None:
    """Make a token `wikilink` of each; `meta["link"]` has what it says."""
    md.inline.ruler.before("link", "wikilink", _rule)


def _rule(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "[!":
        return False
    match = _WIKILINK.match(state.src, state.pos, state.posMax)
    link = parse_wikilink(match[2], bool(match[1])) if match else None
    if match is None or link is None:
        return False
    if not silent:
        token = state.push("wikilink", "", 0)
        token.content = match[0]
        token.meta["link"] = link
        token.meta["within"] = state.linkLevel > 0
    state.pos = match.end()
    return True
