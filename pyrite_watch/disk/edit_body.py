"""A new body in a file's text, with the line ends and the white space around it that the file has.

Pure: text in, text out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyrite_watch.disk.front_matter import Split

_CRLF = re.compile(r"\r+\n")


@dataclass(frozen=True, slots=True)
class Body:
    """A body without the white space around it, and what of that is more than blank lines."""

    indent: str
    stripped: str
    ends_line: bool

    @classmethod
    def of(cls, text: str) -> Body:
        """Take apart a text with `\\n`."""
        stripped = text.strip()
        before = text[: len(text) - len(text.lstrip())]
        after = text[len(before) + len(stripped) :]
        line = before.rpartition("\n")[2]
        return cls("" if line.strip(" \t") else line, stripped, "\n" in after)


def plain_text(text: str) -> str:
    """A body as it is read back, but for the white space around it."""
    return _CRLF.sub("\n", text)


def eol_of(text: str) -> str:
    """The line end that most lines have."""
    crlf = text.count("\r\n")
    return "\r\n" if crlf > text.count("\n") - crlf else "\n"


def replace_body(text: str, split: Split | None, start: int, end: int, body: str) -> str:
    """Put a body, with `\\n`, in place of `text[start:end]`, which holds the old one without white space."""
    new = Body.of(body)
    eol = eol_of(text)
    head, old, tail = text[:start], text[start:end], text[end:]
    if not new.stripped:
        # Nothing stays below the closing line.
        at = head.find("\n", split.front_end) if split is not None else -1
        return head if at < 0 else head[: at + 1]
    if old:
        # What reading strips from the first and the last line stays as long as these lines do.
        if old.partition("\n")[0].removesuffix("\r") != new.stripped.partition("\n")[0]:
            head = head[: head.rfind("\n") + 1] + new.indent
        if old.rpartition("\n")[2] != new.stripped.rpartition("\n")[2]:
            at = tail.find("\n")
            tail = "" if at < 0 else tail[at - tail[:at].endswith("\r") :]
    else:
        tail = eol if not head.strip() or head.endswith("\n") else ""
        if split is not None:
            head += eol * (2 - min(head.count("\n", split.front_end), 2))
        head += new.indent
    if new.ends_line and "\n" not in tail:
        tail += eol
    return head + _with_line_ends(old, new.stripped, eol) + tail


def _with_line_ends(old: str, new: str, eol: str) -> str:
    """Give a new body the file's line ends; where those are mixed, lines that stay keep theirs."""
    crlf = old.count("\r\n")
    if not crlf or crlf == old.count("\n"):
        return new if eol == "\n" else new.replace("\n", eol)
    raw = old.split("\n")
    before = [line.removesuffix("\r") for line in raw[:-1]] + raw[-1:]
    after = new.split("\n")
    # The last line of either has no line end, so it is never taken for one at the start.
    most = min(len(before), len(after)) - 1
    same = 0
    while same < most and before[same] == after[same]:
        same += 1
    ends = 0
    while ends < most + 1 - same and before[-1 - ends] == after[-1 - ends]:
        ends += 1
    cut = len(after) - ends
    end = eol.removesuffix("\n")
    middle = [line + end for line in after[same:cut]]
    if not ends and middle:
        middle[-1] = after[-1]
    return "\n".join(raw[:same] + middle + raw[len(raw) - ends :])
