"""Take each mechanism out, in a copy, and see tests fail: proof that they bite.

    python tests/mutations/run.py [NAME ...] [--list]

Prints for each mutation the tests that fail. Exit code 0: none survived; 1: one did, or no longer applies,
or its tests fail without it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutations.catalogue import MUTATIONS, Mutation

REPOSITORY = Path(__file__).resolve().parents[2]

TIMEOUT_S = 300
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def copy_tree(folder: Path) -> Path:
    """Copy what the tests need; the product in it is found before the installed one."""
    copy = folder / "copy"
    copy.mkdir()
    for name in ("pyrite_watch", "tests", "examples"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, copy / name)
    corpus = REPOSITORY.parent / "shared"
    if corpus.is_dir():
        (folder / "shared").symlink_to(corpus)
    return copy


def failing(copy: Path, tests: Sequence[str]) -> list[str]:
    """Run tests in the copy until one fails; what failed. A run that takes too long has failed."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return ["(not done in time)"]
    if done.returncode == 0:
        return []
    return _FAILED.findall(done.stdout) or [f"(exit {done.returncode}) {done.stdout[-300:]}"]


def run(mutations: Sequence[Mutation]) -> int:
    """Try them one after the other; the number of those that survived."""
    bad = 0
    with tempfile.TemporaryDirectory(prefix="pyrite-mutations-") as folder:
        copy = copy_tree(Path(folder).resolve())
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        print(f"without a mutation: {len(tests)} groups of tests …", flush=True)
        if broken := failing(copy, tests):
            print(f"  FAIL by themselves: {', '.join(broken)}")
            return 1
        for mutation in mutations:
            began_s = time.monotonic()
            undo = mutation.apply(copy)
            found = failing(copy, mutation.tests)
            undo()
            took = f"{time.monotonic() - began_s:.0f} s"
            print(f"{'caught' if found else 'SURVIVED':9} {mutation.name} ({took})", flush=True)
            for test in found:
                print(f"            {test}", flush=True)
            bad += not found
    print(f"{len(mutations) - bad} of {len(mutations)} caught")
    return bad


def main() -> int:
    """Choose and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="name them and what they take out")
    options = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if not options.names or mutation.name in options.names]
    unknown = set(options.names) - {mutation.name for mutation in MUTATIONS}
    if unknown:
        parser.error(f"no such mutation: {', '.join(sorted(unknown))}; see --list")
    if options.list:
        for mutation in chosen:
            print(f"{mutation.name:24} {mutation.takes_out}")
        return 0
    return 1 if run(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
