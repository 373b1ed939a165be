"""The independent reader and the replica do what interface §2 and §4 say."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import pytest
from harness.api import State
from harness.corpus import copy_corpus, copy_corpus_times, corpus_source, generate_lookalike, generate_many
from harness.reader import View, read_kb, revision_of, slug
from harness.record import Json
from harness.replica import OffsetGapError, Replica


def write(root: Path, path: str, content: str | bytes) -> None:
    """Write a file and its folders."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def ids(view: View) -> dict[str, str]:
    """Id to path."""
    return {entry_id: path for entry_id, (path, _) in view.entries.items()}


def test_id_is_explicit_else_the_titles_slug_else_the_stem(tmp_path: Path) -> None:
    """In this order; a title without letters gives the stem."""
    write(tmp_path, "a.md", "---\nid: explicit\ntitle: Other\n---\nText\n")
    write(tmp_path, "b.md", "---\ntitle: The  Title, here!\n---\nText\n")
    write(tmp_path, "c.md", "# Heading\n")
    write(tmp_path, "d.md", "---\ntitle: 日本\n---\n")
    write(tmp_path, "e.md", "---\nid: has/slash\ntitle: E\n---\n")
    write(tmp_path, "f.md", f"---\nid: {'x' * 201}\n---\n")
    write(tmp_path, "g.md", "---\nid: 42\n---\n")
    write(tmp_path, "cafe\u0301.md", "Text\n")
    assert ids(read_kb(tmp_path)) == {
        "explicit": "a.md",
        "the-title-here": "b.md",
        "c": "c.md",
        "d": "d.md",
        "e": "e.md",
        "f": "f.md",
        "42": "g.md",
        "caf\u00e9": "cafe\u0301.md",
    }
    assert slug("--A b--") == "a-b"


def test_derived_ids_that_clash_become_paths(tmp_path: Path) -> None:
    """All but the smallest path, and `index` always (row 23b)."""
    for folder in ("a", "b", "c/d"):
        write(tmp_path, f"{folder}/index.md", "Text\n")
        write(tmp_path, f"{folder}/note.md", "Text\n")
    write(tmp_path, "index.md", "Text\n")
    view = read_kb(tmp_path)
    assert ids(view) == {
        "a-index": "a/index.md",
        "b-index": "b/index.md",
        "c-d-index": "c/d/index.md",
        "index": "index.md",
        "note": "a/note.md",
        "b-note": "b/note.md",
        "c-d-note": "c/d/note.md",
    }
    assert view.problems == frozenset()


def test_explicit_id_twice_belongs_to_the_smallest_path(tmp_path: Path) -> None:
    """The other is a problem."""
    write(tmp_path, "b.md", "---\nid: same\n---\nB\n")
    write(tmp_path, "a/x.md", "---\nid: same\n---\nA\n")
    view = read_kb(tmp_path)
    assert ids(view) == {"same": "a/x.md"}
    assert view.problems == {"b.md"}
    assert view.contested == {"same"}


def test_what_is_no_entry_is_skipped(tmp_path: Path) -> None:
    """Dot names, _templates, README in any case, other suffixes, folders, links."""
    for path in (
        ".x.md",
        ".git/x.md",
        "a/.b/x.md",
        "_templates/x.md",
        "a/README.md",
        "readme.md",
        "x.txt",
        "x.md~",
    ):
        write(tmp_path, path, "Text\n")
    (tmp_path / "folder.md").mkdir()
    write(tmp_path, "folder.md/inside.md", "Text\n")
    (tmp_path / "link.md").symlink_to(tmp_path / "x.txt")
    assert ids(read_kb(tmp_path)) == {"inside": "folder.md/inside.md"}


@pytest.mark.parametrize(
    "content",
    [
        b"---\nid: [x\n---\n",
        b"---\n- list\n---\n",
        b"---\njust text\n---\n",
        b"\xff\xfe\x00",
        b"caf\xe9",
        b"a\x00b",
        b"",
        b"---\n<<<<<<< HEAD\nid: a\n=======\nid: b\n>>>>>>> other\n---\n",
    ],
)
def test_bad_file_is_a_problem_and_its_last_good_version_stays(tmp_path: Path, content: bytes) -> None:
    """Row 25: bad now, good before."""
    write(tmp_path, "a.md", "---\nid: good\n---\nText\n")
    before = read_kb(tmp_path)
    write(tmp_path, "a.md", content)
    after = read_kb(tmp_path, before)
    assert after.entries == before.entries
    assert after.problems == {"a.md"}
    if content:
        assert read_kb(tmp_path).entries == {}


