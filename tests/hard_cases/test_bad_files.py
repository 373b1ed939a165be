"""Rows 25, 26, 27 and 47: a bad file is a problem, and its last good version stays."""

from __future__ import annotations

import codecs
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.expect import synced
from harness.fixtures import Starter
from harness.record import only_entry_events
from harness.repository import Repository
from harness.scene import Scene
from harness.tools import needs_git

from pyrite_watch.disk.parse import parse_entry

from .stage import Place, check_index, note, on_stage, save, tells, told_at_start

GOOD = note("entry-1", "The good version.")

OTHERS: dict[str, Place] = {f"entry-{number}": f"entry-{number}.md" for number in range(2, 6)}

WRITES: dict[str, Callable[[Path, bytes], object]] = {"in place": Path.write_bytes, "by rename": save}

every_write = pytest.mark.parametrize("write", WRITES)


def start_good(scene: Scene, root: Path) -> tuple[str, str]:
    """Give `entry-1` its good version; return where it is and its revision."""
    tells(
        scene,
        lambda: save(root / "entry-1.md", GOOD),
        "U small:entry-1 entry-1.md",
        synced("small", updated=1),
    )
    return scene.api.state("small").of("small")["entry-1"]


# -- row 25 ----------------------------------------------------------------------------------

BAD = {
    "a quote that is not closed": (b'---\nid: entry-1\ntitle: "Open\n---\n\nText.\n', "yaml"),
    "a tab": (b"---\nid: entry-1\n\ttitle: x\n---\n\nText.\n", "yaml"),
    "a second colon": (b"---\nid: entry-1\ntitle: one: two\n---\n\nText.\n", "yaml"),
    "a date that is none": (b"---\nid: entry-1\ndate: 2026-13-45\n---\n\nText.\n", "yaml"),
    "a list": (b"---\n- entry-1\n---\n\nText.\n", "front_matter"),
    "plain text": (b"---\nentry-1\n---\n\nText.\n", "front_matter"),
    "never closed": (b"---\nid: entry-1\ntitle: One\n\nText.\n", "front_matter"),
    "emptied": (b"", "emptied"),
}


@every_write
@pytest.mark.parametrize("bad", BAD)
def test_a_good_entry_turns_bad_and_is_mended(
    small_scene: Scene, small_kb: Path, bad: str, write: str
) -> None:
    """Row 25: no entry event and a problem; mended to what it was: none again, and it clears."""
    content, kind = BAD[bad]
    kept = start_good(small_scene, small_kb)
    for _ in range(2):
        tells(
            small_scene,
            lambda: WRITES[write](small_kb / "entry-1.md", content),
            synced("small"),
            problems=[f"small:entry-1.md {kind}"],
        )
        assert small_scene.api.entry("small", "entry-1")["body"].strip() == "The good version."
        check_index(small_scene, "small", {"entry-1": kept, **OTHERS})
        tells(small_scene, lambda: WRITES[write](small_kb / "entry-1.md", GOOD), synced("small"))
    small_scene.check()


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_entry_is_mended_to_something_else(small_scene: Scene, small_kb: Path, bad: str) -> None:
    """Row 25: then it is one U, and the problem clears."""
    content, kind = BAD[bad]
    start_good(small_scene, small_kb)
    tells(
        small_scene,
        lambda: save(small_kb / "entry-1.md", content),
        synced("small"),
        problems=[f"small:entry-1.md {kind}"],
    )
    tells(
        small_scene,
        lambda: save(small_kb / "entry-1.md", note("entry-1", "Mended.")),
        "U small:entry-1 entry-1.md",
        synced("small", updated=1),
    )
    small_scene.check()


def test_a_bad_entry_is_renamed_and_deleted(small_scene: Scene, small_kb: Path) -> None:
    """Row 25: the last good version goes with its file, and ends with it."""
    _, revision = start_good(small_scene, small_kb)
    bad, kind = BAD["a tab"]
    tells(
        small_scene,
        lambda: save(small_kb / "entry-1.md", bad),
        synced("small"),
        problems=[f"small:entry-1.md {kind}"],
    )
    tells(
        small_scene,
        lambda: os.rename(small_kb / "entry-1.md", small_kb / "n.md"),
        "U small:entry-1 n.md < entry-1.md",
        synced("small", updated=1),
        problems=[f"small:n.md {kind}"],
    )
    check_index(small_scene, "small", {"entry-1": ("n.md", revision), **OTHERS})
    tells(small_scene, (small_kb / "n.md").unlink, "D small:entry-1 n.md", synced("small", removed=1))
    small_scene.check()


