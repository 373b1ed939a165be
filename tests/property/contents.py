"""What the files of the property test hold, and what interface §2 says of each.

Written from the interface alone; it shares no code with the product.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from harness.reader import BadFileError, parse_front_matter, path_form, revision_of, slug

EMPTY_REVISION = revision_of(b"")

FILES = ("a.md", "b.md", "f/a.md", "f/c.md", "f/index.md", "f/g/b.md", "h/a.md", "h/index.md", "h/d e.md")
"""Stems repeat, so that derived ids meet."""

FOLDERS = ("f", "f/g", "f/n", "h", "k", "k/l")

IDS = ("x", "y", "z", "a", "f-a")
"""`a` is also a stem, `f-a` also a path's form."""

_CONFLICT = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)


def note(entry_id: str | None = None, body: str = "text", title: str | None = None) -> bytes:
    """A Markdown file with an explicit id, a title, both, or without any front matter."""
    fields = [f"id: {entry_id}"] if entry_id is not None else []
    fields += [f"title: {title}"] if title is not None else []
    if not fields:
        return f"{body}\n".encode()
    return "\n".join(["---", *fields, "---", body, ""]).encode()


GOOD = (
    note(),
    note(body="texT"),  # the same size: only the times and the racy rule tell
    *(note(entry_id, body) for entry_id in IDS for body in ("text", "texT")),
    note(title="Same title"),
    note(title="Same title", body="other"),
    note("x", title="Named and titled"),
    note("y", "carriage return").replace(b"\n", b"\r\n"),
    b"\xef\xbb\xbf" + note("z", "byte order mark"),
    note("x", "<<<<<<< ours\none\n=======\ntwo\n>>>>>>> theirs"),
)
BAD = (
    b"---\nid: [unclosed\n---\ntext\n",
    b"---\n- a list\n---\ntext\n",
    b"---\nid: x\n<<<<<<< ours\ntitle: a\n=======\ntitle: b\n>>>>>>> theirs\n---\ntext\n",
    b"---\nid: y\n---\nlatin \xe9\n",
)
DOUBTFUL = (b"", b"---\nid: x\nnever closed\n")
"""An entry where they are new, a problem where a good file was."""

RULES: dict[str, Callable[[str], bool]] = {
    "": lambda path: True,
    "a.md\n": lambda path: path.rpartition("/")[2] != "a.md",
    "f/\n": lambda path: not any(part == "f" for part in path.split("/")[:-1]),
    "/f/g/\n": lambda path: not path.startswith("f/g/"),
    "*.md\n!b.md\n": lambda path: path.rpartition("/")[2] == "b.md",
}
"""Texts of `.pyriteignore`, and which paths each lets through."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One file at rest.

    `kind` is "good", "bad", or "doubtful": an entry or a problem, as history wants it.
    """

    path: str
    revision: str
    kind: str
    explicit: str | None
    derived: str
    has_conflict: bool

    @property
    def ids(self) -> frozenset[str]:
        """The ids that an entry in it may have, history aside."""
        if self.explicit is not None:
            return frozenset({self.explicit})
        form = path_form(self.path)
        return frozenset({form} if self.derived == "index" else {self.derived, form})

    @property
    def claim(self) -> tuple[str | None, str]:
        """What it asks for; equal claims keep an id."""
        return self.explicit, "" if self.explicit is not None else self.derived


@lru_cache(maxsize=20_000)
def look_at(path: str, content: bytes) -> Seen:
    """Say what a file is."""
    revision = revision_of(content)
    stem = unicodedata.normalize("NFC", path.rpartition("/")[2].removesuffix(".md"))
    try:
        values = parse_front_matter(content)
        has_conflict = bool(_CONFLICT.search(content.decode("utf-8-sig").replace("\r\n", "\n")))
    except (BadFileError, UnicodeDecodeError):
        return Seen(path, revision, "bad", None, stem, False)
    explicit, title = values.get("id"), values.get("title")
    kind = "doubtful" if not content or _is_unclosed(content) else "good"
    return Seen(
        path,
        revision,
        kind,
        None if explicit is None else str(explicit),
        (slug(str(title)) if title is not None else "") or stem,
        has_conflict,
    )


def _is_unclosed(content: bytes) -> bool:
    lines = content.decode("utf-8-sig").splitlines()
    return lines[0].rstrip() == "---" and all(line.rstrip() != "---" for line in lines[1:])
