"""Collection of a report from the documents of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.caching.run_keys import RunKeys, read_keys
from flowyml_aws.core.concurrency import SERVICE_CALLS, STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import DamagedArtifactError, FlowymlError
from flowyml_aws.planning.cost_shares import highest_sum_usd
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob, ReusedStep
from flowyml_aws.report.advice import advice_entries
from flowyml_aws.report.data import (
    ApprovalEntry,
    AssetEntry,
    Curves,
    ExpansionEntry,
    JobEntry,
    LogEnds,
    Preview,
    RunReport,
    Segment,
    SegmentKind,
    StepEntry,
)
from flowyml_aws.report.expanded import with_sub_reports
from flowyml_aws.report.failures import failure_entries
from flowyml_aws.report.logs import log_ends
from flowyml_aws.report.maps import read_maps
from flowyml_aws.report.preview import preview_of
from flowyml_aws.report.timeline import (
    estimated_segments,
    recorded_segments,
    waiting_segments,
    with_waits,
)
from flowyml_aws.runtime.logged import StepLogged
from flowyml_aws.runtime.result import JobResult
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.runtime.usage import JobUsage
from flowyml_aws.submission.approvals import ApprovalView, approval_notes
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.cost_limit import limit_notes
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.history import read_times
from flowyml_aws.submission.logged import RunLogged
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.missing_output import missing_outputs, produced_assets
from flowyml_aws.submission.origin import read_origin
from flowyml_aws.submission.record import RunRecord
from flowyml_aws.submission.starts import JobStart, start_of
from flowyml_aws.submission.status import (
    JobView,
    RunStatus,
    client_warning,
    gpu_notes,
    item_notes,
    machine_notes,
    missing_items,
    value_notes,
)
from flowyml_aws.submission.times import JobTimes, split_wait
from flowyml_aws.submission.usage import read_usages

__all__ = ["Reading", "collect", "make_report"]

_MAX_JOBS = 2000  # jobs whose documents are read one by one
_MAX_LOGS = 200  # a service answers few requests for logs per second
_MAX_PREVIEWS = 200


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that a report is made from, as it was read.

    Attributes:
        status: Status of the run, with tracebacks.
        results: Results of jobs; not those of all jobs if there are many.
        usages: Use of the machine by the newest attempt of a job.
        lost_periods: Periods of earlier attempts of a job.
        logs: Logs of the newest attempts.
        previews: Previews of stored values.
        logged: Logged values by step.
        shortened: Sentences on documents that were not read.
        now: Time of the report, in seconds since the epoch.
    """

    store: str
    record: RunRecord
    plan: ExecutionPlan
    status: RunStatus
    results: Mapping[str, JobResult]
    usages: Mapping[str, JobUsage]
    lost_periods: Mapping[str, Sequence[Segment]]
    logs: Mapping[str, LogEnds]
    previews: Mapping[str, Preview]
    logged: Mapping[str, StepLogged]
    keys: RunKeys | None
    shortened: tuple[str, ...]
    now: float


def collect(driver: RunDriver, now: float) -> RunReport:
    """Read everything about a run, and return its report. Nothing is submitted or changed.

    Values whose decoding could run code are not loaded.

    Args:
        driver: Driver of the run.
        now: Seconds since the epoch.

    Raises:
        FlowymlError: The store or the backend can't report the jobs' states.
    """
    reading = _read(driver, now)
    origin = read_origin(driver.store, driver.record.run_id)
    advice = advice_entries(reading.plan, read_times(driver.store, driver.record.pipeline))
    maps = read_maps(driver.store, reading.status, origin)
    report = make_report(reading).model_copy(
        update={"origin": origin, "advice": advice, "maps": maps}
    )
    started = (each.step for each in reading.status.expansions if each.status is not None)
    parts = {step: driver.sub_run(step) for step in started}
    return with_sub_reports(
        report, {step: collect(part, now) for step, part in parts.items() if part is not None}
    )


