"""Reports of runs that never happened, of any size."""

from __future__ import annotations

import base64
import math
import random

from flowyml_aws.report.data import (
    AssetEntry,
    ComparedEntry,
    ComparedRunEntry,
    ComparisonEntry,
    Curves,
    FailureEntry,
    Fix,
    ItemEntry,
    JobEntry,
    MapEntry,
    Preview,
    RunReport,
    Segment,
    SegmentKind,
    StepEntry,
)
from flowyml_aws.report.logs import log_ends
from flowyml_aws.runtime.logged import (
    LoggedImage,
    LoggedTable,
    LoggedText,
    MetricSeries,
    StepLogged,
)
from flowyml_aws.runtime.result import StepState
from flowyml_aws.runtime.usage import Series, StepUsage
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.compare import ComparedRun, Comparison, Kind, compare
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.origin import GitState, RunOrigin
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.starts import JobStart, StartKind, StartPart

__all__ = [
    "SERIES",
    "a_comparison",
    "a_report",
    "a_sweep",
    "hostile_report",
    "logged_values",
    "with_logged",
]

START = 1_796_000_000.0
SERIES = (
    "cpu_cores",
    "memory_mib",
    "disk_read_mib_s",
    "disk_write_mib_s",
    "network_in_mib_s",
    "network_out_mib_s",
    "gpu0_percent",
    "gpu0_memory_mib",
)
# The smallest PNG: one pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HOSTILE = "</script><img src=x onerror=alert(1)>\u202e\x00\x1b[31m'\"&{{7*7}}"


def a_report(
    jobs: int, *, failed: bool = False, log_lines: int = 2000, periods: int = 300
) -> RunReport:
    """Return the report of a run with one step in each job, with logs, curves and previews.

    Args:
        jobs: Number of jobs: prepare, then any number at the same time, then summarize.
        failed: Whether the second job failed.
        log_lines: Lines of each log.
        periods: Measured periods of each curve.
    """
    draw = random.Random(0)
    names = ["prepare", *(f"score-{number}" for number in range(1, jobs - 1)), "summarize"][:jobs]
    entries = [_job(name, names, draw, failed, log_lines, periods) for name in names]
    end = max(job.ended_at or START for job in entries)
    return RunReport(
        run_id="forecast-20261122-150531-3f9a1c",
        pipeline="forecast",
        backend="batch",
        region="eu-central-1",
        store="s3://ml-platform-runs/forecast",
        state=RunState.FAILED if failed else RunState.SUCCEEDED,
        created_at=START,
        ended_at=end,
        made_at=end + 60,
        origin=RunOrigin(
            user="ana",
            client="ana-laptop",
            python="3.12.4",
            git=GitState(commit="3f9a1c" * 6 + "3f9a", branch="main", changed_files=2),
            packages={f"package-{number}": f"1.{number}" for number in range(120)},
            parameters={"learning_rate": "0.01", "regions": "['eu', 'us']"},
        ),
        expected_cost_usd=0.40 * jobs / 4,
        expected_s=600.0,
        cost_usd=0.43 * jobs / 4,
        lost=LostAttempts(count=1, cost_usd=0.02),
        failures=(_failure(),) if failed else (),
        jobs=tuple(entries),
        steps=tuple(_step(job) for job in entries),
        assets=tuple(_asset(job) for job in entries),
        notes=("score-1 moved to m7i.large at $0.1008/h, on demand, on cpu: lost 2 hosts",),
    )


def with_logged(report: RunReport, logged: StepLogged, step: int = 0) -> RunReport:
    """Return a report in which a step has logged values."""
    steps = [*report.steps]
    steps[step] = steps[step].model_copy(update={"logged": logged})
    return report.model_copy(update={"steps": tuple(steps)})


def a_series(values: list[float]) -> MetricSeries:
    return MetricSeries(
        steps=tuple(range(len(values))),
        values=tuple(values),
        times=tuple(START + i for i in range(len(values))),
        count=len(values),
        low=min(values),
        high=max(values),
    )


def logged_values(points: int = 60) -> StepLogged:
    """Return a metric with one point, one with several points, an image, a table and a string."""
    losses = [2.3 * math.exp(-i / 15) + 0.05 * math.sin(i) for i in range(points)]
    return StepLogged(
        metrics={"loss": a_series(losses), "val/accuracy": a_series([0.973251])},
        images={"digit": LoggedImage(media_type="image/png", data=base64.b64encode(PNG).decode())},
        tables={
            "misread": LoggedTable(
                columns=("digit", "read as"), rows=((8, "3"), (9, None)), all_rows=25, all_columns=2
            )
        },
        texts={"note": LoggedText(text="the best of <b>4</b> candidates", is_cut=True)},
        left_out={"big": "a step keeps at most 20 tables"},
    )


