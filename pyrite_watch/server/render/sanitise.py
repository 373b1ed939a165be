"""Let through what a text may hold, and nothing else: nh3 with our allow-list.

What the renderer sets itself (ids, classes, data, links that it resolved) carries a mark that is made
anew for each rendering, so that nobody can write it into a file. The same attribute without the mark is
somebody's own HTML, and goes: it could pretend to be ours, or take a name that a script looks for.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

import nh3

TAGS = frozenset(
    {
        "a", "abbr", "b", "bdi", "bdo", "blockquote", "br", "caption", "cite", "code", "col", "colgroup", "dd",  # noqa: E501
        "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5",  # noqa: E501
        "h6", "hr", "i", "img", "input", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "rp", "rt", "ruby",  # noqa: E501
        "s", "samp", "section", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td",
        "tfoot", "th", "thead", "time", "tr", "u", "ul", "var", "wbr",
    }
)  # fmt: skip
OWN_ATTRIBUTES = frozenset({"id", "class", "data-kb", "data-id"})
"""Only with the mark."""

_ANY = {"title", "lang", "dir", "id", "class"}
_ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href", "data-kb", "data-id"},
    "img": {"src", "alt", "width", "height"},
    "input": {"checked"},
    "ol": {"start", "reversed"},
    "li": {"value"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
    "details": {"open"},
    "time": {"datetime"},
}
# The only input is a box that shows something: whoever writes another one gets that.
_FORCED = {
    "input": {"type": "checkbox", "disabled": "", "aria-label": "task"},
    "img": {"loading": "lazy"},
}
_LENGTH = re.compile(r"[0-9]{1,5}%?")
_NUMBERS = frozenset({"width", "height", "colspan", "rowspan", "start", "value"})


class Sanitiser:
    """One rendering's. Its mark is what tells our attributes from a file's.

    Args:
        address_of: Gives a link (`href`) or picture (`src`) of somebody's own HTML its address;
            None for none.
    """

    def __init__(self, address_of: Callable[[str, str], str | None]) -> None:
        self._mark = f"m{secrets.token_hex(12)}-"
        self._address_of = address_of
        self._cleaner = nh3.Cleaner(
            tags=set(TAGS),
            attributes={tag: _ANY | _ATTRIBUTES.get(tag, set()) for tag in TAGS},
            attribute_filter=self._filter,
            set_tag_attribute_values=_FORCED,
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer",
            strip_comments=True,
        )

    def own(self, value: str) -> str:
        """Mark a value as ours."""
        return self._mark + value

    def clean(self, html: str) -> str:
        """Take out everything that is not allowed, and close what is open."""
        return self._cleaner.clean(html)

    def _filter(self, tag: str, attribute: str, value: str) -> str | None:
        if value.startswith(self._mark):
            return value[len(self._mark) :]
        if attribute in OWN_ATTRIBUTES:
            return None
        if attribute in ("href", "src"):
            return self._address_of(attribute, value)
        if attribute in _NUMBERS:
            return value if _LENGTH.fullmatch(value) else None
        if attribute == "align":
            return value if value in ("left", "right", "center") else None
        return value
