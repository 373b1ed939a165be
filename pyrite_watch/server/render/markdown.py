"""markdown-it as we use it: which rules, and how what is ours is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.tasklists import tasklists_plugin

from pyrite_watch.server.render.limits import add_limits
from pyrite_watch.server.render.wikilinks import add_wikilinks


def _make() -> MarkdownIt:
    md = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    footnote_plugin(md)
    tasklists_plugin(md)
    add_wikilinks(md)
    add_limits(md)
    md.core.ruler.push("note_headings", _note_headings)
    md.validateLink = lambda url: True  # type: ignore[method-assign]  # sanitised with everything else
    renderer = md.renderer
    assert isinstance(renderer, RendererHTML)
    for name, rule in (
        ("wikilink", _wikilink),
        ("fence", _fence),
        ("footnote_ref", _footnote_ref),
        ("footnote_block_open", lambda tokens, at: "<ol>"),
        ("footnote_block_close", lambda tokens, at: "</ol>"),
        ("footnote_open", _footnote_open),
        ("footnote_close", lambda tokens, at: "</li>"),
        ("footnote_anchor", _footnote_anchor),
    ):
        renderer.rules[name] = _as_rule(rule)  # type: ignore[assignment]
    renderer.rules["heading_open"] = _heading_open  # type: ignore[assignment]
    return md


def _as_rule(write: Callable[[Sequence[Token], int], str]) -> Callable[..., str]:
    def rule(tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return write(tokens, at)

    return rule


def _note_headings(state: StateCore) -> None:
    for before, token in zip(state.tokens, state.tokens[1:], strict=False):
        if before.type == "heading_open" and token.type == "inline":
            token.meta["heading"] = _text_of(token.children or ()) or token.content


def _text_of(tokens: Sequence[Token]) -> str:
    parts = []
    for token in tokens:
        if token.type in ("text", "code_inline"):
            parts.append(token.content)
        elif token.type == "wikilink":
            parts.append(token.meta["link"].shown)
    return "".join(parts)


def _wikilink(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].content


def _heading_open(tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
    # The heading itself may have the id of its block.
    opened = RendererHTML.renderToken(_PLAIN, tokens, at, options, env)
    anchor = tokens[at + 1].meta.get("anchor")
    return f'{opened}<span id="{escape(anchor)}"></span>' if anchor else opened


def _fence(tokens: Sequence[Token], at: int) -> str:
    token = tokens[at]
    language = f' class="{escape(token.meta["language"])}"' if "language" in token.meta else ""
    return f"<pre><code{language}>{escape(token.content, quote=False)}</code></pre>\n"


def _footnote_ref(tokens: Sequence[Token], at: int) -> str:
    number, again, own = _footnote(tokens[at])
    return f'<sup><a href="{own(f"#fn-{number}")}" id="{own(f"fnref-{number}{again}")}">{number}</a></sup>'


def _footnote_open(tokens: Sequence[Token], at: int) -> str:
    number, _, own = _footnote(tokens[at])
    return f'<li id="{own(f"fn-{number}")}">'


def _footnote_anchor(tokens: Sequence[Token], at: int) -> str:
    number, again, own = _footnote(tokens[at])
    return f' <a href="{own(f"#fnref-{number}{again}")}" title="Back to the text">↩</a>'


def _footnote(token: Token) -> tuple[int, str, Callable[[str], str]]:
    """Number, what tells a second mention from the first, and how our attributes are marked."""
    meta = token.meta
    return meta["id"] + 1, f"-{meta['subId'] + 1}" if meta.get("subId") else "", meta["own"]


_PLAIN = RendererHTML()
MARKDOWN = _make()