def make_report(reading: Reading) -> RunReport:
    """Return the report of a run. Everything is known already."""
    plan, status, record = reading.plan, reading.status, reading.record
    ends = {view.job.name: _end(reading, view) for view in status.jobs}
    jobs = tuple(_job(reading, view, ends) for view in status.jobs)
    notes = [
        *limit_notes(status),
        *gpu_notes(status, reading.now),
        *item_notes(status),
        *missing_items(status),
        *plan.notes,
        *approval_notes(status.approvals, status.run_id),
        *map(str, status.moves),
        *machine_notes(status),
        *value_notes(status),
    ]
    warning = client_warning(status)
    return RunReport(
        run_id=record.run_id,
        pipeline=record.pipeline,
        backend=record.backend,
        region=plan.region,
        store=reading.store,
        state=status.state,
        created_at=record.created_at,
        ended_at=_ended_at(status),
        made_at=reading.now,
        resumes=record.resumes,
        expected_cost_usd=_expected_cost(plan),
        expected_s=None if plan.estimate is None else plan.estimate.wall_s,
        cost_usd=status.cost_usd,
        lost=status.lost_attempts,
        cost_limit=status.cost_limit,
        failures=tuple(failure_entries(status)),
        jobs=jobs,
        steps=tuple(_steps(reading)),
        assets=tuple(_assets(reading)),
        approvals=tuple(_approval(view, plan) for view in status.approvals),
        notes=(*notes, *([warning] if warning else [])),
        shortened=reading.shortened,
        expansions=tuple(
            ExpansionEntry(
                step=each.step,
                run_id=each.run_id,
                state=None if each.status is None else each.status.state,
                refusal=each.refusal,
            )
            for each in status.expansions
        ),
    )


def _read(driver: RunDriver, now: float) -> Reading:
    status = driver.status()
    shortened: list[str] = []
    names = [view.job.name for view in status.jobs]
    failed = [view.job.name for view in status.jobs if view.state is JobState.FAILED]
    # Those of failed jobs first: their tracebacks and logs are needed most.
    order = list(dict.fromkeys((*failed, *names)))
    if len(order) > _MAX_JOBS:
        shortened.append(
            f"Details of {len(order) - _MAX_JOBS:,} of {len(order):,} jobs: their stored values, "
            "logged values, use of the machine, and tracebacks."
        )
    detailed = frozenset(order[:_MAX_JOBS])
    views = [view for view in status.jobs if view.job.name in detailed]
    results = driver.reports.results(order[:_MAX_JOBS])
    status = replace(status, jobs=tuple(_with_tracebacks(v, results) for v in status.jobs))
    started = {view.job.name for view in status.jobs if view.attempt}
    logs = _read_logs(driver, [name for name in order if name in started], shortened)
    return Reading(
        store=driver.store.uri,
        record=driver.record,
        plan=driver.plan,
        status=status,
        results=results,
        usages=_read_usages(driver, views),
        lost_periods=_read_lost_periods(driver, views),
        logs=logs,
        previews=_read_previews(driver, results, shortened),
        logged=dict(RunLogged(driver.store, replace(status, jobs=tuple(views)))),
        keys=_read_keys(driver),
        shortened=tuple(shortened),
        now=now,
    )


def _with_tracebacks(view: JobView, results: Mapping[str, JobResult]) -> JobView:
    result = results.get(view.job.name)
    if result is None or view.result is None:
        return view
    return replace(view, steps=result.steps, result=JobSummary.of(result))


def _read_usages(driver: RunDriver, views: Sequence[JobView]) -> dict[str, JobUsage]:
    attempts = {
        view.job.name: view.attempt if view.result is None else view.result.attempt
        for view in views
    }
    return read_usages(driver.store, driver.record.run_id, attempts)


def _read_lost_periods(driver: RunDriver, views: Sequence[JobView]) -> dict[str, Sequence[Segment]]:
    """Return the periods of earlier attempts: from the first to the last object of each."""
    layout = RunLayout(driver.record.run_id)

    def read(view: JobView) -> Sequence[Segment]:
        times: dict[int, list[float]] = {}
        for entry in driver.store.walk(layout.attempts(view.job.name)):
            number = entry.key.removeprefix(layout.attempts(view.job.name)).partition("/")[0]
            if number.isdecimal() and 0 < int(number) < view.attempt:
                times.setdefault(int(number), []).append(entry.modified_at)
        return [
            Segment(kind=SegmentKind.LOST, started_at=min(found), ended_at=max(found))
            for _, found in sorted(times.items())
        ]

    repeated = [view for view in views if view.attempt > 1]
    periods = map_concurrently(read, repeated, limit=STORE_REQUESTS)
    return {view.job.name: found for view, found in zip(repeated, periods, strict=True)}


def _read_logs(driver: RunDriver, jobs: Sequence[str], shortened: list[str]) -> dict[str, LogEnds]:
    if len(jobs) > _MAX_LOGS:
        shortened.append(
            f"Logs of {len(jobs) - _MAX_LOGS:,} of {len(jobs):,} jobs; read them with "
            f"`flowyml-aws logs {driver.record.run_id} JOB`."
        )

    def read(job: str) -> LogEnds:
        try:
            lines, _ = driver.backend.logs(job, None)
        except FlowymlError as error:
            return LogEnds(problem=f"{error.what}: {error.why}")
        return log_ends(line.message for line in lines)

    names = jobs[:_MAX_LOGS]
    logs = map_concurrently(read, names, limit=SERVICE_CALLS)
    return dict(zip(names, logs, strict=True))