def a_comparison() -> Comparison:
    """Return the comparison of two runs that differ in a parameter, a package and a metric."""
    runs = [
        ComparedRun(
            run_id=run_id,
            pipeline="forecast",
            backend="batch",
            state="succeeded",
            duration_s=300.0,
            cost_usd=0.5,
            values={
                (Kind.PARAMETER, None, "learning_rate"): rate,
                (Kind.CODE, None, "forecast.score"): "3f9a1c" * 10,
                (Kind.PACKAGE, None, "numpy"): numpy,
                (Kind.INPUT, None, "rows"): "ab" * 32,
                (Kind.METRIC, "prepare", "loss"): loss,
                (Kind.TIME, "prepare", ""): 60.0,
                (Kind.COST, "prepare", ""): 0.0012,
            },
        )
        for run_id, rate, numpy, loss in (
            ("forecast-20261121-090000-aaaaaa", "0.02", "2.1.0", 0.5),
            ("forecast-20261122-150531-3f9a1c", "0.01", "2.2.0", 0.25),
        )
    ]
    return compare(*runs)


def a_sweep() -> RunReport:
    """Return a report with a map of three items, of which the last one failed."""
    items = [
        ItemEntry(
            name=f"train[{number}]",
            job=f"train-{number}",
            state=StepState.FAILED if number == 2 else StepState.SUCCEEDED,
            is_dropped=number == 2,
            duration_s=1.5,
            reason="ValueError: diverged" if number == 2 else None,
            parameters={"rate": str(number / 10)},
            metrics={} if number == 2 else {"loss": 1.0 / (number + 1)},
        )
        for number in range(3)
    ]
    entry = MapEntry(name="train", text="2 of 3 items succeeded", required=1, items=tuple(items))
    return a_report(3).model_copy(update={"maps": (entry,)})


def hostile_report() -> RunReport:
    """Return a report in which every name and text tries to run code or to hide itself."""
    report = a_report(4, failed=True, log_lines=3)
    evil = {"name": HOSTILE, "steps": (HOSTILE,), "reason": HOSTILE, "after": (), "edges": {}}
    jobs = [*report.jobs]
    jobs[1] = jobs[1].model_copy(
        update={**evil, "log": log_ends([HOSTILE]), "target": HOSTILE, "instance_type": HOSTILE}
    )
    steps = [*report.steps]
    steps[1] = steps[1].model_copy(
        update={
            "name": HOSTILE,
            "job": HOSTILE,
            "reason": HOSTILE,
            "inputs": (HOSTILE,),
            "logged": StepLogged(
                metrics={HOSTILE: a_series([1.0, 2.0])},
                tables={
                    HOSTILE: LoggedTable(
                        columns=(HOSTILE,), rows=((HOSTILE,),), all_rows=1, all_columns=1
                    )
                },
                texts={HOSTILE: LoggedText(text=HOSTILE)},
                left_out={f"other {HOSTILE}": HOSTILE},
            ),
        }
    )
    assets = [*report.assets]
    preview = Preview(kind="table", columns=(HOSTILE,), rows=((HOSTILE,),), text=HOSTILE)
    assets[1] = assets[1].model_copy(
        update={"name": HOSTILE, "step": HOSTILE, "uri": HOSTILE, "preview": preview}
    )
    failure = FailureEntry(
        job=HOSTILE, step=HOSTILE, reason=HOSTILE, kind=HOSTILE, message=HOSTILE, traceback=HOSTILE
    )
    side = ComparedRunEntry(
        run_id=HOSTILE,
        pipeline=HOSTILE,
        backend=HOSTILE,
        state=HOSTILE,
        duration_s=None,
        cost_usd=None,
    )
    assert report.origin is not None
    return report.model_copy(
        update={
            "pipeline": HOSTILE,
            "jobs": tuple(jobs),
            "steps": tuple(steps),
            "assets": tuple(assets),
            "failures": (failure,),
            "notes": (HOSTILE,),
            "comparison": ComparisonEntry(
                first=side,
                second=side,
                values=(
                    ComparedEntry(
                        kind=Kind.PACKAGE, step=HOSTILE, name=HOSTILE, first=HOSTILE, second=None
                    ),
                ),
                notes=(HOSTILE,),
            ),
            "origin": report.origin.model_copy(
                update={"parameters": {HOSTILE: HOSTILE}, "packages": {HOSTILE: HOSTILE}}
            ),
        }
    )


