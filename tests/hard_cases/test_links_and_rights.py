"""Rows 29, 30 and 33: what looks like a file and is none, what may not be read, and what leads elsewhere."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
import shutil
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from harness.expect import synced
from harness.fixtures import Starter
from harness.namespaces import watch_without_override
from harness.reader import revision_of
from harness.record import Json, only_entry_events, shown
from harness.scene import Scene
from harness.wait import eventually

from .stage import Place, check_heard, check_index, check_problems, exchange, note, plain, save, tells

ENTRIES: dict[str, Place] = {f"entry-{number}": f"entry-{number}.md" for number in range(1, 6)}


# -- row 29 ----------------------------------------------------------------------------------


def make_huge(file: Path) -> None:
    """Make a sparse file of 2 GiB."""
    file.touch()
    os.truncate(file, 2 << 30)


def make_socket(file: Path) -> None:
    """Make a Unix socket's name, which needs no listener."""
    os.mknod(file, stat.S_IFSOCK | 0o600)


def make_device(file: Path) -> None:
    """Make the device that gives zeros without end."""
    try:
        os.mknod(file, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root may make a device")


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "2 GiB": (make_huge, "too_big"),
    "FIFO": (os.mkfifo, "not_a_file"),
    "socket": (make_socket, "not_a_file"),
    "device": (make_device, "not_a_file"),
}

every_special = pytest.mark.parametrize("kind", SPECIAL)


@every_special
def test_what_is_no_file_is_a_problem(small_scene: Scene, small_kb: Path, kind: str) -> None:
    """Row 29: a problem, no entry; a save beside it is told at once; with it the problem goes."""
    make, problem = SPECIAL[kind]
    tells(small_scene, lambda: make(small_kb / "x.md"), synced("small"), problems=[f"small:x.md {problem}"])
    start = small_scene.watch.messages.mark()
    saved_s = time.perf_counter()
    tells(
        small_scene,
        lambda: save(small_kb / "entry-1.md", note("entry-1", "Saved.")),
        "U small:entry-1 entry-1.md",
        synced("small", updated=1),
        problems=[f"small:x.md {problem}"],
    )
    assert small_scene.watch.messages.timed(start)[0][0] - saved_s < 2
    check_index(small_scene, "small", ENTRIES)
    tells(small_scene, (small_kb / "x.md").unlink, synced("small"))
    small_scene.check()


@every_special
def test_what_is_no_file_takes_an_entrys_place(small_scene: Scene, small_kb: Path, kind: str) -> None:
    """Row 29: a problem, and the last good version stays; put back as it was: no event of an entry."""
    make, problem = SPECIAL[kind]
    content = (small_kb / "entry-1.md").read_bytes()
    make(small_kb / ".special")
    kept: Place = ("entry-1.md", revision_of(content))
    tells(
        small_scene,
        lambda: os.replace(small_kb / ".special", small_kb / "entry-1.md"),
        synced("small"),
        problems=[f"small:entry-1.md {problem}"],
    )
    check_index(small_scene, "small", {**ENTRIES, "entry-1": kept})
    tells(small_scene, lambda: save(small_kb / "entry-1.md", content), synced("small"))
    small_scene.check()


def test_a_folder_named_like_an_entry(small_scene: Scene, small_kb: Path) -> None:
    """Row 29: no entry and no problem; what is in it is as in any folder."""
    tells(small_scene, (small_kb / "dir.md").mkdir)
    tells(
        small_scene,
        lambda: save(small_kb / "dir.md" / "inner.md", note("inner")),
        "C small:inner dir.md/inner.md",
        synced("small", added=1),
    )
    small_scene.check()


def flip(one: Path, other: Path) -> None:
    """Let two names swap what they hold, for a second, as fast as it goes; an even number of times."""
    until_s = time.monotonic() + 1
    while time.monotonic() < until_s:
        for _ in range(10):
            exchange(one, other)
            exchange(one, other)
        time.sleep(0.0002)