def test_a_new_bad_file_is_mended(small_scene: Scene, small_kb: Path) -> None:
    """Row 25: without a good version before it is a problem alone; mended, it is a C."""
    tells(
        small_scene,
        lambda: save(small_kb / "new.md", BAD["a tab"][0]),
        synced("small"),
        problems=["small:new.md yaml"],
    )
    small_scene.check()
    tells(
        small_scene,
        lambda: save(small_kb / "new.md", note("new")),
        "C small:new new.md",
        synced("small", added=1),
    )
    small_scene.check()


def test_the_last_good_version_outlives_a_restart(start: Starter, small_kb: Path) -> None:
    """Row 25: turned bad while nothing ran, or before: it stays, and its problem is known."""
    bad, kind = BAD["a second colon"]
    problems = [f"small:entry-1.md {kind}"]
    with on_stage(start, small_kb) as scene:
        kept = start_good(scene, small_kb)
    save(small_kb / "entry-1.md", bad)
    with on_stage(start, small_kb) as scene:
        told_at_start(scene, synced("small"), problems=problems)
        check_index(scene, "small", {"entry-1": kept, **OTHERS})
    with on_stage(start, small_kb) as scene:
        told_at_start(scene, problems=problems)
        check_index(scene, "small", {"entry-1": kept, **OTHERS})
        assert scene.api.entry("small", "entry-1")["body"].strip() == "The good version."
        tells(scene, lambda: save(small_kb / "entry-1.md", GOOD), synced("small"))
        scene.check()


# -- row 26 ----------------------------------------------------------------------------------


def alias_bomb() -> bytes:
    """Nine levels of ten aliases: a thousand million values when they are written out."""
    rows = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    rows += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10)]
    return "\n".join(rows).encode()


def merge_bomb() -> bytes:
    """Forty levels of merge keys, each twice the one before."""
    rows = ["a0: &a0 {x: 1}"]
    rows += [f"a{level}: &a{level} {{<<: [*a{level - 1}, *a{level - 1}]}}" for level in range(1, 40)]
    return "\n".join(rows).encode()


BOMBS = {
    "aliases": (alias_bomb(), "yaml"),
    "merge keys": (merge_bomb(), "yaml"),
    "a cyclic alias": (b"a: &a [1, *a]", "yaml"),
    "a cyclic alias in a mapping": (b"a: &a {b: *a}", "yaml"),
    "100,000 brackets": (b"a: " + b"[" * 100_000, "yaml"),
    "a number in base 60": (b"a: " + b"1:" * 60_000 + b"1", "yaml"),
    "10 MB of keys": (b"".join(b"key-%07d: value\n" % number for number in range(500_000)), "front_matter"),
    "10 MB in one value": (b"a: " + b"x" * 10_000_000, "front_matter"),
}

every_bomb = pytest.mark.parametrize("bomb", BOMBS)


def bomb_file(bomb: str) -> bytes:
    """An entry with that in its front matter."""
    return b"---\nid: entry-1\n" + BOMBS[bomb][0] + b"\n---\n\nText.\n"


@every_bomb
def test_a_bomb_is_a_problem_in_no_time(bomb: str) -> None:
    """Row 26: parsing it takes less than 100 ms, and says what is wrong."""
    content, kind = bomb_file(bomb), BOMBS[bomb][1]
    taken_s = []
    for number in range(7):
        # Each time another one: what was parsed before may be remembered.
        data = content.replace(b"Text.", b"Text %d." % number).replace(b"entry-1", b"entry-%d" % number, 1)
        started_s = time.thread_time()
        parsed = parse_entry(data, "x.md")
        taken_s.append(time.thread_time() - started_s)
        assert parsed.content is None
        assert [problem.kind for problem in parsed.problems] == [kind]
    assert statistics.median(taken_s) < 0.1, taken_s


