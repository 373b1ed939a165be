"""Rows 28 and 49: names as people and their programs give them, and an Obsidian vault."""

from __future__ import annotations

import os
import shutil
import unicodedata
from functools import partial
from pathlib import Path

import pytest
from harness.expect import check_lines, synced
from harness.fixtures import Starter, make_small_kb
from harness.scene import Scene
from harness.wait import eventually

from .stage import (
    check_heard,
    check_index,
    check_problems,
    ids_of,
    note,
    on_stage,
    plain,
    save,
    tells,
    told_at_start,
)

# -- row 28 ----------------------------------------------------------------------------------

NAMES = {
    "255 bytes": "n" * 252 + ".md",
    "255 bytes of two each": "é" * 126 + ".md",
    "newline": "one\ntwo.md",
    "leading dash": "-rf.md",
    "emoji": "🗺️ plan 👩‍💻.md",
    "spaces": "  two  words  .md",
    "tab": "one\ttwo.md",
    "quotes": "'\"`$HOME`.md",
    "backslash": "one\\two.md",
    "percent": "100%25?x=1#y.md",
    "markup": "<b>&amp;.md",
    "another direction": "שלום.md",
    "invisible": "zero\u200bwidth.md",
    "escape": "red\x1b[31m.md",
}

every_folder = pytest.mark.parametrize("folder", ["", "sub/"], ids=["root", "folder"])


def shown(path: str) -> str:
    """An id of a path: the file's name in NFC."""
    return unicodedata.normalize("NFC", path.rpartition("/")[2].removesuffix(".md"))


@pytest.mark.parametrize("name", NAMES)
@every_folder
def test_a_file_of_an_unusual_name(small_scene: Scene, small_kb: Path, name: str, folder: str) -> None:
    """Row 28: C, then U, U with another name, D, as for any other; and so is a neighbour."""
    (small_kb / "sub").mkdir()
    path = folder + NAMES[name]
    file = small_kb / path
    tells(
        small_scene,
        lambda: save(file, plain()),
        f"C small:{shown(path)} {path}",
        synced("small", added=1),
    )
    tells(
        small_scene,
        lambda: save(file, note("known", "Text.")),
        f"D small:{shown(path)} {path} > small:known",
        f"C small:known {path} < small:{shown(path)}",
        synced("small", added=1, removed=1),
    )
    neighbour = small_kb / folder / "neighbour.md"
    tells(
        small_scene,
        lambda: save(neighbour, note("neighbour")),
        f"C small:neighbour {folder}neighbour.md",
        synced("small", added=1),
    )
    tells(
        small_scene,
        lambda: os.rename(file, small_kb / folder / "usual.md"),
        f"U small:known {folder}usual.md < {path}",
        synced("small", updated=1),
    )
    tells(
        small_scene,
        lambda: os.rename(small_kb / folder / "usual.md", file),
        f"U small:known {path} < {folder}usual.md",
        synced("small", updated=1),
    )
    small_scene.check()
    tells(small_scene, file.unlink, f"D small:known {path}", synced("small", removed=1))
    small_scene.check()


@every_folder
def test_one_name_in_nfc_and_nfd(small_scene: Scene, small_kb: Path, folder: str) -> None:
    """Row 28: side by side they are two files: C, and a problem for the second, which takes over."""
    (small_kb / "sub").mkdir()
    nfc, nfd = (folder + unicodedata.normalize(form, "Café.md") for form in ("NFC", "NFD"))
    tells(
        small_scene,
        lambda: save(small_kb / nfc, plain("One.")),
        f"C small:Café {nfc}",
        synced("small", added=1),
    )
    second_id = "Café" if not folder else "sub-Café"
    told = [synced("small")] if not folder else [f"C small:{second_id} {nfd}", synced("small", added=1)]
    problems = [f"small:{nfd} duplicate_id"] if not folder else []
    tells(small_scene, lambda: save(small_kb / nfd, plain("Two.")), *told, problems=problems)
    tells(
        small_scene,
        lambda: save(small_kb / nfc, plain("Edited.")),
        f"U small:Café {nfc}",
        synced("small", updated=1),
        problems=problems,
    )
    if folder:
        tells(
            small_scene,
            lambda: save(small_kb / nfd, plain("Edited too.")),
            f"U small:{second_id} {nfd}",
            synced("small", updated=1),
        )
        tells(small_scene, (small_kb / nfc).unlink, f"D small:Café {nfc}", synced("small", removed=1))
    else:
        tells(
            small_scene,
            (small_kb / nfc).unlink,
            f"U small:Café {nfd} < {nfc}",
            synced("small", updated=1),
        )


