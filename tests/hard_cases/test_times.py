"""Rows 35 to 37: times that lie, clocks that are set back, and writes of which no notification tells."""

from __future__ import annotations

import mmap
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from harness.fixtures import Starter, make_small_kb
from harness.reader import revision_of
from harness.record import only_entry_events
from harness.scene import Scene
from harness.tools import run_tool
from harness.wait import eventually

from pyrite_watch.model.kb import KbName, KnowledgeBase
from pyrite_watch.pipeline import Pipeline
from pyrite_watch.reconciler import PassReport
from pyrite_watch.settings import Settings

from .exactly import check_sync_finds_nothing, exactly, note, short

OLD_NS = 1_500_000_000 * 10**9
FUTURE_NS = 4_000_000_000 * 10**9
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
needs_faketime = pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")

ONE_UPDATE = "U entry-1 entry-1.md"


def older_copy(folder: Path, size: int | None = None) -> Path:
    """Make another version of entry-1 with an older time; `size` makes it as long as that."""
    content = note("entry-1", "Restored from a backup.")
    if size is not None:
        content = content[:-1].ljust(size - 1, b".")[: size - 1] + b"\n"
    folder.mkdir()
    copy = folder / "entry-1.md"
    copy.write_bytes(content)
    os.utime(copy, ns=(OLD_NS, OLD_NS))
    return copy


def _cp(source: Path, root: Path) -> None:
    run_tool("cp", "-p", source, root / source.name, cwd=root)


def _mv(source: Path, root: Path) -> None:
    run_tool("mv", source, root / source.name, cwd=root)


def _rsync(source: Path, root: Path) -> None:
    # Without --ignore-times rsync itself would take an equal size and time for an equal file.
    run_tool("rsync", "-t", "--ignore-times", source, f"{root}/", cwd=root)


def _tar(source: Path, root: Path) -> None:
    archive = source.with_name("backup.tar")
    with tarfile.open(archive, "w") as opened:
        opened.add(source, arcname=source.name)
    run_tool("tar", "-x", "-f", archive, cwd=root)


def _in_place(source: Path, root: Path) -> None:
    (root / source.name).write_bytes(source.read_bytes())
    os.utime(root / source.name, ns=(OLD_NS, OLD_NS))


RESTORES: dict[str, Callable[[Path, Path], None]] = {
    "cp -p": _cp,
    "mv": _mv,
    "rsync -t": _rsync,
    "tar -x": _tar,
    "in place": _in_place,
}
restores = pytest.mark.parametrize(
    "restore", [pytest.param(name, marks=needs_rsync if "rsync" in name else ()) for name in RESTORES]
)


@restores
def test_older_time_is_one_update(small_scene: Scene, small_kb: Path, tmp_path: Path, restore: str) -> None:
    """Row 35: a file restored with an older mtime is another content all the same."""
    source = older_copy(tmp_path / "backup")
    exactly(small_scene, lambda: RESTORES[restore](source, small_kb), ONE_UPDATE)
    assert (small_kb / "entry-1.md").stat().st_mtime_ns == OLD_NS
    small_scene.check()


def _with_equal_times(file: Path, change: Callable[[], None]) -> None:
    """Change a file, and give it back its times; its size is to be the same."""
    before = file.stat()
    change()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@restores
def test_restored_time_with_equal_size_is_one_update(
    small_scene: Scene, small_kb: Path, tmp_path: Path, restore: str
) -> None:
    """Row 35: the same size, and the mtime put back to the nanosecond."""
    file = small_kb / "entry-1.md"
    os.utime(file, ns=(OLD_NS, OLD_NS))
    small_scene.marker()
    source = older_copy(tmp_path / "backup", file.stat().st_size)
    exactly(
        small_scene,
        lambda: _with_equal_times(file, lambda: RESTORES[restore](source, small_kb)),
        ONE_UPDATE,
    )
    small_scene.check()


@restores
def test_restored_time_is_found_without_notification(
    start: Starter, small_kb: Path, tmp_path: Path, restore: str
) -> None:
    """Row 35: where nobody watched, the comparison at the start finds it: ctime can't be put back."""
    file = small_kb / "entry-1.md"
    os.utime(file, ns=(OLD_NS, OLD_NS))
    first = start(small_kb)
    first.wait_ready()
    # The state is known for good only when the file was read well after its change.
    Scene.open(first, {small_kb.name: small_kb}).close()
    first.stop()
    source = older_copy(tmp_path / "backup", file.stat().st_size)
    time.sleep(0.02)  # longer than a tick of the kernel's clock, by which files are stamped
    second_start = start(small_kb)
    second_start.wait_ready()
    assert only_entry_events(second_start.events) == []
    second_start.stop()
    _with_equal_times(file, lambda: RESTORES[restore](source, small_kb))
    third = start(small_kb)
    third.wait_for(lambda message: message.get("type") == "kb_synced", what="the difference at start")
    assert [short(event) for event in only_entry_events(third.events)] == [ONE_UPDATE]
    third.stop()


