"""Kill the product again and again, and see after each time that nothing was lost and nothing came twice.

    python tests/crash/rounds.py [--rounds 200] [--seed N]

Each round is one death: at an exact point (`injection.py`) or at a random time. Exit code 0: all held.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

from crash.lives import Lives  # noqa: E402 - found by the line above

ON_DISK = ("write", "replace", "create", "delete", "rename")
BY_API = ("api update", "api patch", "api create", "api delete")
ANY = (*ON_DISK, *BY_API)
HIT_WITHIN_S = 4.0
"""How long to wait for the death; a point that is not passed by then was missed, and that is counted."""

START_WITHIN_S = 30.0
"""How long a start may take that does not come to its point."""


@dataclass(frozen=True)
class Point:
    """A way to die: where, the n-th passing of it at most, and what is done meanwhile.

    `at`: while it runs (`live`), in a start after changes (`start`), in a start that finds temporary
    files (`leftovers`) or a state of the first schema (`old`), in the first index of all (`first`), or
    in a clean stop (`stop`).
    """

    name: str
    kinds: Sequence[str] = ANY
    nth: int = 1
    at: str = "live"
    linger_s: float = 0.0


RANDOM = Point("random")

POINTS = (
    RANDOM,
    # A write through REST, from the first byte to the index.
    Point("half temporary", BY_API[:3]),
    Point("before exchange", BY_API[:2]),
    Point("after exchange", BY_API[:2]),
    Point("before new name", BY_API[2:3]),
    Point("after new name", BY_API[2:3]),
    Point("after own rename", (BY_API[0], BY_API[3])),
    Point("before index", BY_API),
    # In the transaction, and between commit and send.
    Point("statement apply", ANY, 40),
    Point("commit apply", ANY, 2, linger_s=0.05),
    Point("after apply", ANY, 2),
    Point("before fan-out", ANY, 2),
    # At rest.
    Point("statement merge", ANY, 12),
    Point("statement compaction", ON_DISK, 5),
    Point("before checkpoint", ANY),
    Point("middle checkpoint", ("create large",)),
    Point("after checkpoint", ANY),
    # In a start.
    Point("statement migration", at="old", nth=4),
    Point("commit migration", at="old", nth=1),
    Point("statement begin run", at="start", nth=4),
    Point("after begin run", at="start"),
    Point("statement names", at="start", nth=4),
    Point("before leftover", at="leftovers"),
    Point("after leftover", at="leftovers"),
    Point("statement apply", at="start", nth=60),
    Point("commit apply", at="start", nth=3),
    Point("after apply", at="start", nth=2),
    Point("statement epoch", at="start", nth=3),
    # In the first start of all.
    Point("statement migration", at="first", nth=25),
    Point("statement apply", at="first", nth=120),
    Point("commit apply", at="first", nth=5),
    Point("before epoch", at="first"),
    Point("statement epoch", at="first", nth=6),
    Point("commit epoch", at="first"),
    Point("after epoch", at="first"),
    # In a clean stop.
    Point("before end run", at="stop"),
    Point("after end run", at="stop"),
)


@dataclass
class Outcome:
    """What became of one round."""

    point: Point
    where: str = ""
    missed: int = 0
    hit: bool = False


class Rounds:
    """All rounds over one KB; those of a first index have one of their own each."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.lives = Lives(folder / "home", self.rng)
        self.firsts = 0

    def play(self, point: Point) -> Outcome:
        """One death, and the start after it."""
        if point.at == "first":
            return self._first(point)
        lives = self.lives
        if lives.process is None:
            lives.start()
            lives.verify()
        if point.at in ("live", "stop"):
            return self._live(point)
        return self._start(point)

    def close(self) -> None:
        """End what runs."""
        self.lives.close()

    def _nth(self, point: Point) -> int:
        return self.rng.randint(1, point.nth)

    def _live(self, point: Point) -> Outcome:
        """Die while changes are made."""
        lives = self.lives
        assert lives.process is not None
        # Compaction waits until more than ten events are past the retention.
        count = self.rng.randint(6, 14) if "compaction" not in point.name else 20
        if point is RANDOM:
            killer = threading.Timer(self.rng.random() * 0.15, lives.process.send_signal, [signal.SIGKILL])
            killer.start()
            lives.act(point.kinds, count, self._pause)
            killer.join()
            lives.end()
        else:
            lives.arm(point.name, nth=self._nth(point), linger_s=point.linger_s)
            lives.act(point.kinds, count, self._pause)
            if point.at == "stop":
                lives.process.send_signal(signal.SIGINT)
            lives.end(within_s=HIT_WITHIN_S)
        return self._outcome(point)

    def _pause(self) -> None:
        time.sleep(self.rng.random() * 0.004)

    def _start(self, point: Point) -> Outcome:
        """Die in a start that has much to do."""
        lives = self.lives
        if point.at == "leftovers":
            lives.arm("after exchange")
            lives.act(BY_API[:2], 3)
            lives.end(within_s=HIT_WITHIN_S)
            left = lives.leftovers
        else:
            lives.end()
            left = 0
        # In batches of four a rename may fall into two of them, and is then two events.
        batch = 4 if point.nth > 1 else self.rng.choice([4, 10_000])
        lives.act(ON_DISK if batch > 4 else ON_DISK[:-1], self.rng.randint(6, 14))
        if point.at == "old":
            make_old(lives.state_dir)
        lives.start(point=point.name, nth=self._nth(point), batch=batch)
        lives.end(within_s=START_WITHIN_S, or_ready=True)
        lives.leftovers += left
        return self._outcome(point)

    def _first(self, point: Point) -> Outcome:
        """Die in a first index; the next start makes one epoch, with the disk as its first state."""
        self.firsts += 1
        lives = Lives(self.folder / f"first-{self.firsts}", self.rng)
        try:
            lives.start(point=point.name, nth=self._nth(point), batch=5)
            lives.end(within_s=START_WITHIN_S, or_ready=True)
            where, epoch = lives.has_hit(), lives.epoch_on_disk()
            ready = lives.start().ready
            assert epoch is None or epoch == ready["epoch"], "an epoch that was committed is kept"
            assert ready["offset"] == 0, "the first index makes no events"
            lives.verify()
        finally:
            lives.close()
        shutil.rmtree(lives.home)
        return Outcome(point, where, 0, bool(where))

    def _outcome(self, point: Point) -> Outcome:
        where = self.lives.has_hit()
        self.lives.start()
        verdict = self.lives.verify()
        hit = verdict.was_in_the_middle if point is RANDOM else bool(where)
        return Outcome(point, where, len(verdict.missed), hit)