@every_bomb
def test_a_bomb_keeps_nobody_waiting(small_scene: Scene, small_kb: Path, bomb: str) -> None:
    """Row 26: no entry event and a problem; what is saved beside it is told first, at once."""
    content, kind = bomb_file(bomb), BOMBS[bomb][1]
    kept = start_good(small_scene, small_kb)
    saved_s = 0.0

    def act() -> None:
        nonlocal saved_s
        save(small_kb / "entry-1.md", content)
        saved_s = time.perf_counter()
        save(small_kb / "entry-2.md", note("entry-2", "Saved meanwhile."))

    start = small_scene.watch.messages.mark()
    events = small_scene.observe(act, until=lambda told: bool(told) and told[-1].get("problems") == 1)
    (told,) = only_entry_events(events)
    assert (told["type"], told["entry_id"]) == ("entry_updated", "entry-2")
    (heard_s,) = [at_s for at_s, message in small_scene.watch.messages.timed(start) if message == told]
    assert heard_s - saved_s < 2, "the others wait for it"
    assert [problem["kind"] for problem in small_scene.api.problems()] == [kind]
    check_index(small_scene, "small", {"entry-1": kept, **OTHERS})
    tells(small_scene, lambda: save(small_kb / "entry-1.md", GOOD), synced("small"))
    small_scene.check()


# -- row 27 ----------------------------------------------------------------------------------

TEXT = "---\nid: {}\ntitle: Größe\n---\n\nErste Zeile: café.\nZweite Zeile.\n"

ACCEPTED: dict[str, Callable[[str], bytes]] = {
    "a BOM": lambda text: codecs.BOM_UTF8 + text.encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "a BOM and CRLF": lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(),
    "mixed line ends": lambda text: text.replace("\n\n", "\r\n\r\n").encode(),
    "no line end at the end": lambda text: text.rstrip("\n").encode(),
    "beyond the basic plane": lambda text: (text + "\n𝄞 🗺️\n").encode(),
    "noncharacters in the text": lambda text: (text + "\n\ufffe \uffff\n").encode(),
}

REFUSED: dict[str, Callable[[str], bytes]] = {
    "Latin-1": lambda text: text.encode("latin-1"),
    "a byte that is none of UTF-8": lambda text: text.encode() + b"\xff\n",
    "a sequence cut off": lambda text: text.encode() + "é".encode()[:1],
    "a surrogate": lambda text: text.encode() + b"\xed\xa0\x80\n",
    "an overlong slash": lambda text: text.encode() + b"\xc0\xaf\n",
    "UTF-16 with a BOM": lambda text: text.encode("utf-16"),
    "UTF-16 big-endian with a BOM": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-16 without a BOM": lambda text: text.encode("utf-16-le"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "a NUL in the text": lambda text: text.encode() + b"\0\n",
    "a NUL in the front matter": lambda text: text.encode().replace(b"title: ", b"title: \0"),
}


@pytest.mark.parametrize("encoding", ACCEPTED)
def test_an_encoding_that_is_accepted(small_scene: Scene, small_kb: Path, encoding: str) -> None:
    """Row 27: new it is a C, over a good file a U; its id, title and text are those without it."""
    encode = ACCEPTED[encoding]
    tells(
        small_scene,
        lambda: save(small_kb / "new.md", encode(TEXT.format("new"))),
        "C small:new new.md",
        synced("small", added=1),
    )
    tells(
        small_scene,
        lambda: save(small_kb / "entry-1.md", encode(TEXT.format("entry-1"))),
        "U small:entry-1 entry-1.md",
        synced("small", updated=1),
    )
    for entry_id in ("new", "entry-1"):
        entry = small_scene.api.entry("small", entry_id)
        assert entry["title"] == "Größe"
        assert entry["body"].startswith("Erste Zeile: café.\nZweite Zeile.")
    small_scene.check()


@pytest.mark.parametrize("encoding", REFUSED)
def test_an_encoding_that_is_refused(small_scene: Scene, small_kb: Path, encoding: str) -> None:
    """Row 27: a problem, no entry event: new it is no entry, of a good file the last good version stays."""
    encode = REFUSED[encoding]
    kept = start_good(small_scene, small_kb)
    tells(
        small_scene,
        lambda: save(small_kb / "new.md", encode(TEXT.format("new"))),
        synced("small"),
        problems=["small:new.md encoding"],
    )
    tells(
        small_scene,
        lambda: save(small_kb / "entry-1.md", encode(TEXT.format("entry-1"))),
        synced("small"),
        problems=["small:entry-1.md encoding", "small:new.md encoding"],
    )
    check_index(small_scene, "small", {"entry-1": kept, **OTHERS})
    tells(small_scene, (small_kb / "new.md").unlink, synced("small"), problems=["small:entry-1.md encoding"])
    tells(small_scene, lambda: save(small_kb / "entry-1.md", GOOD), synced("small"))
    small_scene.check()


