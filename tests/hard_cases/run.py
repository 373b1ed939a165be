"""Every row of the hard cases in every variation, several times in a row, also beside a busy core.

    python tests/hard_cases/run.py [--times 20] [--busy] [--long] [--first] [--workers 3] [ARGUMENT ...]

Exit code 0: all held each time; 1: the run that did not is shown, and it stops there (or goes on, with
`--keep-going`).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def burn() -> None:
    """Keep a core busy."""
    while True:
        pass


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="how often in a row (20)")
    parser.add_argument("--busy", action="store_true", help="keep one core busy meanwhile")
    parser.add_argument("--long", action="store_true", help="also the 60,000 files")
    parser.add_argument("--first", action="store_true", help="only the first variation of each test")
    parser.add_argument("--keep-going", action="store_true", help="go on after a run that failed")
    parser.add_argument("--workers", type=int, default=3, help="how many at the same time (3)")
    options, arguments = parser.parse_known_args()
    environment = os.environ | {
        "PYRITE_HARD_CASES": "first" if options.first else "all",
        "PYRITE_LONG": "1" if options.long else "0",
    }
    # One by one, in their order: the longest are first, and none of them is left to a single worker.
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(options.workers), "--maxschedchunk", "1"]
    burner = multiprocessing.Process(target=burn, daemon=True)
    if options.busy:
        burner.start()
    failed = 0
    try:
        for number in range(1, options.times + 1):
            began_s = time.monotonic()
            done = subprocess.run(
                [*command, str(FOLDER), *arguments],
                cwd=FOLDER.parents[1],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            last = done.stdout.strip().rpartition("\n")[2]
            print(f"{number:3} of {options.times}: {last} ({time.monotonic() - began_s:.0f} s)", flush=True)
            if done.returncode:
                print(done.stdout[-20_000:], done.stderr[-5_000:], sep="\n", flush=True)
                failed += 1
                if not options.keep_going:
                    break
    finally:
        if options.busy:
            burner.terminate()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