def test_a_fifo_between_the_look_and_the_opening(small_scene: Scene, small_kb: Path) -> None:
    """Row 29: a name that is a file and a FIFO in turn, all the time, blocks nobody either."""
    save(small_kb / "x.md", plain())
    os.mkfifo(small_kb / ".fifo")
    small_scene.marker()
    flipping = threading.Thread(target=flip, args=(small_kb / "x.md", small_kb / ".fifo"))
    flipping.start()
    for number in range(20):
        content = note("entry-1", str(number))
        small_scene.observe(partial(save, small_kb / "entry-1.md", content), changes=1)
        if not flipping.is_alive():
            break
    flipping.join()
    small_scene.check()
    check_problems(small_scene, [])


# -- row 30 ----------------------------------------------------------------------------------


@pytest.fixture
def unprivileged(small_kb: Path, home: Path) -> Iterator[Scene]:
    """A KB of five entries and three in `sub`, seen by a watch that may read what modes allow, no more."""
    for name in "abc":
        save(small_kb / "sub" / f"{name}.md", note(name))
    with watch_without_override(small_kb, home=home) as watch:
        scene = Scene.open(watch, {"small": small_kb})
        yield scene
        (small_kb / "sub").chmod(0o755)
        scene.close()


ALL: dict[str, Place] = {**ENTRIES, **{name: f"sub/{name}.md" for name in "abc"}}


def _is_of(path: str, message: Json) -> bool:
    return message.get("path") == path


def check_siblings(scene: Scene, root: Path, problems: list[str]) -> None:
    """Assert that saves beside what is unreadable are heard, in folders before and behind it."""
    for folder in ("", "a-folder", "z-folder"):
        file = root / folder / "sibling.md"
        path = file.relative_to(root).as_posix()
        save(file, note(f"in-{folder}"))
        scene.watch.wait_for(partial(_is_of, path), 20)
        for _ in range(2):
            tells(
                scene,
                partial(save, file, note(f"in-{folder}", str(time.monotonic()))),
                f"U small:in-{folder} {path}",
                synced("small", updated=1),
                problems=problems,
            )
        tells(
            scene, file.unlink, f"D small:in-{folder} {path}", synced("small", removed=1), problems=problems
        )


def test_a_file_that_may_not_be_read(unprivileged: Scene, small_kb: Path) -> None:
    """Row 30: a problem, no D; its siblings are heard; its mode given back: it clears, no entry event."""
    scene, problems = unprivileged, ["small:entry-2.md unreadable"]
    tells(scene, lambda: (small_kb / "entry-2.md").chmod(0), synced("small"), problems=problems)
    check_siblings(scene, small_kb, problems)
    scene.api.request("POST", "/api/index/sync?wait=true")
    check_index(scene, "small", ALL)
    assert scene.api.entry("small", "entry-2")["body"].strip() == "Text 2."
    tells(scene, lambda: (small_kb / "entry-2.md").chmod(0o644), synced("small"))
    scene.check()


@pytest.mark.parametrize("mode", [0o000, 0o300, 0o600])
def test_a_folder_that_may_not_be_read(unprivileged: Scene, small_kb: Path, mode: int) -> None:
    """Row 30: a problem, no D, also after a sync; its siblings are heard; back again: it clears, no event."""
    scene, problems = unprivileged, ["small:sub unreadable"]
    tells(scene, lambda: (small_kb / "sub").chmod(mode), synced("small"), problems=problems, origin=None)
    check_siblings(scene, small_kb, problems)
    scene.api.request("POST", "/api/index/sync?wait=true")
    check_index(scene, "small", ALL)
    assert scene.api.entry("small", "a")["body"].strip() == "Text."
    tells(scene, lambda: (small_kb / "sub").chmod(0o755), synced("small"), origin=None)
    scene.check()