def _read_previews(
    driver: RunDriver, results: Mapping[str, JobResult], shortened: list[str]
) -> dict[str, Preview]:
    refs = {asset: ref for result in results.values() for asset, ref in result.assets.items()}
    if len(refs) > _MAX_PREVIEWS:
        shortened.append(
            f"Previews of {len(refs) - _MAX_PREVIEWS:,} of {len(refs):,} values; print one with "
            f"`flowyml-aws get {driver.record.run_id} ASSET`."
        )
    return {
        asset: preview_of(driver.store, ref, asset)
        for asset, ref in list(refs.items())[:_MAX_PREVIEWS]
    }


def _read_keys(driver: RunDriver) -> RunKeys | None:
    try:
        return read_keys(driver.store, driver.record.run_id)
    except DamagedArtifactError:
        return None  # written by another version


def _ended_at(status: RunStatus) -> float | None:
    if status.ended_at is not None or not all(view.state.ended for view in status.jobs):
        return status.ended_at
    ends = [view.result.ended_at for view in status.jobs if view.result is not None]
    return max(ends, default=None)


def _expected_cost(plan: ExecutionPlan) -> float | None:
    if plan.estimate is not None:
        return plan.estimate.cost_usd
    costs = [job.expected_cost_usd for job in plan.jobs]
    return None if None in costs or not costs else highest_sum_usd(plan.jobs, costs)


def _start(view: JobView) -> float | None:
    if view.is_skipped:
        return None
    if view.result is not None:
        return view.result.started_at
    return min((s.started_at for s in view.steps if s.started_at is not None), default=None)


def _end(reading: Reading, view: JobView) -> float:
    """Return the time until which the jobs after a job wait for it, or for its pipeline."""
    if view.result is None:
        return reading.now
    parts = (e.status for e in reading.status.expansions if e.step in view.job.steps)
    ends = (reading.now if part.ended_at is None else part.ended_at for part in parts if part)
    return max(view.result.ended_at, *ends, 0.0)


def _job(reading: Reading, view: JobView, ends: Mapping[str, float]) -> JobEntry:
    job = view.job
    ready_at = _ready_at(reading, view, ends)
    segments, is_estimated = _segments(reading, view, ready_at)
    usage = reading.usages.get(job.name)
    return JobEntry(
        name=job.name,
        group=job.group,
        steps=job.steps,
        mapped=job.mapped,
        after=job.after,
        edges=_edges(job),
        approvals=job.approvals,
        state=view.state,
        is_skipped=view.is_skipped,
        reason=view.reason,
        attempt=view.attempt,
        backend=job.backend,
        target=job.target,
        capacity=job.capacity,
        vcpus=job.needs.vcpus,
        memory_mib=job.needs.memory_mib,
        gpu_count=job.needs.gpu_count,
        instance_type=None if view.is_skipped else view.instance_type,
        planned_instance_type=job.instance_type,
        nodes=job.needs.nodes,
        started_at=_start(view),
        ended_at=None if view.result is None or view.is_skipped else view.result.ended_at,
        cost_usd=view.cost_usd,
        expected_cost_usd=job.expected_cost_usd,
        lost=reading.status.lost.get(job.name, LostAttempts()),
        bill=reading.status.bills.get(job.name),
        segments=segments,
        is_estimated=is_estimated,
        start=_start_parts(reading, view, ready_at),
        curves=None if usage is None else _curves(usage),
        log=reading.logs.get(job.name),
    )


def _approval(view: ApprovalView, plan: ExecutionPlan) -> ApprovalEntry:
    planned = view.planned
    produced = {a: job.name for job in plan.jobs for each in job.produces.values() for a in each}
    edges: dict[str, tuple[str, ...]] = dict.fromkeys(planned.after, ())
    for asset in planned.inputs:
        if (job := produced.get(asset)) is not None:
            edges[job] = (*edges.get(job, ()), asset)
    return ApprovalEntry(
        name=view.name,
        state=view.state,
        answer=None if view.answer is None else str(view.answer),
        edges=edges,
        approvals=planned.approvals,
    )


def _edges(job: PlannedJob) -> dict[str, tuple[str, ...]]:
    edges: dict[str, tuple[str, ...]] = dict.fromkeys(job.after, ())
    for asset, source in job.reads.items():
        if source is not None:
            edges[source] = (*edges.get(source, ()), asset)
    return edges


def _curves(usage: JobUsage) -> Curves:
    return Curves(
        started_at=usage.started_at,
        period_s=usage.period_s,
        series=usage.series,
        missing=usage.missing,
    )


