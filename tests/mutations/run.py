"""Take each mechanism out, in a copy, and see tests fail: proof that they bite.

    python tests/mutations/run.py [--list] [--only NAME ...] [--workers N]

Prints a table: what became of each mutation, which test failed, and how long that took. A test that caught
one must pass again in the same copy without it, so that a test which fails by itself proves nothing.
Exit code 0: none survived; 1: one did, or its tests fail without it.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutations.catalogue import MUTATIONS
from mutations.catalogue_editor import EDITOR_MUTATIONS
from mutations.catalogue_moves import MOVE_MUTATIONS
from mutations.catalogue_page import PAGE_MUTATIONS
from mutations.catalogue_server import SERVER_MUTATIONS
from mutations.catalogue_store import STORE_MUTATIONS
from mutations.mutation import Mutation

REPOSITORY = Path(__file__).resolve().parents[2]

ALL = (*MUTATIONS, *MOVE_MUTATIONS, *SERVER_MUTATIONS, *PAGE_MUTATIONS, *STORE_MUTATIONS, *EDITOR_MUTATIONS)

TIMEOUT_S = 300
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)
_NOT_DONE = "(not done in time)"
_SKIPPED = "(all were skipped)"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutation: `caught`, `SURVIVED`, or `NO PROOF`: skipped, or it fails without it too."""

    mutation: Mutation
    verdict: str
    test: str
    took_s: float


def copy_tree(folder: Path) -> Path:
    """Copy what the tests need; the product in it is found before the installed one."""
    copy = folder / "copy"
    copy.mkdir(parents=True)
    for name in ("pyrite_watch", "tests", "examples"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, copy / name)
    corpus = REPOSITORY.parent / "shared"
    if corpus.is_dir():
        (folder / "shared").symlink_to(corpus)
    return copy


def first_failure(copy: Path, tests: Sequence[str]) -> str | None:
    """Run tests in the copy until one fails, and name it. A run that takes too long has failed."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _NOT_DONE
    if done.returncode == 0:
        return None if re.search(r"\b[0-9]+ passed", done.stdout) else _SKIPPED
    found = _FAILED.search(done.stdout)
    return found[1] if found else f"(exit {done.returncode}) {(done.stdout + done.stderr)[-300:]}"


def attempt(mutation: Mutation, copy: Path) -> Outcome:
    """Apply one, run its tests, undo it, and see the test that failed pass."""
    began_s = time.monotonic()
    undo = mutation.apply(copy)
    try:
        test = first_failure(copy, mutation.tests)
    finally:
        undo()
    if test is None:
        verdict, test = "SURVIVED", "none of " + ", ".join(mutation.tests)
    elif test.startswith("(") and test != _NOT_DONE:  # skipped, or ended without naming a test
        verdict = "NO PROOF"
    else:
        again = mutation.tests if test == _NOT_DONE else (test,)
        verdict = "caught" if first_failure(copy, again) is None else "NO PROOF"
    return Outcome(mutation, verdict, test, time.monotonic() - began_s)


def run(mutations: Sequence[Mutation], workers: int) -> int:
    """Try them, each worker in a copy of its own; the number of those that were not caught."""
    print(f"{'':8}  {'mutation':20}  {'seconds':>7}  mechanism\n{'':39}  the test that failed", flush=True)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="pyrite-mutations-") as folder:
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(workers):
            copies.put(copy_tree(Path(folder).resolve() / str(number)))

        def attempt_in_a_copy(mutation: Mutation) -> None:
            nonlocal bad
            copy = copies.get()
            try:
                outcome = attempt(mutation, copy)
            finally:
                copies.put(copy)
            bad += outcome.verdict != "caught"
            row = f"{outcome.verdict:8}  {mutation.name:20}  {outcome.took_s:7.1f}  {mutation.takes_out}"
            print(f"{row}\n{'':39}  {outcome.test}", flush=True)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(attempt_in_a_copy, mutations))
    print(f"{len(mutations) - bad} of {len(mutations)} caught")
    return bad


def main() -> int:
    """Choose and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="name them and what they take out")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time (default 2)")
    options = parser.parse_args()
    chosen = [mutation for mutation in ALL if not options.only or mutation.name in options.only]
    unknown = set(options.only) - {mutation.name for mutation in ALL}
    if unknown:
        parser.error(f"no such mutation: {', '.join(sorted(unknown))}; see --list")
    if options.list:
        for mutation in chosen:
            print(f"{mutation.name:20}  {mutation.takes_out}")
        return 0
    return 1 if run(chosen, max(1, options.workers)) else 0


if __name__ == "__main__":
    sys.exit(main())