def test_a_folder_is_another_when_it_is_back(unprivileged: Scene, small_kb: Path) -> None:
    """Row 30: what changed while nobody could look is told when it is back, and heard from then on."""
    scene, problems = unprivileged, ["small:sub unreadable"]
    sub = small_kb / "sub"
    tells(scene, lambda: sub.chmod(0o300), synced("small"), problems=problems, origin=None)

    def change() -> None:
        save(sub / "a.md", note("a", "Another text."))
        (sub / "b.md").unlink()
        save(sub / "new.md", note("new"))

    # A folder that cannot be listed may still name what is in it: only a look at a file by its name succeeds.
    scene.observe(change)
    scene.observe(lambda: sub.chmod(0o755), until=lambda told: bool(told) and told[-1].get("problems") == 0)
    check_problems(scene, [])
    told = {(event["type"], event["entry_id"]) for event in only_entry_events(scene.watch.events)}
    told = {(kind, key) for kind, key in told if not key.startswith("zzz-marker-")}
    assert told == {("entry_updated", "a"), ("entry_deleted", "b"), ("entry_created", "new")}
    scene.check()
    tells(
        scene,
        lambda: save(sub / "new.md", note("new", "Heard.")),
        "U small:new sub/new.md",
        synced("small", updated=1),
    )
    scene.check()


@pytest.mark.timeout(120)
def test_a_folder_that_may_not_be_read_at_the_start(small_kb: Path, home: Path) -> None:
    """Row 30: it is a problem from the start; its siblings are heard; when it may be read, C each."""
    for name in "abc":
        save(small_kb / "sub" / f"{name}.md", note(name))
    (small_kb / "sub").chmod(0)
    with watch_without_override(small_kb, home=home) as watch:
        scene = Scene.open(watch, {"small": small_kb})
        try:
            check_problems(scene, ["small:sub unreadable"])
            for text in ("One.", "Two."):
                tells(
                    scene,
                    partial(save, small_kb / "z" / "sibling.md", note("sibling", text)),
                    f"{'C' if text == 'One.' else 'U'} small:sibling z/sibling.md",
                    synced("small", **{"added" if text == "One." else "updated": 1}),
                    problems=["small:sub unreadable"],
                    origin=None,
                )
            tells(
                scene,
                lambda: (small_kb / "sub").chmod(0o755),
                *(f"C small:{name} sub/{name}.md" for name in "abc"),
                synced("small", added=3),
                origin=None,
            )
            scene.check()
        finally:
            (small_kb / "sub").chmod(0o755)
            scene.close()


# -- row 33 ----------------------------------------------------------------------------------

IN_OPEN, IN_ISDIR = 0x20, 0x40000000


@contextlib.contextmanager
def openings(*folders: Path) -> Iterator[list[str]]:
    """List what anybody opens in these folders: `name`, or `name/` for a folder. Filled at the end."""
    if sys.platform != "linux":
        pytest.skip("only inotify tells who opens a file")
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    found: list[str] = []
    try:
        for folder in folders:
            assert libc.inotify_add_watch(descriptor, os.fsencode(folder), IN_OPEN) >= 0, ctypes.get_errno()
        yield found
        with contextlib.suppress(BlockingIOError):
            while True:
                data = os.read(descriptor, 65536)
                while data:
                    _, mask, _, length = struct.unpack_from("iIII", data)
                    name = os.fsdecode(data[16 : 16 + length].rstrip(b"\0"))
                    found.append(f"{name}/" if mask & IN_ISDIR else name)
                    data = data[16 + length :]
    finally:
        os.close(descriptor)


@pytest.fixture
def outside(home: Path) -> Path:
    """A folder of entries that is nobody's KB, with a FIFO that blocks whoever opens it."""
    folder = home / "outside"
    save(folder / "secret.md", note("secret", "Nobody's business."))
    save(folder / "deep" / "er.md", note("deeper", "Nobody's either."))
    os.mkfifo(folder / "blocks.md")
    return folder


def links(root: Path, outside: Path) -> dict[str, str | Path]:
    """Each kind of link, by its path in the KB."""
    return {
        "self": ".",
        "up": "..",
        "sub/above": "..",
        "far-up": "../../..",
        "absolute": root,
        "out": outside,
        "out-relative": os.path.relpath(outside, root),
        "out-deep": outside / "deep",
        "within": "sub",
        "out.md": outside / "secret.md",
        "out-relative.md": os.path.relpath(outside / "secret.md", root),
        "sub/out.md": outside / "deep" / "er.md",
        "blocks.md": outside / "blocks.md",
        "inside.md": "entry-1.md",
        "sub/inside.md": "../entry-1.md",
        "folder.md": outside,
        "chain.md": "out.md",
        "dangling.md": "nowhere.md",
        "loop.md": "loop.md",
        "ring-1.md": "ring-2.md",
        "ring-2.md": "ring-1.md",
        "device.md": "/dev/zero",
    }


