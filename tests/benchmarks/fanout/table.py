"""What is shown: the table of the README, and the limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.fanout.bench import STALL_TABS, Measured, median
from benchmarks.fanout.servers import Kind
from benchmarks.measure import Report

LIMIT_SINGLE = 1.25
"""Times the C limit."""
LIMIT_STORM_S = 0.15
LIMIT_STORM_PEER = 0.5
"""Times the cheapest of `STORM_PEERS`."""
STORM_PEERS = ("uws", "nchan")
LIMIT_TAB_KIB = 36.0
LIMIT_STALL = 1.1
"""Times the last delivery without a stalled tab."""
LIMIT_STALL_MB = 12.0
LIMIT_DELAY_MS = 0.1
LIMIT_PLAIN = 1.2
"""Times the naive manager on the same server."""

AT = 1_000
"""The number of tabs for which the limits hold."""


def markdown(kinds: Sequence[Kind], measured: Mapping[str, Measured], tabs: Sequence[int]) -> str:
    """The table, a row a server."""
    numbers = " / ".join(f"{count:,}" for count in tabs)
    lines = [
        f"| server, with {numbers} tabs | single: CPU s/M | storm: CPU s/M | storm: ms per 1,000 events "
        f"| KiB a tab | one stalled among {STALL_TABS:,}: the others' last delivery, memory |",
        "|---|---|---|---|---|---|",
    ]
    for kind in kinds:
        for way in kind.ways:
            found = measured.get(way.key)
            if found is None:
                lines.append(f"| {way.title} | not measured | – | – | – | – |")
                continue
            cells = [
                _by_tabs({count: median(values) for count, values in by_tabs.items()}, tabs)
                for by_tabs in (found.single_s, found.storm_s, found.storm_ms)
            ]
            lines.append(
                f"| {way.title} | {' | '.join(cells)} | {_by_tabs(found.tab_kib, tabs)} | {_stalled(found)} |"
            )
    return "\n".join(lines)


def _by_tabs(values: Mapping[int, float], tabs: Sequence[int]) -> str:
    if not values:
        return "–"
    return " / ".join(_short(values[count]) if count in values else "–" for count in tabs)


def _short(value: float) -> str:
    if math.isnan(value):
        return "–"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _stalled(found: Measured) -> str:
    if found.stopped:
        return found.stopped
    if not found.stalled_ms:
        return "–"
    return f"{_stall_ratio(found):.2f} ×, {found.stall_mb:+.1f} MB"


def _stall_ratio(found: Measured) -> float:
    """How much later the last delivery is; NaN, which keeps no limit, where it never comes."""
    if found.stopped:
        return float("nan")
    return median(found.stalled_ms) / median(found.free_ms)


def add_limits(report: Report, measured: Mapping[str, Measured]) -> None:
    """Hold the figures against the limits; a limit that can't be checked is said aloud."""
    ours, plain = measured.get("ours"), measured.get("plain")
    if ours is not None:
        for key, name in (("ours", "single"), ("awaited", "single by await broadcast")):
            _add_singles(report, name, measured[key], measured.get("c"))
        for tabs, kib in ours.tab_kib.items():
            report.add(f"a tab, of {tabs:,}", kib, "KiB", LIMIT_TAB_KIB if tabs == AT else None)
        _add_storms(report, measured)
        _add_stall(report, "ours", ours)
        if ours.hub_ms:
            report.add("single, added to a direct write", _added(ours), "ms", LIMIT_DELAY_MS)
    if plain is not None:
        naive = measured.get("naive")
        peer = median(naive.single_s[AT]) if naive is not None and naive.single_s[AT] else None
        for key, name in (("plain", "single"), ("plain awaited", "single by await broadcast")):
            value, title = median(measured[key].single_s[AT]), f"foreign server: {name}"
            if peer is not None:
                report.add(title, value, "CPU s/M", LIMIT_PLAIN * peer, peer, "naive manager")
            else:
                report.add(title, value, "CPU s/M")
                report.note(f"NOT CHECKED: {title} against the naive manager, which was not measured.")
        _add_stall(report, "foreign server", plain)


def _added(ours: Measured) -> float:
    return median([hub - direct for hub, direct in zip(ours.hub_ms, ours.direct_ms, strict=True)])


def _add_singles(report: Report, name: str, found: Measured, limit: Measured | None) -> None:
    for tabs, values in found.single_s.items():
        title = f"{name}, {tabs:,} tabs"
        if limit is not None and limit.single_s[tabs]:
            peer = median(limit.single_s[tabs])
            most = LIMIT_SINGLE * peer if tabs == AT else None
            report.add(title, median(values), "CPU s/M", most, peer, "C limit")
        else:
            report.add(title, median(values), "CPU s/M")
            report.note(f"NOT CHECKED: {title} against the C limit, which was not measured.")


def _add_storms(report: Report, measured: Mapping[str, Measured]) -> None:
    peers = {key: median(measured[key].storm_s[AT]) for key in STORM_PEERS if key in measured}
    peers = {key: value for key, value in peers.items() if not math.isnan(value)}
    for key, name in (("ours", "storm"), ("joined", "storm by broadcast_event")):
        values = measured[key].storm_s[AT] if key in measured else []
        if not values:
            continue
        report.add(f"{name}, {AT:,} tabs", median(values), "CPU s/M", LIMIT_STORM_S)
        if peers:
            best = min(peers, key=lambda peer: peers[peer])
            report.add(
                f"{name}, against the best peer",
                median(values),
                "CPU s/M",
                LIMIT_STORM_PEER * peers[best],
                peers[best],
                best,
            )
        else:
            report.note(f"NOT CHECKED: {name} against {' or '.join(STORM_PEERS)}: neither was measured.")


def _add_stall(report: Report, name: str, found: Measured) -> None:
    if not (found.free_ms or found.stopped):
        return
    free_ms = median(found.free_ms)
    report.add(
        f"{name}: one stalled among {STALL_TABS:,}, the others' last delivery",
        _stall_ratio(found) * free_ms,
        "ms",
        LIMIT_STALL * free_ms,
        free_ms,
        "without it",
    )
    report.add(f"{name}: memory for the stalled one", found.stall_mb, "MB", LIMIT_STALL_MB)
    if not math.isnan(found.long_stall_mb):
        report.add(f"{name}: the same through many storms", found.long_stall_mb, "MB", LIMIT_STALL_MB)