def _ready_at(reading: Reading, view: JobView, ends: Mapping[str, float]) -> float:
    """Return the time from which a job waits for nothing but a machine."""
    parents = [ends[name] for name in view.job.after if name in ends]
    answers = [
        each.answer.answered_at
        for each in reading.status.approvals
        if each.answer is not None and each.name in view.job.approvals
    ]
    return max((reading.record.created_at, *parents, *answers))


def _start_parts(reading: Reading, view: JobView, ready_at: float) -> JobStart | None:
    """Return the parts of the start of a job, unless an attempt was lost before."""
    name = view.job.name
    if view.is_skipped or reading.lost_periods.get(name):
        return None
    times, usage = reading.status.times.get(name, JobTimes()), reading.usages.get(name)
    return start_of(times, usage, ready_at, _start(view), view.job.instance_type is None)


def _segments(reading: Reading, view: JobView, ready_at: float) -> tuple[tuple[Segment, ...], bool]:
    lost = reading.lost_periods.get(view.job.name, ())
    usage, started_at = reading.usages.get(view.job.name), _start(view)
    ended_at = reading.now if view.result is None else view.result.ended_at
    if usage is not None and usage.phases:
        ran, is_estimated = recorded_segments(usage.phases), False
    elif started_at is not None:
        ran = estimated_segments(started_at, ended_at, view.steps, reading.now)
        is_estimated = True
    else:
        ran, is_estimated = [], True
    if not ran and not lost and (view.state is JobState.WAITING or view.state.ended):
        return (), is_estimated  # it has never waited for a machine
    until = _ended_at(reading.status) or reading.now
    times = reading.status.times.get(view.job.name)
    if times is not None and ran and not lost:
        begin = ran[0].started_at
        ran = [*waiting_segments(split_wait(times, usage, ready_at, begin), begin), *ran]
    return with_waits(ready_at, [*lost, *ran], until), is_estimated


def _steps(reading: Reading) -> Iterable[StepEntry]:
    """Yield the steps: first those that are reused, then those of the jobs, in plan order."""
    keys = {} if reading.keys is None else reading.keys.steps
    reports = reading.status.steps
    jobs = {step: view.job for view in reading.status.jobs for step in view.job.steps}
    for name, report in reports.items():
        job, reused = jobs.get(name), reading.status.reused.get(name)
        inputs = tuple(keys[name].assets) if name in keys else ()
        usage = reading.usages.get(job.name) if job is not None else None
        yield StepEntry(
            name=name,
            job=None if job is None else job.name,
            state=report.state,
            retries=report.retries,
            started_at=report.started_at,
            ended_at=report.ended_at,
            reason=report.reason,
            reused_from=None if reused is None else reused.run_id,
            inputs=inputs or _inputs_of_job(job),
            outputs=_outputs(name, job, reused),
            usage=None if usage is None else usage.steps.get(name),
            logged=reading.logged.get(name),
        )


def _inputs_of_job(job: PlannedJob | None) -> tuple[str, ...]:
    """Return the inputs of the only step of a job; those of several steps are not known."""
    return tuple(job.reads) if job is not None and len(job.steps) == 1 else ()


def _outputs(step: str, job: PlannedJob | None, reused: ReusedStep | None) -> tuple[str, ...]:
    if job is not None:
        return job.produces.get(step, ())
    return reused.produces if reused is not None else ()


def _assets(reading: Reading) -> Iterable[AssetEntry]:
    sizes: dict[str, int] = {}  # of stored values, whose refs are not read if there are many jobs
    refs: dict[str, ArtifactRef] = {}
    for view in reading.status.jobs:
        sizes.update(view.result.asset_bytes if view.result is not None else {})
    for result in reading.results.values():
        refs.update(result.assets)
    for step in reading.status.reused.values():
        refs.update(step.assets)
    missing = missing_outputs(reading.status, sizes.keys() | refs.keys())
    for step_name, assets in produced_assets(reading.status).items():
        reused = reading.status.reused.get(step_name)
        run_id = reused.run_id if reused is not None else None
        for asset in assets:
            yield _asset(
                asset,
                step_name,
                run_id or reading.record.run_id,
                refs.get(asset),
                sizes.get(asset),
                missing[asset].why if asset in missing else None,
                reading.previews.get(asset),
            )


def _asset(
    asset: str,
    step: str,
    run_id: str,
    ref: ArtifactRef | None,
    size_bytes: int | None,
    note: str | None,
    preview: Preview | None,
) -> AssetEntry:
    if ref is None:
        return AssetEntry(name=asset, step=step, run_id=run_id, size_bytes=size_bytes, note=note)
    return AssetEntry(
        name=asset,
        step=step,
        run_id=run_id,
        uri=ref.uri,
        size_bytes=ref.size_bytes,
        value_bytes=ref.value_bytes,
        codec=ref.codec,
        sha256=ref.sha256,
        preview=preview,
    )