class Clock:
    """The wall clock of one process, set by a file; kernel and monotonic clocks go on as they are.

    That is what a clock set back looks like from the product: every file's ctime lies in the future.
    """

    def __init__(self, file: Path) -> None:
        assert FAKETIME is not None
        self._file = file
        self.set("+0")
        self.environment = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, offset: str) -> None:
        """Set it: `-1d`, `+2h`; whoever reads the file meanwhile finds the old offset or the new one."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{offset}\n", encoding="ascii")
        written.replace(self._file)


@needs_faketime
@pytest.mark.parametrize("offset", ["-1d", "-5s", "+1d"], ids=["a day back", "5 s back", "a day ahead"])
def test_clock_that_is_set_makes_no_storm_and_misses_nothing(
    start: Starter, small_kb: Path, tmp_path: Path, offset: str
) -> None:
    """Row 36: set while it runs: saves go on to be one update each, and a sweep finds nothing else."""
    clock = Clock(tmp_path / "clock")
    scene = Scene.open(start(small_kb, env=clock.environment), {small_kb.name: small_kb})
    try:
        file = small_kb / "entry-1.md"
        before = exactly(scene, partial(file.write_bytes, note("entry-1", "Before.")), ONE_UPDATE)[0]
        clock.set(offset)
        for number in range(3):
            saved = note("entry-1", f"After {number}.")
            after = exactly(scene, partial(file.write_bytes, saved), ONE_UPDATE)[0]
        assert (after["ts"] < before["ts"]) == offset.startswith("-"), "the clock was not set"
        for _ in range(2):
            check_sync_finds_nothing(scene)
        exactly(scene, (small_kb / "entry-2.md").unlink, "D entry-2 entry-2.md")
        scene.check()
    finally:
        scene.close()


@needs_faketime
def test_start_with_a_clock_set_back_tells_the_difference_alone(
    start: Starter, small_kb: Path, tmp_path: Path
) -> None:
    """Row 36: set back between two runs: one update for the file that changed, nothing for the others."""
    first = start(small_kb)
    first.wait_ready()
    first.stop()
    (small_kb / "entry-1.md").write_bytes(note("entry-1", "Meanwhile."))
    clock = Clock(tmp_path / "clock")
    clock.set("-30d")
    second = start(small_kb, env=clock.environment)
    synced = second.wait_for(lambda message: message.get("type") == "kb_synced", what="the difference")
    (update,) = only_entry_events(second.events)
    assert short(update) == ONE_UPDATE
    assert (synced["added"], synced["updated"], synced["removed"]) == (0, 1, 0)
    second.stop()


@pytest.mark.parametrize(
    ("first_ns", "then_ns"), [(FUTURE_NS, OLD_NS), (OLD_NS, FUTURE_NS), (FUTURE_NS, None)]
)
def test_file_times_that_go_backwards_miss_nothing(
    small_scene: Scene, small_kb: Path, first_ns: int, then_ns: int | None
) -> None:
    """Row 36: files stamped in the future, then in the past: each save is one update, each sweep is quiet."""
    file = small_kb / "entry-1.md"
    for number, time_ns in enumerate((first_ns, then_ns)):

        def save(text: str = f"Number {number}.", time_ns: int | None = time_ns) -> None:
            file.write_bytes(note("entry-1", text))
            if time_ns is not None:
                os.utime(file, ns=(time_ns, time_ns))

        exactly(small_scene, save, ONE_UPDATE)
        check_sync_finds_nothing(small_scene)
    small_scene.check()


class Mapped:
    """A file mapped for writing and closed: what is written from then on, no notification tells."""

    def __init__(self, file: Path) -> None:
        descriptor = os.open(file, os.O_RDWR)
        try:
            self.map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)

    def write(self, text: bytes, new: bytes) -> None:
        """Put `new` in the place of `text`, which is as long."""
        assert len(text) == len(new)
        at = self.map.find(text)
        assert at >= 0
        self.map[at : at + len(new)] = new


def _stamps_mapped_writes(folder: Path) -> bool:
    """Whether the file system gives a file that is written through a map a new time (tmpfs does not)."""
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".bin") as probe:
        probe.write(b"text")
        probe.flush()
        os.utime(probe.name, ns=(OLD_NS, OLD_NS))
        mapped = Mapped(Path(probe.name))
        mapped.write(b"text", b"TEXT")
        mapped.map.flush()
        mapped.map.close()
        return os.stat(probe.name).st_mtime_ns != OLD_NS


class Bench:
    """The pipeline in this process, with a sweep every half second beside its watcher."""

    def __init__(self, root: Path, state_dir: Path) -> None:
        settings = Settings((KnowledgeBase(KbName(root.name), root),), state_dir, sweep_min_s=0.5)
        self.told: list[tuple[str, str, str]] = []
        self.pipeline = Pipeline(settings, {"HOME": str(state_dir), "XDG_STATE_HOME": str(state_dir)})
        self.pipeline.listeners.append(self._hear)
        self.pipeline.open()
        self.pipeline.start()
        assert self.pipeline.ready.wait(20)

    def _hear(self, report: PassReport) -> None:
        for change in report.applied.changes:
            after = change.after.revision if change.after is not None else ""
            self.told.append((str(change.key.entry_id), change.path, after))

    def await_sweeps(self, count: int) -> None:
        """Wait until so many more sweeps are over."""
        wanted = self.pipeline.metrics.sweeps + count
        eventually(lambda: self.pipeline.metrics.sweeps >= wanted, 60, what=f"{count} sweeps")

    def await_quiet(self) -> None:
        """Wait until the file's state is known for good: two sweeps that found nothing."""
        while True:
            before = len(self.told)
            self.await_sweeps(2)
            if len(self.told) == before:
                return


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A small KB on a file system that stamps mapped writes."""
    root = make_small_kb(tmp_path / "mapped")
    if not _stamps_mapped_writes(tmp_path):
        pytest.skip("this file system gives no new time to what is written through a map")
    opened = Bench(root, tmp_path / "state")
    yield opened
    opened.pipeline.stop()


def test_write_through_a_map_is_told_within_a_sweep(bench: Bench, tmp_path: Path) -> None:
    """Row 37: no notification tells of it; a sweep finds it, once."""
    file = tmp_path / "mapped" / "entry-1.md"
    mapped = Mapped(file)
    bench.await_quiet()
    mapped.write(b"Text 1", b"Mapped")
    bench.await_sweeps(3)
    told = [("entry-1", "entry-1.md", revision_of(file.read_bytes()))]
    assert bench.told == told
    mapped.map.close()
    bench.await_sweeps(2)
    assert bench.told == told
    assert bench.pipeline.metrics.sweep_repairs == 1


def test_second_write_through_a_map_is_told_too(bench: Bench, tmp_path: Path) -> None:
    """Row 37: a page that is dirty already gets no new time: what is mapped is read again in each sweep.

    Bug: the state read between two such writes was believed, so the second one was never told.
    """
    file = tmp_path / "mapped" / "entry-1.md"
    mapped = Mapped(file)
    bench.await_quiet()
    told = []
    for text, new in ((b"Text 1", b"Mapped"), (b"Mapped", b"Second"), (b"Second", b"Third.")):
        mapped.write(text, new)
        told.append(("entry-1", "entry-1.md", revision_of(file.read_bytes())))
        bench.await_sweeps(3)
        assert bench.told == told
    mapped.write(b"Third.", b"Fourth")
    mapped.map.close()
    told.append(("entry-1", "entry-1.md", revision_of(file.read_bytes())))
    bench.await_sweeps(3)
    assert bench.told == told


def test_map_is_told_where_sweeping_is_all_there_is(start: Starter, small_kb: Path) -> None:
    """Row 37: the same through the whole process, with `--poll`."""
    if not _stamps_mapped_writes(small_kb.parent):
        pytest.skip("this file system gives no new time to what is written through a map")
    scene = Scene.open(start(small_kb, options=["--poll", "0.5"]), {small_kb.name: small_kb})
    try:
        mapped = Mapped(small_kb / "entry-1.md")
        exactly(scene, lambda: mapped.write(b"Text 1", b"Mapped"), ONE_UPDATE)
        exactly(scene, lambda: mapped.write(b"Mapped", b"Second"), ONE_UPDATE)
        mapped.map.close()
        scene.check()
    finally:
        scene.close()


def _can_bind() -> bool:
    if shutil.which("unshare") is None or os.geteuid() != 0:
        return False
    try:
        run_tool("unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt", cwd=Path("/"))
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    "save",
    [
        "cat {new} > entry-1.md",
        "cp {new} .entry-1.md.tmp && mv .entry-1.md.tmp entry-1.md",
        "cp -p {new} entry-1.md",
    ],
    ids=["in place", "by rename", "cp -p"],
)
def test_write_through_another_mount_is_one_update(
    small_scene: Scene, small_kb: Path, tmp_path: Path, save: str
) -> None:
    """Row 37: the KB's folder mounted elsewhere, in a namespace of its own, and written to there."""
    if not _can_bind():
        pytest.skip("mounting needs root and a mount namespace (unshare -m)")
    source = older_copy(tmp_path / "backup")
    other = tmp_path / "other-mount"
    other.mkdir()
    script = f"mount --bind {small_kb} {other} && cd {other} && {save.format(new=source)}"
    exactly(
        small_scene,
        lambda: run_tool("unshare", "-m", "sh", "-c", script, cwd=tmp_path),
        ONE_UPDATE,
    )
    small_scene.check()