def restore_earliest(state_dir: Path) -> None:
    """Make a state of the first commit that had one."""
    state_dir.mkdir(parents=True)
    dump = TESTS / "index" / "states" / "schema_1_early.sql"
    with closing(sqlite3.connect(state_dir / "index.sqlite")) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))


def make_old(state_dir: Path) -> None:
    """Take a state back to the first schema: merging text, no index of events, and no further names."""
    with closing(sqlite3.connect(state_dir / "index.sqlite", isolation_level=None)) as connection:
        connection.execute("INSERT INTO entry_text (entry_text, rank) VALUES ('automerge', 4)")
        connection.execute("DROP INDEX event_key")
        connection.execute("DROP TABLE name")
        connection.execute("PRAGMA user_version = 1")


def schedule(rng: random.Random, count: int) -> Iterator[Point]:
    """Give every point in turn, in a random order; each third round is a random kill."""
    bag: list[Point] = []
    for number in range(count):
        if number % 3 == 2:
            yield RANDOM
            continue
        if not bag:
            bag = list(POINTS[1:])
            rng.shuffle(bag)
        yield bag.pop()


def play_all(folder: Path, seed: int, count: int, tell: Callable[[str], object] = print) -> list[Outcome]:
    """Play so many rounds; the first that fails ends it.

    Raises:
        AssertionError: A promise was broken.
    """
    rounds = Rounds(folder, seed)
    outcomes = []
    try:
        for number, point in enumerate(schedule(random.Random(seed), count), 1):
            began_s = time.perf_counter()
            try:
                outcome = rounds.play(point)
            except AssertionError as error:
                raise AssertionError(f"round {number} of seed {seed}, {point}: {error}") from error
            outcomes.append(outcome)
            took_s = time.perf_counter() - began_s
            where = " ".join(outcome.where.split())[:60]
            tell(
                f"{number:4} {point.at:9} {point.name:22} {took_s:4.1f} s  missed {outcome.missed:2}  {where}"
            )
    finally:
        rounds.close()
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> str:
    """Count the rounds by point, and how many of them hit."""
    played = Counter((outcome.point.at, outcome.point.name) for outcome in outcomes)
    hits = Counter((outcome.point.at, outcome.point.name) for outcome in outcomes if outcome.hit)
    lines = [
        f"  {at:9} {name:22} {hits[at, name]:3} of {count:3} hit" for (at, name), count in played.items()
    ]
    return "\n".join([*sorted(lines), f"  {sum(hits.values())} of {len(outcomes)} hit in the middle"])


def run() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    began_s = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="pyrite-crash-"))
    try:
        outcomes = play_all(folder, options.seed, options.rounds, lambda line: print(line, flush=True))
    except AssertionError as error:
        print(error, file=sys.stderr)
        print(f"Failed. What was left is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    print(summary(outcomes))
    print(f"{len(outcomes)} rounds in {time.perf_counter() - began_s:.0f} s, seed {options.seed}: all held")
    return 0


if __name__ == "__main__":
    sys.exit(run())