def test_a_folder_in_nfc_and_nfd(small_scene: Scene, small_kb: Path) -> None:
    """Row 28: files of one name in two folders that look alike: explicit ids keep them apart."""
    nfc, nfd = (unicodedata.normalize(form, "Ärger") for form in ("NFC", "NFD"))
    for folder, entry_id in ((nfc, "one"), (nfd, "two")):
        tells(
            small_scene,
            partial(save, small_kb / folder / "x.md", note(entry_id)),
            f"C small:{entry_id} {folder}/x.md",
            synced("small", added=1),
        )
    small_scene.check()


@pytest.fixture
def foreign(small_kb: Path) -> bytes:
    """A name in the KB's folder `sub` that is not UTF-8."""
    (small_kb / "sub").mkdir()
    return os.fsencode(small_kb / "sub") + b"/caf\xe9.md"


PROBLEM = "small:sub/caf\\xe9.md name"


def write_foreign(name: bytes, content: bytes = b"Text.\n") -> None:
    """Write a file whose name is not UTF-8."""
    with open(name, "wb") as opened:
        opened.write(content)


def test_beside_a_folder_whose_name_is_not_utf_8(start: Starter, small_kb: Path) -> None:
    """Row 28: it is a problem, and all the rest is watched as ever, not swept."""
    for name in (b"/caf\xe9", b"/sub/caf\xe9"):
        folder = os.fsencode(small_kb) + name
        os.makedirs(folder)
        write_foreign(folder + b"/inner.md")
    problems = ["small:caf\\xe9 name", "small:sub/caf\\xe9 name"]
    with on_stage(start, small_kb) as scene:
        check_problems(scene, problems)
        save(small_kb / "sub" / "new.md", note("new"))
        for path in ("entry-1.md", "sub/new.md"):
            check_heard(scene, small_kb / path)
            check_heard(scene, small_kb / path)
        assert scene.api.get("/health")["watch"]["mode"] == "inotify"
        check_problems(scene, problems)


def test_a_name_that_is_not_utf_8(small_scene: Scene, small_kb: Path, foreign: bytes) -> None:
    """Row 28: a problem, no entry, and the watcher lives: later saves are heard, in the same folder too."""
    events = small_scene.observe(
        lambda: write_foreign(foreign), until=lambda told: any(event["problems"] == 1 for event in told)
    )
    check_lines(events, [synced("small")])
    check_problems(small_scene, [PROBLEM])
    for path in ("sub/new.md", "new.md", "other/new.md"):
        entry_id = path.replace("/", "-").removesuffix(".md")
        for letter, count in (("C", {"added": 1}), ("U", {"updated": 1})):
            tells(
                small_scene,
                partial(save, small_kb / path, note(entry_id, letter)),
                f"{letter} small:{entry_id} {path}",
                synced("small", **count),
                problems=[PROBLEM],
                origin=None,
            )
        check_heard(small_scene, small_kb / path)
    events = small_scene.observe(
        lambda: os.rename(foreign, small_kb / "sub" / "cafe.md"),
        until=lambda told: len(told) >= 2 and told[-1]["type"] == "kb_synced" and not told[-1]["problems"],
    )
    check_lines([event for event in events if event["type"] != "kb_synced"], ["C small:cafe sub/cafe.md"])
    check_problems(small_scene, [])
    small_scene.check()


def test_a_name_that_is_not_utf_8_again_and_again(small_scene: Scene, small_kb: Path, foreign: bytes) -> None:
    """Row 28: however often it is written, what is saved beside it is told once each, and soon."""
    written = 0

    def act() -> None:
        nonlocal written
        written += 1
        write_foreign(foreign, b"%d\n" % written)
        save(small_kb / "sub" / "near.md", note("near", str(written)))

    for _ in range(5):
        events = small_scene.observe(
            act,
            until=lambda told: any(event["entry_id"] == "near" for event in told),
        )
        assert [event["entry_id"] for event in events if event["entry_id"]] == ["near"]
        check_problems(small_scene, [PROBLEM])
    os.unlink(foreign)
    eventually(lambda: not small_scene.api.problems(), timeout_s=40)
    small_scene.check()