def test_bom_crlf_unclosed_and_body_conflicts_are_entries(tmp_path: Path) -> None:
    """Conflict markers in the body are a problem beside the entry."""
    write(tmp_path, "bom.md", b"\xef\xbb\xbf---\nid: with-bom\n---\nText\n")
    write(tmp_path, "crlf.md", b"---\r\nid: with-crlf\r\n---\r\nText\r\n")
    write(tmp_path, "open.md", b"---\nid: never closed\n")
    write(tmp_path, "conflict.md", b"---\nid: torn\n---\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n")
    view = read_kb(tmp_path)
    assert set(view.entries) == {"with-bom", "with-crlf", "open", "torn"}
    assert view.problems == {"conflict.md"}


def test_revision_is_what_anyone_can_compute() -> None:
    """32 hex digits of BLAKE2b."""
    assert revision_of(b"x") == blake2b(b"x", digest_size=16).hexdigest()
    assert len(revision_of(b"")) == 32


def event(offset: int, kind: str, entry_id: str = "a", revision: str | None = "r") -> Json:
    """An event as the wire has it."""
    return {
        "type": kind,
        "entry_id": entry_id,
        "kb_name": "k",
        "epoch": "e",
        "offset": offset,
        "path": f"{entry_id}.md",
        "revision": revision,
    }


def test_replica_takes_created_and_updated_alike_and_ignores_strange_deletions() -> None:
    """As interface §4 tells a reader to do; `kb_synced` only moves the position."""
    replica = Replica(State("e", 4, {("k", "old"): ("old.md", "r0")}))
    replica.apply_all(
        [
            {"type": "ready", "epoch": "e", "offset": 4},
            event(3, "entry_deleted", "old", None),
            event(5, "entry_updated", "new"),
            event(6, "entry_created", "old"),
            event(7, "entry_deleted", "never-seen", None),
            {"type": "kb_synced", "entry_id": "", "kb_name": "k", "epoch": "e", "offset": 8},
            {"type": "of the future"},
        ]
    )
    assert replica.of("k") == {"new": ("new.md", "r"), "old": ("old.md", "r")}
    assert replica.position == "e:8"


def test_replica_refuses_gaps_repeats_and_other_epochs() -> None:
    """What the tests would otherwise not see."""
    state = State("e", 4)
    with pytest.raises(OffsetGapError):
        Replica(state).apply(event(6, "entry_created"))
    with pytest.raises(OffsetGapError):
        Replica(state).apply(event(4, "entry_created"))
    with pytest.raises(OffsetGapError):
        Replica(state).apply(event(5, "entry_created") | {"epoch": "other"})
    loose = Replica(state, dense=False)
    loose.apply(event(9, "entry_created"))
    with pytest.raises(OffsetGapError):
        loose.apply(event(9, "entry_created"))


def test_lookalike_has_the_real_corpus_mix(tmp_path: Path) -> None:
    """608 entries' worth of files, four ids shared, always the same bytes."""
    one, two = generate_lookalike(tmp_path / "one"), generate_lookalike(tmp_path / "two")
    view = read_kb(one)
    assert len(list(one.rglob("*.md"))) == 610
    assert (len(view.contested), len(view.problems)) == (4, 4)
    assert len(view.entries) == 605
    assert view == read_kb(two)


@pytest.mark.skipif(corpus_source() is None, reason="the real corpus is not here")
def test_real_corpus_reads_as_its_readme_says(tmp_path: Path) -> None:
    """610 files, four ids that two files share; the copy can be changed."""
    root = copy_corpus(tmp_path / "kb")
    assert len(list(root.rglob("*.md"))) == 610
    view = read_kb(root)
    assert (len(view.contested), len(view.problems)) == (4, 4)
    write(root, "components/new.md", "Text\n")
    assert len(read_kb(root).entries) == len(view.entries) + 1


def test_copies_and_storms_are_made(tmp_path: Path) -> None:
    """Names of their own; a flat number of files in folders of 250."""
    roots = copy_corpus_times(tmp_path / "many", 2)
    assert [root.name for root in roots] == ["kb-1", "kb-2"]
    assert read_kb(roots[0]) == read_kb(roots[1])
    big = generate_many(tmp_path / "big", 600)
    assert len(read_kb(big).entries) == 600
    assert len([path for path in big.iterdir() if path.is_dir()]) == 3