def make_links(root: Path, outside: Path) -> None:
    """Make every kind of link in the KB; the folder with links comes whole, by one rename."""
    new = outside.parent / "new"
    new.mkdir()
    for path, target in links(root, outside).items():
        place = new / path.removeprefix("sub/") if path.startswith("sub/") else root / path
        place.symlink_to(target)
    os.rename(new, root / "sub")


def change_outside(outside: Path) -> None:
    """Change, add and take away, by renames only: nothing here is opened."""
    new = outside.parent / "being-written"
    for path in ("secret.md", "deep/er.md", "new.md", "deep/new.md"):
        new.write_bytes(note("out-" + path.replace("/", "-"), str(time.monotonic())))
        os.replace(new, outside / path)
    os.rename(outside / "new.md", outside / "renamed.md")
    (outside / "deep" / "new.md").unlink()


def test_links_that_are_made_while_it_runs(small_scene: Scene, small_kb: Path, outside: Path) -> None:
    """Row 33: no link is an entry or a problem, none is followed; no file that lies outside is opened."""
    with openings(outside, outside / "deep") as opened:
        tells(small_scene, lambda: make_links(small_kb, outside))
        tells(small_scene, lambda: change_outside(outside))
        tells(
            small_scene,
            lambda: save(small_kb / "entry-1.md", note("entry-1", "By its own name.")),
            "U small:entry-1 entry-1.md",
            synced("small", updated=1),
        )
        tells(
            small_scene,
            lambda: save(small_kb / "sub" / "new.md", note("new")),
            "C small:new sub/new.md",
            synced("small", added=1),
        )
        answer = small_scene.api.request("POST", "/api/index/sync?wait=true").json()
        assert (answer["added"], answer["updated"], answer["removed"]) == (0, 0, 0)
    assert [name for name in opened if not name.endswith("/")] == []
    small_scene.check()


def start_with_links(small_kb: Path, outside: Path, start: Starter) -> Scene:
    """Start where every kind of link is there already."""
    make_links(small_kb, outside)
    return Scene.open(start(small_kb), {"small": small_kb})


def test_links_that_are_there_at_the_start(start: Starter, small_kb: Path, outside: Path) -> None:
    """Row 33: the same, and no file outside is opened by the first index either."""
    with openings(outside, outside / "deep") as opened:
        scene = start_with_links(small_kb, outside, start)
        tells(scene, lambda: change_outside(outside))
        tells(
            scene,
            lambda: save(small_kb / "sub" / "new.md", note("new")),
            "C small:new sub/new.md",
            synced("small", added=1),
        )
        scene.check()
        scene.close()
    assert [name for name in opened if not name.endswith("/")] == []


def test_no_folder_outside_is_watched(start: Starter, small_kb: Path, outside: Path) -> None:
    """Row 33: a link to a folder outside draws no watch there, and that folder is not even listed."""
    with openings(outside, outside / "deep") as opened:
        scene = start_with_links(small_kb, outside, start)
        scene.close()
    assert opened == []


