"""The files of the knowledge base whose states were made with the code of earlier commits.

What an index knows of it cannot be found again from the disk alone: who owned an id first, which id was
derived first, what a file held before it became unreadable, and what was told.
"""

from __future__ import annotations


def _entry(front: str, body: str) -> str:
    return f"---\n{front}\n---\n{body}\n"


FIRST = {
    "z/owner.md": _entry("id: shared\ntitle: Owner", "The owner knows marzipan."),
    "m/note.md": _entry("title: Note", "The first note, about quinces."),
    "bad.md": _entry("id: bad\ntitle: Bad\ntags: [jam]", "Once a good text, about rhubarb."),
    "links.md": _entry("id: links", "[[shared]], [[notes:shared]] and [[note]]; see [[bad]]."),
    "gone.md": _entry("id: gone", "Soon gone."),
    "edited.md": _entry("id: edited\ndate: 2024-05-06", "Before: gooseberries."),
}
"""What the first index found."""

OTHER = {"kept.md": _entry("id: kept", "An entry of a knowledge base that was not named again.")}
"""Another knowledge base, of the first run only."""

THEN = {
    "a-claimant.md": _entry("id: shared", "It comes later, and its path is smaller."),
    "a-note.md": _entry("title: Note", "The second note, whose path is smaller."),
    "edited.md": _entry("id: edited\ndate: 2024-05-06", "Once more: elderberries."),
    "bad.md": "---\nid: [unclosed\n---\nNo entry.\n",
    "made.md": _entry("id: made\nsummary: Made later", "Made while it was watched: sloes."),
}
"""What was written while it was watched."""

GONE = ("gone.md",)
"""What was deleted then."""

LAST = {"edited.md": _entry("id: edited\ndate: 2024-05-06", "At last: cloudberries.")}
"""What was written at the end."""

NOW = {path: text for path, text in {**FIRST, **THEN, **LAST}.items() if path not in GONE}
"""What the disk held when the states were left."""