def test_a_folder_whose_name_is_not_utf_8(small_scene: Scene, small_kb: Path) -> None:
    """Row 28: a problem; what is below is no entry; its siblings are told, once the watcher is made anew."""
    folder = os.fsencode(small_kb) + b"/caf\xe9"

    def act() -> None:
        os.mkdir(folder)
        write_foreign(folder + b"/inner.md")

    events = small_scene.observe(act, until=lambda told: any(event["problems"] == 1 for event in told))
    assert [event["entry_id"] for event in events if event["entry_id"]] == []
    check_problems(small_scene, ["small:caf\\xe9 name"])
    tells(
        small_scene,
        lambda: save(small_kb / "sub" / "new.md", note("new")),
        "C small:new sub/new.md",
        synced("small", added=1),
        problems=["small:caf\\xe9 name"],
        origin=None,
    )
    for text in ("One.", "Two.", "Three."):
        tells(
            small_scene,
            partial(save, small_kb / "sub" / "new.md", note("new", text)),
            "U small:new sub/new.md",
            synced("small", updated=1),
            problems=["small:caf\\xe9 name"],
            origin=None,
        )
    check_index(
        small_scene,
        "small",
        {"new": "sub/new.md", **{f"entry-{number}": f"entry-{number}.md" for number in range(1, 6)}},
    )


# -- row 49 ----------------------------------------------------------------------------------

NOTES = {
    "Untitled": "Daily/Untitled.md",
    "Projects-Untitled": "Projects/Untitled.md",
    "Ideas for 2027 🚀": "Ideas for 2027 🚀.md",
    "Café notes": "Projects/Café notes.md",
    "2026-11-22": "Daily/2026-11-22.md",
    "a-real-title": "Projects/x.md",
    "Welcome!": "Welcome!.md",
}

REST = {
    ".obsidian/workspace.json": b"{}",
    ".obsidian/app.json": b"{}",
    ".obsidian/plugins/dataview/README.md": b"# A plugin\n",
    ".obsidian/plugins/dataview/notes.md": b"# Not a note\n",
    ".trash/Old.md": b"# Thrown away\n",
    "Attachments/Pasted image 20261122.png": b"\x89PNG\r\n\x1a\n\0\0",
    "Attachments/paper.pdf": b"%PDF-1.7\n\xff\xfe",
    "Boards/plan.canvas": b'{"nodes":[],"edges":[]}',
}


def make_vault(root: Path) -> Path:
    """Make an Obsidian vault: notes, settings, attachments, a canvas, the trash."""
    make_small_kb(root, entries=0)
    for path in NOTES.values():
        save(root / path, f"Text of {path}, with a [[Untitled]] link.\n".encode())
    save(root / "Projects" / "x.md", b"---\ntitle: A real title!\ntags: [one]\n---\n\nText.\n")
    for path, content in REST.items():
        save(root / path, content)
    return root


def test_a_vault_has_its_notes_alone(start: Starter, home: Path) -> None:
    """Row 49: entries for the notes only, each with an id of its own; the same after restart and rebuild."""
    root = make_vault(home / "notes" / "My vault 📓")
    for is_rebuild in (False, False, True):
        if is_rebuild:
            shutil.rmtree(start.state_dir)
        with on_stage(start, root) as scene:
            told_at_start(scene)
            check_index(scene, root.name, NOTES)
            scene.check()


def test_what_obsidian_does(start: Starter, home: Path) -> None:
    """Row 49: its own files tell nothing; a new note, its naming and its end are one change each."""
    root = make_vault(home / "notes" / "vault")
    with on_stage(start, root) as scene:
        first = ids_of(scene, "vault")

        def rest() -> None:
            for path, content in REST.items():
                (root / path).write_bytes(content + b"\n")

        tells(scene, rest)
        new = root / "Ideas" / "Untitled.md"
        tells(
            scene,
            lambda: save(new, plain("A third.")),
            "C vault:Ideas-Untitled Ideas/Untitled.md",
            synced("vault", added=1),
        )
        tells(
            scene,
            lambda: os.rename(new, new.with_name("Big plan 🗺️.md")),
            "C vault:Big plan 🗺️ Ideas/Big plan 🗺️.md < vault:Ideas-Untitled",
            "D vault:Ideas-Untitled Ideas/Untitled.md > vault:Big plan 🗺️",
            synced("vault", added=1, removed=1),
        )
        tells(
            scene,
            lambda: os.rename(new.with_name("Big plan 🗺️.md"), root / ".trash" / "Big plan 🗺️.md"),
            "D vault:Big plan 🗺️ Ideas/Big plan 🗺️.md",
            synced("vault", removed=1),
        )
        # The other notes' ids do not move when the first of their name goes and comes back.
        content = (root / "Daily" / "Untitled.md").read_bytes()
        tells(
            scene,
            (root / "Daily" / "Untitled.md").unlink,
            "D vault:Untitled Daily/Untitled.md",
            synced("vault", removed=1),
        )
        tells(
            scene,
            lambda: save(root / "Daily" / "Untitled.md", content),
            "C vault:Untitled Daily/Untitled.md",
            synced("vault", added=1),
        )
        assert ids_of(scene, "vault") == first
        scene.check()
    with on_stage(start, root) as scene:
        told_at_start(scene)
        assert ids_of(scene, "vault") == first