# -- row 47 ----------------------------------------------------------------------------------

IN_BODY = b"---\nid: entry-1\n---\n\nBefore.\n<<<<<<< HEAD\nOurs.\n=======\nTheirs.\n>>>>>>> branch\nAfter.\n"
IN_BODY_OF_THREE = IN_BODY.replace(b"=======\n", b"||||||| base\nIts.\n=======\n")
IN_FRONT = (
    b"---\nid: entry-1\n<<<<<<< HEAD\ntitle: Ours\n=======\ntitle: Theirs\n>>>>>>> branch\n---\n\nText.\n"
)
AROUND_FRONT = (
    b"<<<<<<< HEAD\n---\nid: entry-1\n---\n\nOurs.\n=======\n"
    b"---\nid: entry-1\n---\n\nTheirs.\n>>>>>>> branch\n"
)


@every_write
@pytest.mark.parametrize("content", [IN_BODY, IN_BODY_OF_THREE], ids=["two", "three"])
def test_conflict_markers_in_the_body(small_scene: Scene, small_kb: Path, content: bytes, write: str) -> None:
    """Row 47: U and a problem; resolved it is a U, and the problem clears."""
    for _ in range(2):
        tells(
            small_scene,
            lambda: WRITES[write](small_kb / "entry-1.md", content),
            "U small:entry-1 entry-1.md",
            synced("small", updated=1),
            problems=["small:entry-1.md conflict"],
        )
        assert [problem["line"] for problem in small_scene.api.problems()] == [6]
        small_scene.check()
        tells(
            small_scene,
            lambda: WRITES[write](small_kb / "entry-1.md", GOOD),
            "U small:entry-1 entry-1.md",
            synced("small", updated=1),
        )
    small_scene.check()


@every_write
@pytest.mark.parametrize("content", [IN_FRONT, AROUND_FRONT], ids=["inside", "around"])
def test_conflict_markers_in_the_front_matter(
    small_scene: Scene, small_kb: Path, content: bytes, write: str
) -> None:
    """Row 47: a problem, and the last good version stays; resolved to what it was: no event of an entry."""
    kept = start_good(small_scene, small_kb)
    tells(
        small_scene,
        lambda: WRITES[write](small_kb / "entry-1.md", content),
        synced("small"),
        problems=["small:entry-1.md conflict"],
    )
    check_index(small_scene, "small", {"entry-1": kept, **OTHERS})
    tells(small_scene, lambda: WRITES[write](small_kb / "entry-1.md", GOOD), synced("small"))
    small_scene.check()


@needs_git
def test_a_merge_leaves_both_kinds(start: Starter, home: Path) -> None:
    """Row 47: git's own markers: one entry has them in its body, one in its front matter."""
    repository = Repository(home / "notes", entries=4)
    for name in ("one", "two"):
        repository.git("checkout", "--quiet", "-b", name, "base")
        repository.write([1], f"As {name} has it.")
        front = repository.file(2)
        front.write_text(front.read_text().replace("Entry 002", f"Title of {name}"))
        repository.commit(name)
    with on_stage(start, repository.kb) as scene:
        kept = scene.api.state("kb").of("kb")["entry-002"]
        path = {number: repository.file(number).relative_to(repository.kb).as_posix() for number in range(4)}
        tells(
            scene,
            lambda: repository.git_fails("merge", "--quiet", "one"),
            f"U kb:entry-001 {path[1]}",
            synced("kb", updated=1),
            problems=[f"kb:{path[1]} conflict", f"kb:{path[2]} conflict"],
            bare_passes=True,
        )
        entries: dict[str, Place] = {f"entry-{number:03d}": path[number] for number in range(4)}
        check_index(scene, "kb", {**entries, "entry-002": kept})
        tells(
            scene,
            lambda: repository.git("merge", "--abort"),
            f"U kb:entry-001 {path[1]}",
            synced("kb", updated=1),
            bare_passes=True,
        )
        scene.check()
