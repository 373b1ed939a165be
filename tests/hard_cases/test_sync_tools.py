"""Row 38: how sync tools bring a file: one event for the real file, nothing for what they use beside it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from harness.fixtures import Starter
from harness.scene import Scene
from harness.tools import run_tool

from .exactly import check_sync_finds_nothing, exactly, note

needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")

OLD_NS = 1_500_000_000 * 10**9
"""The time of a file that was last changed on another machine, in 2017."""

new_or_existing = pytest.mark.parametrize("name", ["new", "entry-1"], ids=["new file", "existing file"])


def expected(name: str) -> str:
    """The one event that a file's arrival makes."""
    return f"{'C' if name == 'new' else 'U'} {name} {name}.md"


def write_slowly(file: Path, content: bytes, pieces: int = 4) -> None:
    """Write as what comes over a network does: in pieces, in one opening."""
    step = len(content) // pieces + 1
    with file.open("wb", buffering=0) as opened:
        for at in range(0, len(content), step):
            opened.write(content[at : at + step])
            time.sleep(0.02)


def syncthing(root: Path, name: str, content: bytes, prefix: str, versions: bool) -> None:
    """Receive a file as Syncthing does: temporary file, times, the old version aside, rename."""
    file = root / f"{name}.md"
    temporary = root / f"{prefix}{name}.md.tmp"
    write_slowly(temporary, content)
    os.utime(temporary, ns=(OLD_NS, OLD_NS))
    if versions and file.exists():
        kept = root / ".stversions"
        kept.mkdir(exist_ok=True)
        file.rename(kept / f"{name}~20170714-024000.md")
    temporary.rename(file)


@new_or_existing
@pytest.mark.parametrize("versions", [False, True], ids=["no versions", "versions"])
@pytest.mark.parametrize("prefix", [".syncthing.", "~syncthing~"])
def test_syncthing_is_one_event(
    small_scene: Scene, small_kb: Path, prefix: str, versions: bool, name: str
) -> None:
    """Row 38: Syncthing's temporary names (Unix, Windows), with the old version moved to `.stversions/`."""
    content = note(name, "From another machine.")
    exactly(small_scene, lambda: syncthing(small_kb, name, content, prefix, versions), expected(name))
    small_scene.check()


def test_syncthing_delete_with_versions_is_one_deletion(small_scene: Scene, small_kb: Path) -> None:
    """Row 38: a file that Syncthing deletes is kept in `.stversions/`, where it is no entry."""

    def act() -> None:
        (small_kb / ".stversions").mkdir()
        (small_kb / "entry-1.md").rename(small_kb / ".stversions" / "entry-1~20170714-024000.md")

    exactly(small_scene, act, "D entry-1 entry-1.md")
    small_scene.check()


@pytest.mark.parametrize(
    "name",
    [
        ".syncthing.entry-1.md.tmp",
        "~syncthing~entry-1.md.tmp",
        ".stversions/entry-1~20170714-024000.md",
        ".stfolder/note.md",
        ".dropbox.cache/entry-1.md",
        ".entry-1.md.icloud",
        ".entry-1.md.Xa12Cd",
        ".~tmp~/entry-1.md",
        ".rsync-partial/entry-1.md",
        "entry-1.md.part",
        "entry-1.md.crdownload",
        "~$entry-1.md",
        "entry-1.md~",
    ],
)
def test_left_over_temporary_is_nothing(small_scene: Scene, small_kb: Path, name: str) -> None:
    """Row 38: what an interrupted sync left stays nothing: to notifications, to a `sync` and to problems."""
    file = small_kb / name

    def act() -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(note("entry-1", "Half of another version."))

    exactly(small_scene, act)
    check_sync_finds_nothing(small_scene)
    assert small_scene.api.problems() == []
    small_scene.check()


def test_left_over_temporaries_are_nothing_at_start(start: Starter, small_kb: Path) -> None:
    """Row 38: a first index that finds them holds the entries alone."""
    (small_kb / ".stversions").mkdir()
    for name in (".syncthing.a.md.tmp", "~syncthing~b.md.tmp", "~syncthing~c.md", ".d.md.icloud", "~$e.md"):
        (small_kb / name).write_bytes(note("other", "Left over."))
    (small_kb / ".stversions" / "f.md").write_bytes(note("other", "Left over."))
    scene = Scene.open(start(small_kb), {small_kb.name: small_kb})
    try:
        state = scene.api.state()
        assert sorted(entry_id for _, entry_id in state.entries) == [f"entry-{n}" for n in range(1, 6)]
        assert scene.api.problems() == []
    finally:
        scene.close()


