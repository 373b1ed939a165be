"""`GET /metrics`: what the process counts, in Prometheus's text format (0.0.4), without a library for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from pyrite_watch import __version__
from pyrite_watch.index import queries
from pyrite_watch.server.answers import Responses, refusals
from pyrite_watch.server.context import Live, live_of, snapshot_for
from pyrite_watch.server.refusals import OF_READS

router = APIRouter(tags=["Server"])

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric, with a value for each set of labels."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Iterable[tuple[Labels, float]]


def render(families: Iterable[Family]) -> str:
    """Write metrics as Prometheus reads them; one without a sample is left out."""
    lines = []
    for family in families:
        samples = list(family.samples)
        if not samples:
            continue
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for labels, value in samples:
            inner = ",".join(f'{name}="{_escaped_label(text)}"' for name, text in labels.items())
            lines.append(
                f"{family.name}{{{inner}}} {_number(value)}" if inner else f"{family.name} {_number(value)}"
            )
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _escaped_label(text: str) -> str:
    return _escaped(text).replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


_EXAMPLE = """\
# HELP pyrite_watch_events_total Events told since the start.
# TYPE pyrite_watch_events_total counter
pyrite_watch_events_total 1204
# HELP pyrite_watch_entries Entries of a knowledge base.
# TYPE pyrite_watch_entries gauge
pyrite_watch_entries{kb="garden"} 9
"""

_METRICS: Responses = {
    200: {
        "description": "All of them",
        "content": {
            "text/plain": {
                "schema": {"type": "string", "description": "Prometheus's text format, 0.0.4"},
                "example": _EXAMPLE,
            }
        },
    }
}


@router.get(
    "/metrics",
    summary="Read the metrics",
    response_class=PlainTextResponse,
    response_model=None,
    responses=_METRICS | refusals(*OF_READS),
)
def get_metrics(request: Request, response: Response) -> Response:
    """What the process counts, for Prometheus. It names knowledge bases, so the token is needed.

    Counters begin at zero when the process starts; times are Unix seconds, durations seconds.
    """
    live = live_of(request)
    with snapshot_for(request, response) as snapshot:
        facts = queries.load_kb_facts(snapshot.connection)
        position = snapshot.position
    log = [
        _gauge("log_offset", "Offset of the newest event in the durable log.", position.offset),
        Family("pyrite_watch_epoch_info", "gauge", "The log's epoch.", [({"epoch": position.epoch}, 1)]),
    ]
    kbs = [
        Family(
            f"pyrite_watch_{name}", "gauge", text, [({"kb": kb}, fact[name]) for kb, fact in facts.items()]
        )
        for name, text in (
            ("entries", "Entries of a knowledge base."),
            ("problems", "Files of a knowledge base that are not, or not fully, entries."),
            ("available", "Whether a knowledge base's folder is there."),
        )
    ]
    return Response(render([*_of_process(live), *log, *kbs, *_of_hub(live)]), media_type=MEDIA_TYPE)


def _of_process(live: Live) -> list[Family]:
    pipeline, metrics = live.pipeline, live.pipeline.metrics
    version = Family(
        "pyrite_watch_build_info", "gauge", "The version that runs.", [({"version": __version__}, 1)]
    )
    mode = Family(
        "pyrite_watch_mode_info", "gauge", "How changes are found.", [({"mode": pipeline.mode.name}, 1)]
    )
    return [
        version,
        mode,
        _gauge("ready", "Whether the first pass is done and the watch is up.", pipeline.ready.is_set()),
        _counter("events_total", "Events told since the start.", metrics.events),
        _counter("sweeps_total", "Periodic comparisons with the disk.", metrics.sweeps),
        _counter("sweep_repairs_total", "Changes that the watcher had missed.", metrics.sweep_repairs),
        _gauge("last_sweep_timestamp_seconds", "When the last comparison ended.", metrics.last_sweep_at),
        _gauge("last_sweep_duration_seconds", "How long it took.", metrics.last_sweep_s),
        _counter("watcher_rebuilds_total", "How often the watcher was made anew.", metrics.watch_rebuilds),
        _counter(
            "index_retries_total", "Commits tried again: disk full, SQLite busy.", metrics.index_retries
        ),
        _gauge(
            "index_failing",
            "Whether the index cannot be written now.",
            metrics.last_index_error is not None or pipeline.failure is not None,
        ),
        _gauge("last_lag_seconds", "From the last change on the disk to its commit.", metrics.last_lag_s),
    ]


def _of_hub(live: Live) -> list[Family]:
    hub = live.manager.hub
    return [
        _gauge("connections", "Live sockets and streams.", live.manager.connection_count),
        _gauge("subscribers", "Readers that are registered at the fan-out.", hub.subscriber_count),
        _counter("subscribers_cut_off_total", "Subscribers that were too slow.", hub.cut_offs),
        _counter("frames_total", "Messages published to subscribers.", hub.end),
        _gauge("frames_kept", "Messages kept for those that lag.", hub.end - hub.start),
    ]


def _counter(name: str, text: str, value: float) -> Family:
    return Family(f"pyrite_watch_{name}", "counter", text, [({}, value)])


def _gauge(name: str, text: str, value: float | None) -> Family:
    """A value that goes up and down; None where there is none yet."""
    return Family(f"pyrite_watch_{name}", "gauge", text, [] if value is None else [({}, value)])