def watched_inodes(scene: Scene) -> set[int]:
    """What the process has asked the system to watch."""
    found = set()
    for info in Path(f"/proc/{scene.watch.pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            lines = info.read_text().splitlines()
            found |= {
                int(line.split("ino:")[1].split()[0], 16) for line in lines if line.startswith("inotify")
            }
    return found


def test_a_folder_with_links_comes(small_scene: Scene, small_kb: Path, outside: Path) -> None:
    """Row 33: moved in with a link in it: nothing outside is watched, once the watcher is made anew."""
    new = small_kb.parent / "new"
    new.mkdir()
    (new / "link").symlink_to(outside)
    save(new / "in-new.md", note("in-new"))
    tells(
        small_scene,
        lambda: new.rename(small_kb / "new"),
        "C small:in-new new/in-new.md",
        synced("small", added=1),
    )
    inodes = [folder.stat().st_ino for folder in (small_kb, small_kb / "new", outside)]
    eventually(lambda: [inode in watched_inodes(small_scene) for inode in inodes] == [True, True, False])
    check_heard(small_scene, small_kb / "new" / "in-new.md")
    small_scene.check()


def test_new_folders_beside_links(start: Starter, small_kb: Path, outside: Path) -> None:
    """Row 33: where links forbid to watch the KB as a whole, what comes in new folders is heard too."""
    scene = start_with_links(small_kb, outside, start)

    def make_deep() -> None:
        for folder in ("deep/deeper/deepest", "other"):
            (small_kb / folder).mkdir(parents=True)
            save(small_kb / folder / f"in-{folder[:4]}.md", note(f"in-{folder[:4]}"))

    events = scene.observe(make_deep, changes=2, timeout_s=30)
    assert {event["entry_id"] for event in only_entry_events(events)} == {"in-deep", "in-othe"}
    for path in ("deep/deeper/deepest/in-deep.md", "other/in-othe.md"):
        check_heard(scene, small_kb / path)
    shutil.move(small_kb / "deep" / "deeper", small_kb / "moved")
    check_heard(scene, small_kb / "moved" / "deepest" / "in-deep.md")
    assert scene.api.get("/health")["watch"]["mode"] == "inotify"
    scene.check()
    scene.close()


def test_new_folders_again_and_again(start: Starter, small_kb: Path, outside: Path) -> None:
    """Row 33: beside links each new folder is watched soon, however many came before: nothing is in doubt."""
    scene = start_with_links(small_kb, outside, start)
    for number in range(8):
        folder = small_kb / f"new-{number}"
        folder.mkdir()
        inode = folder.stat().st_ino
        eventually(partial(lambda wanted: wanted in watched_inodes(scene), inode), timeout_s=5)
    scene.check()
    scene.close()


def test_a_link_takes_an_entrys_place(small_scene: Scene, small_kb: Path, outside: Path) -> None:
    """Row 33: an entry that becomes a link is gone; a link that becomes a file is an entry."""
    file = small_kb / "entry-1.md"
    content = file.read_bytes()

    def link() -> None:
        (small_kb / ".link").symlink_to(outside / "secret.md")
        os.replace(small_kb / ".link", file)

    tells(small_scene, link, "D small:entry-1 entry-1.md", synced("small", removed=1))
    tells(small_scene, lambda: save(file, content), "C small:entry-1 entry-1.md", synced("small", added=1))
    small_scene.check()


def test_a_link_takes_a_folders_place(small_scene: Scene, small_kb: Path, outside: Path) -> None:
    """Row 33: a folder moved out and linked to from its place: D each; moved back: C each."""
    sub = small_kb / "sub"
    save(sub / "a.md", note("a"))
    small_scene.check()

    def link() -> None:
        os.rename(sub, outside / "sub")
        sub.symlink_to(outside / "sub")

    def back() -> None:
        sub.unlink()
        os.rename(outside / "sub", sub)

    for _ in range(2):
        tells(small_scene, link, "D small:a sub/a.md", synced("small", removed=1))
        tells(small_scene, lambda: change_outside(outside))
        tells(small_scene, back, "C small:a sub/a.md", synced("small", added=1))
    small_scene.check()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_between_the_look_and_the_opening(
    small_scene: Scene, small_kb: Path, outside: Path, what: str
) -> None:
    """Row 33: a name that is our own and a link out in turn, all the time, never gives what lies outside."""
    place = small_kb / ("x.md" if what == "file" else "sub")
    file = place if what == "file" else place / "secret.md"
    save(file, note("ours"))
    (small_kb / ".link").symlink_to(outside / "secret.md" if what == "file" else outside)
    small_scene.marker()
    with openings(outside) as opened:
        flipping = threading.Thread(target=flip, args=(place, small_kb / ".link"))
        flipping.start()
        while flipping.is_alive():
            os.utime(file, ns=(time.time_ns(), time.time_ns()), follow_symlinks=False)
            save(small_kb / "entry-1.md", note("entry-1", str(time.monotonic())))
            time.sleep(0.01)
        flipping.join()
        small_scene.marker()
    assert [name for name in opened if not name.endswith("/")] == []
    told = [event["entry_id"] for event in small_scene.watch.events]
    assert "secret" not in told, shown(small_scene.watch.events)
    small_scene.check()
