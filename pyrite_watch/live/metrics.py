"""What the process counts about itself. Written by one thread each, read by any."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Metrics:
    """Totals since the start; times are Unix seconds, durations seconds.

    `sweep_repairs` is the project's own measure of quality: changes that no notification told.
    """

    events: int = 0
    sweeps: int = 0
    sweep_repairs: int = 0
    last_sweep_at: float | None = None
    last_sweep_s: float = 0.0
    watch_rebuilds: int = 0
    last_rebuild_reason: str | None = None
    index_retries: int = 0
    last_index_error: str | None = None
    last_lag_s: float | None = None