def _job(
    name: str, names: list[str], draw: random.Random, failed: bool, log_lines: int, periods: int
) -> JobEntry:
    is_first, is_last = name == names[0], name == names[-1] and len(names) > 1
    ready = START + (0 if is_first else 320 if is_last and len(names) > 2 else 90)
    wait, down, run, up = (draw.uniform(*span) for span in ((5, 40), (1, 6), (20, 150), (0.5, 4)))
    has_failed = failed and [name] == names[1:2]
    lost = [(SegmentKind.LOST, 12.0), (SegmentKind.WAITING, 8.0)] if [name] == names[-2:-1] else []
    spans = [
        (SegmentKind.WAITING, wait),
        *lost,
        (SegmentKind.PULL, 4.0),
        (SegmentKind.DOWNLOAD, down),
        (SegmentKind.COMPUTE, run),
        (SegmentKind.UPLOAD, up),
    ]
    segments, time = [], ready
    for kind, seconds in spans:
        step = name if kind is SegmentKind.COMPUTE else None
        segments.append(Segment(kind=kind, step=step, started_at=time, ended_at=time + seconds))
        time += seconds
    parents = () if is_first else tuple(names[1:-1]) if is_last and names[2:] else (names[0],)
    return JobEntry(
        name=name,
        steps=(name,),
        after=parents,
        edges={parent: (f"{parent} result",) for parent in parents},
        state=JobState.FAILED if has_failed else JobState.SUCCEEDED,
        reason=f"step '{name}': ValueError: a bad row" if has_failed else None,
        attempt=2 if lost else 1,
        backend="batch",
        target="cpu",
        vcpus=2,
        memory_mib=4096,
        instance_type="m7i.large",
        planned_instance_type="m7i.large",
        started_at=ready + wait,
        ended_at=time,
        cost_usd=0.1008 * (time - ready - wait) / 3600,
        lost=LostAttempts(count=1, cost_usd=0.02) if lost else LostAttempts(),
        segments=tuple(segments),
        is_estimated=False,
        start=None if lost else _start(wait, down),
        curves=_curves(draw, time - run, run, periods),
        log=log_ends(_log(draw, log_lines)),
    )


def _start(wait: float, down: float) -> JobStart:
    """Return the start of a job on an instance that was there, whose pull is not reported."""
    unsplit = (StartKind.QUEUE, StartKind.IMAGE, StartKind.CONTAINER)
    rest = {StartKind.PYTHON: 0.6, StartKind.CODE: 0.2, StartKind.IMPORTS: 3.1}
    return JobStart(
        parts=(
            StartPart(kinds=unsplit, seconds=wait),
            *(StartPart(kinds=(kind,), seconds=seconds) for kind, seconds in rest.items()),
            StartPart(kinds=(StartKind.INPUTS,), seconds=down),
        ),
        absent=(StartKind.INSTANCE,),
        is_whole=True,
    )


def _curves(draw: random.Random, start: float, seconds: float, periods: int) -> Curves | None:
    if not periods:
        return None
    series = []
    for name in SERIES:
        scale = {"cpu_cores": 2.0, "memory_mib": 3000.0}.get(name, 90.0)
        low = [
            scale * (0.5 + 0.35 * math.sin(i / 20) + draw.uniform(-0.1, 0.1))
            for i in range(periods)
        ]
        high = tuple(value * draw.uniform(1.0, 1.1) for value in low)
        series.append(Series(name=name, low=tuple(low), high=high))
    return Curves(started_at=start, period_s=seconds / periods, series=tuple(series))


def _log(draw: random.Random, lines: int) -> list[str]:
    return [
        f"2026-11-22 15:05:{i % 60:02} INFO epoch {i} loss {draw.random():.5f} "
        f"accuracy {draw.random():.5f} at {draw.getrandbits(32):08x}"
        for i in range(lines)
    ]


def _step(job: JobEntry) -> StepEntry:
    (compute,) = (s for s in job.segments if s.kind is SegmentKind.COMPUTE)
    has_failed = job.state is JobState.FAILED
    return StepEntry(
        name=job.name,
        job=job.name,
        state=StepState.FAILED if has_failed else StepState.SUCCEEDED,
        retries=1 if has_failed else 0,
        started_at=compute.started_at,
        ended_at=compute.ended_at,
        inputs=tuple(asset for assets in job.edges.values() for asset in assets)[:50],
        outputs=(f"{job.name} result",),
        usage=StepUsage(cpu_core_s=1.4 * compute.duration_s, memory_peak_mib=2900.0),
    )


def _asset(job: JobEntry) -> AssetEntry:
    return AssetEntry(
        name=f"{job.name} result",
        step=job.name,
        run_id="forecast-20261122-150531-3f9a1c",
        uri="s3://ml-platform-runs/forecast/artifacts/3f/" + "3f9a1c" * 10,
        size_bytes=123_456,
        value_bytes=200_000,
        codec="pandas/1",
        preview=Preview(
            kind="table",
            columns=("region\nstring", "demand\nfloat64"),
            rows=(("eu", "1.25"), ("us", "3.5")),
            shape=(1200, 2),
        ),
    )


def _failure() -> FailureEntry:
    return FailureEntry(
        job="score-1",
        step="score-1",
        reason="step 'score-1': ValueError: a bad row",
        kind="ValueError",
        message="a bad row: demand is negative in 3 of 1,200 rows",
        traceback='Traceback (most recent call last):\n  File "forecast.py", line 41, in score\n'
        "    check(frame)\n"
        '  File "checks.py", line 12, in check\n    raise ValueError(message)\n'
        "ValueError: a bad row: demand is negative in 3 of 1,200 rows\n",
        cause="step",
        fixes=(
            Fix(text="Correct step 'score-1', then run the pipeline again."),
            Fix(
                text="If the failure was temporary, continue this run:",
                command="flowyml-aws resume forecast-20261122-150531-3f9a1c",
            ),
            Fix(
                text="Read the whole log:",
                command="flowyml-aws logs forecast-20261122-150531-3f9a1c score-1",
            ),
        ),
    )