@new_or_existing
def test_dropbox_is_one_event(small_scene: Scene, small_kb: Path, home: Path, name: str) -> None:
    """Row 38: Dropbox writes into its cache above the KB, gives the file its times, and renames it in."""
    cache = home / ".dropbox.cache" / "new_files"
    cache.mkdir(parents=True)

    def act() -> None:
        temporary = cache / "f8a1c0"
        write_slowly(temporary, note(name, "From another machine."))
        os.utime(temporary, ns=(OLD_NS, OLD_NS))
        temporary.rename(small_kb / f"{name}.md")

    exactly(small_scene, act, expected(name))
    small_scene.check()


def test_icloud_download_is_one_creation(small_scene: Scene, small_kb: Path) -> None:
    """Row 38: a file that is only in the cloud is nothing; its download is one creation."""
    placeholder = small_kb / ".new.md.icloud"
    exactly(small_scene, lambda: placeholder.write_bytes(b"bplist00\xd3\x01\x02"))

    def download() -> None:
        temporary = small_kb / ".new.md.sb-1a2b3c4d-XyZ"
        write_slowly(temporary, note("new", "From the cloud."))
        os.utime(temporary, ns=(OLD_NS, OLD_NS))
        temporary.rename(small_kb / "new.md")
        placeholder.unlink()

    exactly(small_scene, download, "C new new.md")
    small_scene.check()


def test_icloud_eviction_is_one_deletion(small_scene: Scene, small_kb: Path) -> None:
    """Row 38: a file replaced by its placeholder can't be read any more: one deletion, no more."""

    def evict() -> None:
        (small_kb / ".entry-1.md.icloud").write_bytes(b"bplist00\xd3\x01\x02")
        (small_kb / "entry-1.md").unlink()

    exactly(small_scene, evict, "D entry-1 entry-1.md")
    small_scene.check()


RSYNC = {
    "default": ("-rlp",),
    "with times": ("-rlpt",),
    "in place": ("-rlpt", "--inplace", "--no-whole-file"),
    "delayed updates": ("-rlpt", "--delay-updates"),
    "with backups": ("-rlpt", "--backup"),
    "partial folder": ("-rlpt", "--partial-dir=.rsync-partial"),
}


@needs_rsync
@new_or_existing
@pytest.mark.parametrize("lines", [1, 40_000], ids=["small", "3 MB"])
@pytest.mark.parametrize("how", RSYNC)
def test_rsync_is_one_event(
    small_scene: Scene, small_kb: Path, tmp_path: Path, how: str, lines: int, name: str
) -> None:
    """Row 38: rsync itself: hidden temporary and rename, in place, all at the end, with backups."""
    source = tmp_path / "source"
    shutil.copytree(small_kb, source)
    file = source / f"{name}.md"
    file.write_bytes(
        note(name, "A line of an article that came from another machine, and is long.\n" * lines)
    )
    # Another time than that of the KB's own file, or rsync would take it for the same.
    os.utime(file, ns=(OLD_NS, OLD_NS))

    def act() -> None:
        run_tool("rsync", *RSYNC[how], f"{source}/", f"{small_kb}/", cwd=tmp_path)

    exactly(small_scene, act, expected(name))
    assert (small_kb / f"{name}.md").read_bytes() == file.read_bytes()
    small_scene.check()


@needs_rsync
@pytest.mark.parametrize("how", RSYNC)
def test_rsync_of_many_is_one_event_each(
    small_scene: Scene, small_kb: Path, tmp_path: Path, how: str
) -> None:
    """Row 38: three updates, two creations and a deletion in one run: one event each, whatever the way."""
    source = tmp_path / "source"
    shutil.copytree(small_kb, source)
    for name in ("entry-1", "entry-2", "entry-3", "new-1", "new-2"):
        (source / f"{name}.md").write_bytes(note(name, "From another machine."))
        os.utime(source / f"{name}.md", ns=(OLD_NS, OLD_NS))
    (source / "entry-4.md").unlink()

    def act() -> None:
        run_tool("rsync", *RSYNC[how], "--delete", f"{source}/", f"{small_kb}/", cwd=tmp_path)

    events = small_scene.observe(act, changes=6)
    told = sorted((event["type"], event["entry_id"]) for event in events if event["entry_id"])
    assert told == [
        ("entry_created", "new-1"),
        ("entry_created", "new-2"),
        ("entry_deleted", "entry-4"),
        ("entry_updated", "entry-1"),
        ("entry_updated", "entry-2"),
        ("entry_updated", "entry-3"),
    ]
    small_scene.check()


@needs_rsync
def test_rsync_of_the_same_bytes_is_nothing(small_scene: Scene, small_kb: Path, tmp_path: Path) -> None:
    """Row 38: rsync without `-t` copies what is equal, each time again."""
    source = tmp_path / "source"
    shutil.copytree(small_kb, source)

    def act() -> None:
        run_tool("rsync", "-r", "--ignore-times", f"{source}/", f"{small_kb}/", cwd=tmp_path)

    exactly(small_scene, act)
    small_scene.check()
