"""One body: parsed first, so that its links can be looked up all at once; then written as HTML."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from markdown_it.token import Token

from pyrite_watch.disk.links import name_of, path_of
from pyrite_watch.server.render.blocks import Block, blocks_of
from pyrite_watch.server.render.limits import Budget, TooHardError, check_tags
from pyrite_watch.server.render.markdown import MARKDOWN
from pyrite_watch.server.render.sanitise import Sanitiser
from pyrite_watch.server.render.targets import (
    LinkTarget,
    Resolved,
    anchor_of,
    entry_address,
    file_address,
    is_abroad,
    is_image,
)
from pyrite_watch.server.render.wikilinks import WikiLink

NO_RESOLVED: Mapping[LinkTarget, Resolved] = {}


class Document:
    """A parsed body. `targets` are what its links name, to be resolved before `html`.

    Used by one thread, once: `html` changes the tokens.
    """

    def __init__(
        self, kb_name: str, path: str, body: str, tokens: Sequence[Token], budget: Budget, why_not: str = ""
    ) -> None:
        self._budget = budget
        self._kb_name = kb_name
        self._path = path
        self._body = body
        self._tokens = tokens
        self._why_not = why_not
        self.targets = tuple(dict.fromkeys(self._find_targets()))

    def _find_targets(self) -> list[LinkTarget]:
        found = []
        for token in _walk(self._tokens):
            target = self._target_of(token)
            if target is not None:
                found.append(target)
        return found

    def _target_of(self, token: Token) -> LinkTarget | None:
        if token.type == "wikilink":
            link: WikiLink = token.meta["link"]
            return LinkTarget(link.kb_name or self._kb_name, link.target) if link.target else None
        if token.type == "link_open":
            found = path_of(str(token.attrGet("href") or ""), self._path)
            if found is not None and found[0].lower().endswith(".md"):
                return LinkTarget(self._kb_name, f"/{found[0]}")
        return None

    def html(self, resolved: Mapping[LinkTarget, Resolved] = NO_RESOLVED) -> str:
        """Write it: a sequence of top-level elements, each with an id, sanitised."""
        if self._why_not:
            return _as_text(self._body, self._why_not)
        try:
            return self._write(resolved)
        except TooHardError as error:
            return _as_text(self._body, error.why)

    def _write(self, resolved: Mapping[LinkTarget, Resolved]) -> str:
        sanitiser = Sanitiser(self._address_of)
        self._own(sanitiser, resolved)
        lines = self._body.split("\n")
        counts: Counter[str] = Counter()
        parts = []
        for block in blocks_of(self._tokens):
            self._budget.check(len(block.tokens))
            block_id = _id_of(block, lines, counts)
            parts.append(_write(block, block_id, sanitiser))
        return "\n".join(parts)

    def _own(self, sanitiser: Sanitiser, resolved: Mapping[LinkTarget, Resolved]) -> None:
        """Give each token its own attributes, with the mark."""
        anchors: Counter[str] = Counter()
        for token in _walk(self._tokens):
            self._budget.check()
            for name in ("class", "id"):
                value = token.attrGet(name)
                if value is not None:
                    token.attrSet(name, sanitiser.own(str(value)))
            style = token.attrs.pop("style", None)  # of a table's column; our policy knows no inline style
            if style is not None:
                token.attrSet("align", str(style).partition(":")[2])
            if token.type == "wikilink":
                token.content = self._wikilink(token, sanitiser, resolved)
            elif token.type == "link_open":
                self._link(token, sanitiser, resolved)
            elif token.type == "image":
                token.attrSet("src", self._picture(str(token.attrGet("src") or "")))
            elif token.type == "fence":
                # White space in it would be a class of the file's own making.
                if language := _LANGUAGE.match(token.info.strip()):
                    token.meta["language"] = sanitiser.own(f"language-{language[0]}")
            elif token.type == "inline" and token.meta.get("heading"):
                token.meta["anchor"] = sanitiser.own(_unused(anchor_of(token.meta["heading"]), anchors))
            elif token.type.startswith("footnote"):
                token.meta["own"] = sanitiser.own

    def _wikilink(self, token: Token, sanitiser: Sanitiser, resolved: Mapping[LinkTarget, Resolved]) -> str:
        link: WikiLink = token.meta["link"]
        shown = escape(link.shown)
        if token.meta["within"]:
            return shown
        own = sanitiser.own
        if not link.target:
            return f'<a href="{escape(own("#" + anchor_of(link.heading)))}">{shown}</a>'
        if link.embed and is_image(link.target):
            found = path_of(link.target, self._path)
            if found is not None:
                address = own(file_address(link.kb_name or self._kb_name, found[0]))
                width = f' width="{link.text}"' if link.text.isdecimal() else ""
                alt = "" if width else shown
                return f'<img src="{escape(address)}" alt="{alt}"{width}>'
        target = LinkTarget(link.kb_name or self._kb_name, link.target)
        attributes = self._entry_attributes(target, link.heading, resolved, sanitiser)
        written = " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())
        return f"<a {written}>{shown}</a>"

    def _entry_attributes(
        self,
        target: LinkTarget,
        heading: str,
        resolved: Mapping[LinkTarget, Resolved],
        sanitiser: Sanitiser,
    ) -> dict[str, str]:
        own = sanitiser.own
        found = resolved.get(target)
        if found is None:
            entry_id = name_of(target.name)
            kb_name, css = target.kb_name, "wikilink missing"
        else:
            kb_name, entry_id, css = found.kb_name, found.entry_id, "wikilink"
        attributes = {
            "class": own(css),
            "data-kb": own(kb_name),
            "data-id": own(entry_id),
            "href": own(entry_address(kb_name, entry_id, heading)),
        }
        if found is not None and found.title != entry_id:
            attributes["title"] = found.title
        return attributes

    def _link(self, token: Token, sanitiser: Sanitiser, resolved: Mapping[LinkTarget, Resolved]) -> None:
        href = str(token.attrs.pop("href", ""))
        target = self._target_of(Token("link_open", "a", 1, attrs={"href": href}))
        if target is not None:
            found = path_of(href, self._path)
            heading = found[1] if found else ""
            token.attrs.update(self._entry_attributes(target, heading, resolved, sanitiser))
            return
        address = self._address_of("href", href)
        if address is not None:
            token.attrSet("href", address if is_abroad(address) else sanitiser.own(address))

    def _picture(self, src: str) -> str:
        # The sanitiser asks `_address_of` for it, as it does for pictures in HTML.
        return src

    def _address_of(self, attribute: str, value: str) -> str | None:
        value = value.strip()
        if is_abroad(value):
            return value if attribute == "href" else None  # a picture from elsewhere tells who reads
        if attribute == "href" and value.startswith("#"):
            name = value[1:]
            return f"#{anchor_of(name)}" if name else None
        found = path_of(value, self._path)
        if found is None or not is_image(found[0]):
            return None
        return file_address(self._kb_name, found[0])


def parse_document(kb_name: str, path: str, body: str, budget: Budget | None = None) -> Document:
    """Parse a body. Never raises: what is too hard is shown as it is written, with a note.

    Args:
        path: The entry's, for what is relative to it.
    """
    budget = budget or Budget()
    try:
        tokens = MARKDOWN.parse(body, {"budget": budget})
        check_tags(token.content for token in _walk(tokens) if token.type in ("html_block", "html_inline"))
    except TooHardError as error:
        return Document(kb_name, path, body, (), budget, error.why)
    except RecursionError:
        return Document(kb_name, path, body, (), budget, "it is nested too deeply")
    return Document(kb_name, path, body, tokens, budget)


_LANGUAGE = re.compile(r"[\w.+#-]{1,40}")


def _unused(anchor: str, anchors: Counter[str]) -> str:
    """Number an anchor that is there already; also one that reads as if it were numbered is taken."""
    name = anchor
    while name in anchors:
        name = f"{anchor}-{anchors[anchor]}"
        anchors[anchor] += 1
    anchors[name] = 1
    return name


def _walk(tokens: Sequence[Token]) -> list[Token]:
    found = []
    for token in tokens:
        found.append(token)
        if token.children:
            found += _walk(token.children) if token.type != "image" else []
    return found


def _id_of(block: Block, lines: Sequence[str], counts: Counter[str]) -> str:
    if block.is_footnotes:
        name = "footnotes"
    else:
        source = "\n".join(lines[block.start : block.end]).strip()
        name = hashlib.blake2b(source.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    counts[name] += 1
    return f"b-{name}" if counts[name] == 1 else f"b-{name}-{counts[name]}"


def _write(block: Block, block_id: str, sanitiser: Sanitiser) -> str:
    own_id = sanitiser.own(block_id)
    if not block.needs_wrapper:
        block.tokens[0].attrSet("id", own_id)
        return sanitiser.clean(MARKDOWN.renderer.render(block.tokens, MARKDOWN.options, {})).strip()
    inner = sanitiser.clean(MARKDOWN.renderer.render(block.tokens, MARKDOWN.options, {})).strip()
    tag = "section" if block.is_footnotes else "div"
    return f'<{tag} id="{block_id}">{inner}</{tag}>'


def _as_text(body: str, why: str) -> str:
    note = f'<p id="b-note"><em>Shown as it is written: {escape(why)}.</em></p>'
    return f'{note}\n<pre id="b-text">{escape(body)}</pre>'
