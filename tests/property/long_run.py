"""The long run of the property test: `python tests/property/long_run.py [--minutes 30] [--seed N]`.

Prints its seed, and at the end how often each kind of operation was done, so that one sees that none is dead.
Exit code 1 at the first failure, with the steps that led to it.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from property.machine import Machine

LONG = settings(
    max_examples=9,  # from 10 on, Hypothesis begins with small ones: up to 50 of them
    stateful_step_count=60,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    verbosity=Verbosity.quiet,  # the steps are told below
    suppress_health_check=list(HealthCheck),
)
SEED_STEP = 1000
"""The seeds of the rounds of one run are so far apart."""


def _run_rounds(seed: int) -> str | None:
    """Run until the time is over; give what failed."""
    while time.monotonic() < Machine.ends_s:
        Machine._hypothesis_internal_use_seed = seed
        seed += SEED_STEP
        try:
            run_state_machine_as_test(Machine, settings=LONG)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            # Hypothesis calls it flaky when the clock ends what it wanted to repeat.
            if Machine.failures or time.monotonic() < Machine.ends_s:
                return (Machine.failures or [repr(error)])[0]
        steps, checks = sum(Machine.did.values()), Machine.did["check"]
        print(f"  {Machine.checked} runs, {steps} steps, {checks} checks", flush=True)
    return None


def main() -> int:
    """Run until the time is over or something fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.minutes:g} minutes", flush=True)
    Machine.ends_s = time.monotonic() + 60 * asked.minutes
    failure = _run_rounds(asked.seed)
    if failure is not None:
        print(f"\nFAILED\n{failure}")
    print(f"\nseed {asked.seed}: {Machine.checked} runs, {sum(Machine.did.values())} steps")
    for what, count in sorted(Machine.did.items()):
        print(f"  {count:6} {what}")
    print(f"  {Machine.slowest_s:6.2f} s until the slowest check held, after the marker")
    print(f"  {Machine.repairs:6} repairs by a sweep")
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main())
