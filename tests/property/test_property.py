"""The short run of the property test; `tests/property/long_run.py` is the long one."""

from __future__ import annotations

import pytest
from harness.tools import needs_git
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from property.machine import Machine, explain

EXAMPLES, STEPS = 7, 30


@needs_git
@pytest.mark.timeout(400)
def test_every_replica_is_the_index_and_the_index_is_the_disk() -> None:
    """Whatever happens to files, roots, process and followers: nothing is missed, told twice or invented."""
    short = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,  # a real process settles in real time
        derandomize=True,  # the long run is the one that looks for new ways
        database=None,  # what depends on the moment does not recur from an example
        phases=(Phase.explicit, Phase.generate),  # nor can it be made smaller
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    explain(lambda: run_state_machine_as_test(Machine, settings=short))
