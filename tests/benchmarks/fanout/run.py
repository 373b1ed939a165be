"""Fan-out: telling N tabs K things, ours against the C limit and the peers, all in one run.

    python tests/benchmarks/fanout/run.py [--quick] [--tabs 100,1000,5000] [--only ours,c,…] [--json FILE]

Builds and fetches what it needs into a cache folder (a C compiler with zlib, Node with npm; nginx with nchan
is the system's, or unpacked from Debian's packages), starts everything on loopback, and prints the table of
the README and the limits. CPU s/M: CPU seconds of the server per million deliveries. The servers have one
core, the tabs another.

Exit code 0: all limits kept; 1: one missed; 2: something did not answer within a deadline (nothing hangs).
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

import platformdirs

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.fanout.bench import FULL, QUICK, Bench
from benchmarks.fanout.program import cores
from benchmarks.fanout.servers import KINDS, Cache, MissingError
from benchmarks.fanout.table import AT, add_limits, markdown
from benchmarks.measure import Report

SPARE_FILES = 200
"""Descriptors that a server or the tabs need beside one a tab."""


class WedgedError(Exception):
    """The whole run took longer than its deadline."""


def _give_up(number: int, frame: FrameType | None) -> None:
    raise WedgedError


def raise_file_limit(tabs: list[int], report: Report) -> tuple[int, ...]:
    """Raise the limit of open files as far as it goes; leave out what is still too much, and say so."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    possible = tuple(count for count in tabs if most == resource.RLIM_INFINITY or count + SPARE_FILES <= most)
    for count in sorted(set(tabs) - set(possible)):
        report.note(
            f"NOT MEASURED: {count:,} tabs, more than the {most:,} files that a process may open here."
        )
    return possible


def main() -> int:
    """Run it and print the table."""
    keys = [kind.key for kind in KINDS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds, 100 and 1,000 tabs: below 2 minutes"
    )
    parser.add_argument("--tabs", metavar="N,N,…", help="numbers of tabs (100,1000,5000)")
    parser.add_argument("--only", metavar="KEY,…", help=f"of {','.join(keys)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where what is built and fetched stays")
    options = parser.parse_args()
    only = options.only.split(",") if options.only else keys
    if unknown := set(only) - set(keys):
        parser.error(f"--only knows {', '.join(keys)}, not {', '.join(sorted(unknown))}")
    plan = QUICK if options.quick else FULL
    tabs = [int(count) for count in options.tabs.split(",")] if options.tabs else list(plan.tabs)
    report = Report()
    plan = replace(plan, tabs=raise_file_limit(tabs, report))
    kinds = [kind for kind in KINDS if kind.key in only]
    cache = Cache(options.cache or platformdirs.user_cache_path("pyrite-watch") / "fanout-benchmark")
    if cores()[0] == cores()[1]:
        report.note("Servers and tabs share the only core: the milliseconds are worth little.")
    if AT not in plan.tabs:
        report.note(f"NOT CHECKED: the limits, which hold for {AT:,} tabs.")
    signal.signal(signal.SIGALRM, _give_up)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(plan.deadline_s)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pyrite-fanout-") as folder:
        try:
            bench = Bench(kinds, plan, cache, Path(folder).resolve(), report.note)
        except MissingError as error:
            print(f"fanout: the tabs' program cannot be built: {error}", file=sys.stderr)
            return 2
        try:
            bench.run()
            is_through = True
        except WedgedError:
            is_through = False
            report.note(f"WEDGED: the run took longer than {plan.deadline_s} s; this is what it had by then.")
        finally:
            signal.alarm(0)
    add_limits(report, bench.measured)
    if "ours" in only and "ours" not in bench.measured:
        report.note("MISSED: our own server could not be measured.")
        is_through = False
    report.note(f"The run took {time.monotonic() - began:.0f} s.")
    table = markdown(kinds, bench.measured, plan.tabs)
    print(f"{table}\n\n{report.table()}")
    if options.json:
        rows = {key: vars(found) for key, found in bench.measured.items()}
        options.json.write_text(
            json.dumps(report.as_json() | {"table": table, "rows": rows}, indent=2) + "\n", encoding="utf-8"
        )
    if not is_through:
        return 2
    return 0 if report.within else 1


if __name__ == "__main__":
    sys.exit(main())
