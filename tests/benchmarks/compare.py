"""Is a save told later, or does doing nothing cost more, than at another commit? Both in one run.

    python tests/benchmarks/compare.py COMMIT [--saves 200] [--idle 60]

Starts this tree and COMMIT's side by side, each on a copy of its own of the same folders, and saves in turns,
so that both meet the same machine. Exit code 0: no ratio above its limit; 1: one is.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.corpus import copy_corpus_times
from harness.isolation import REPOSITORY
from harness.process import WatchProcess
from harness.socket import Tab

from benchmarks.main_job import Bench, Plan
from benchmarks.measure import Report, idle_cpu_percent, percentile

COPIES = 7

LIMIT_P50 = 1.1
LIMIT_IDLE = 1.2
"""Ratios to the other commit; two equal trees were measured 0.97 to 1.04 and 0.92 to 1.10 apart."""


def export(commit: str, folder: Path) -> Path:
    """Write a commit's tree into a folder; nothing of the repository changes."""
    archive = folder.with_suffix(".tar")
    done = subprocess.run(
        ["git", "archive", "--format=tar", f"--output={archive}", commit],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"compare: git does not know '{commit}': {done.stderr.strip()}")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder


class Side:
    """One of the two: its folders, its process, a tab."""

    def __init__(self, name: str, tree: Path, folder: Path) -> None:
        self.name = name
        self.bench = Bench(folder, Plan(0, 0.0, 0, 0))
        self.bench.rng = random.Random(7)
        self.roots = copy_corpus_times(folder / "kbs", COPIES)
        self.times_s: list[float] = []
        self._stack = contextlib.ExitStack()
        self.process = self._stack.enter_context(
            WatchProcess(
                *self.roots, home=self.bench.home, state_dir=folder / "state", env={"PYTHONPATH": str(tree)}
            )
        )
        self.process.wait_ready(120)
        self.tab = self._stack.enter_context(Tab(self.process.url, since="now"))
        self.tab.wait_type("ready")

    def save(self, file: Path) -> None:
        """Save once and note how long its event took."""
        self.times_s.append(self.bench.save(file, self.tab))

    def close(self) -> None:
        """Stop it."""
        self._stack.close()


@contextlib.contextmanager
def both(commit: str, folder: Path) -> Iterator[tuple[Side, Side]]:
    """Start this tree, then the commit's."""
    sides: list[Side] = []
    try:
        for name, tree in (("this tree", REPOSITORY), (commit, export(commit, folder / "theirs"))):
            place = folder / f"side-{len(sides)}"
            place.mkdir()
            sides.append(Side(name, tree, place))
        yield sides[0], sides[1]
    finally:
        for side in sides:
            side.close()


def compare(commit: str, folder: Path, saves: int, idle_s: float) -> Report:
    """Measure both in turns."""
    report = Report()
    with both(commit, folder) as (ours, theirs):
        files = zip(ours.bench.some(ours.roots, saves), theirs.bench.some(theirs.roots, saves), strict=True)
        for mine, other in files:
            ours.save(mine)
            theirs.save(other)
        for share in (0.5, 0.99):
            value, peer = (1000 * percentile(side.times_s, share) for side in (ours, theirs))
            limit = LIMIT_P50 * peer if share == 0.5 else None
            report.add(f"save to event, p{share * 100:.0f} of {saves}", value, "ms", limit, peer, commit)
        value, peer = idle_cpu_percent([ours.process.pid, theirs.process.pid], idle_s)
        report.add(f"idle CPU over {idle_s:g} s", value, "%", LIMIT_IDLE * peer, peer, commit)
    return report


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("commit", help="what to compare with: a commit, a tag, HEAD~3")
    parser.add_argument("--saves", type=int, default=200, help="saves on each side (200)")
    parser.add_argument("--idle", type=float, default=60.0, metavar="SECONDS", help="idle time (60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pyrite-compare-") as folder:
        report = compare(options.commit, Path(folder).resolve(), options.saves, options.idle)
    print(report.table())
    return 0 if report.within else 1


if __name__ == "__main__":
    sys.exit(main())
