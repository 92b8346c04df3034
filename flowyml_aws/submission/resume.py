"""Continuation of a failed or cancelled run as a new run, from what is finished.

The new run has the jobs that have not succeeded. They get the assets of the other jobs by their
refs, and start after the last step of theirs that was completed and whose values are stored. Code
and payloads are those of the earlier run: the continuation needs nothing but the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.maps import declared_name, is_part, required_items
from flowyml_aws.planning.approvals import announces
from flowyml_aws.planning.plan import (
    ExecutionPlan,
    PlannedApproval,
    PlannedJob,
    PlannedMap,
    ReusedStep,
)
from flowyml_aws.planning.targets import machine_kind
from flowyml_aws.runtime.parts import lists_to_read
from flowyml_aws.runtime.result import (
    NO_ATTEMPT,
    AttemptEvents,
    JobResult,
    StepReport,
    StepState,
    cases_of,
)
from flowyml_aws.runtime.resume import done_before, items_done_before
from flowyml_aws.runtime.spec import AssetSource, JobSpec

__all__ = ["EarlierRun", "Resumption", "finished_jobs", "make_resumption", "read_values"]

_NOTE = "it resumes run "


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A run that has ended, to be continued.

    Attributes:
        results: Results of the jobs that succeeded.
        specs: Spec of each other job.
        events: Reports of the attempts of each other job, oldest first.
        approved: Approvals that were given.
    """

    run_id: str
    plan: ExecutionPlan
    results: Mapping[str, JobResult]
    specs: Mapping[str, JobSpec]
    events: Mapping[str, Sequence[AttemptEvents]]
    approved: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Resumption:
    """The documents of a run that continues an earlier one.

    Attributes:
        plan: Plan of the remaining jobs.
        specs: Spec of each of them.
        events: Reports of the steps that need not run again, for each job that has any.
    """

    plan: ExecutionPlan
    specs: Mapping[str, JobSpec]
    events: Mapping[str, AttemptEvents]


def finished_jobs(
    plan: ExecutionPlan, results: Mapping[str, JobResult], missing: Collection[str]
) -> dict[str, JobResult]:
    """Return the results of the jobs that need not run again.

    Jobs with dropped items run again if too few items of the map succeeded. A held job that was
    skipped is decided on again if a job that it reads runs again.

    Args:
        plan: Plan of the run.
        results: Results of the jobs that succeeded.
        missing: Keys of objects that are not stored any more.
    """
    short = _maps_with_too_few(plan, results)
    finished: dict[str, JobResult] = {}
    for job in plan.jobs:  # parents come before their children
        if (result := results.get(job.name)) is None:
            continue
        is_missing = any(ref.key in missing for ref in result.assets.values())
        is_short = bool(result.dropped) and not short.isdisjoint(job.mapped)
        producers = {name for name in job.reads.values() if name is not None}
        is_undecided = result.attempt == NO_ATTEMPT and not producers <= finished.keys()
        if not (is_missing or is_short or is_undecided):
            finished[job.name] = result
    return finished


def _maps_with_too_few(plan: ExecutionPlan, results: Mapping[str, JobResult]) -> set[str]:
    """Return the mapped steps of which too many items were dropped."""
    produced = [(step, assets) for job in plan.jobs for step, assets in job.produces.items()]
    dropped = {asset for result in results.values() for asset in result.dropped}
    counts = Counter(declared_name(step) for step, assets in produced if dropped & {*assets})
    counts.update(declared_name(name) for name, step in plan.reused.items() if step.dropped)
    return {
        name
        for name, planned in plan.maps.items()
        if planned.on_item_failure == "drop"
        and (
            planned.items - counts[name] < planned.required
            if planned.parts is None
            else _has_too_few(name, planned, results.values())
        )
    }


def _has_too_few(step: str, planned: PlannedMap, results: Iterable[JobResult]) -> bool:
    """Return whether too many items of a list that the run produced were dropped.

    Parts that earlier runs computed are left out: they have no dropped items.
    """
    states = [
        report.state
        for result in results
        for report in result.steps
        if declared_name(report.name) == step and not is_part(report.name)
    ]
    gone = sum(state in (StepState.FAILED, StepState.NOT_RUN) for state in states)
    return len(states) - gone < required_items(len(states), planned.min_success)


def read_values(
    spec: JobSpec, results: Mapping[str, JobResult], attempts: Iterable[AttemptEvents]
) -> dict[str, ArtifactRef]:
    """Return the refs of the values that a job could read when it runs again, by asset.

    Args:
        spec: Spec of the job.
        results: Results of the jobs that succeeded.
        attempts: Reports of its attempts, oldest first.
    """
    refs = {}
    for asset, source in spec.assets.items():
        result = results.get(source.job) if source.job is not None else None
        ref = source.ref if result is None else result.assets.get(asset)
        if ref is not None:
            refs[asset] = ref
    for events in attempts:
        refs.update(events.assets)
    return refs


def make_resumption(
    run_id: str,
    earlier: EarlierRun,
    missing: Collection[str] = (),
) -> Resumption:
    """Return the plan and the specs of a run that continues an earlier one.

    Args:
        run_id: Id of the new run.
        earlier: The earlier run.
        missing: Keys of objects that are not stored any more. A step runs again if a value of it
            is missing that a later step needs.
    """
    finished = finished_jobs(earlier.plan, earlier.results, missing)
    jobs = [job for job in earlier.plan.jobs if job.name not in finished]
    events = {}
    for job in jobs:
        attempts = earlier.events.get(job.name, ())
        spec = earlier.specs[job.name]
        if done := _completed(earlier, spec, attempts, missing, finished):
            events[job.name] = done
    return Resumption(
        plan=_plan(earlier, jobs, finished),
        specs={job.name: _spec(earlier.specs[job.name], job, run_id, finished) for job in jobs},
        events=events,
    )


def _spec(
    spec: JobSpec, job: PlannedJob, run_id: str, finished: Mapping[str, JobResult]
) -> JobSpec:
    machine = machine_kind(job.backend, job.needs)
    steps = tuple(
        step
        if step.cache is None
        else step.model_copy(update={"cache": step.cache.model_copy(update={"machine": machine})})
        for step in spec.steps
    )
    assets = {asset: _source(asset, source, finished) for asset, source in spec.assets.items()}
    return spec.model_copy(
        update={"run_id": run_id, "steps": steps, "assets": assets, "first_attempt": 0}
    )


def _source(asset: str, source: AssetSource, finished: Mapping[str, JobResult]) -> AssetSource:
    result = finished.get(source.job) if source.job is not None else None
    if result is None:
        return source
    return AssetSource(
        ref=result.assets.get(asset),
        absent=result.skipped.get(asset),
        case=cases_of(result.steps).get(asset),
        dropped=result.dropped.get(asset),
        is_partial=asset in result.partial,
    )


def _completed(
    earlier: EarlierRun,
    spec: JobSpec,
    attempts: Sequence[AttemptEvents],
    missing: Collection[str],
    finished: Collection[str],
) -> AttemptEvents | None:
    """Return the reports of the steps of an unfinished job that need not run again, if any."""
    sources = [spec.assets[asset].job for asset in lists_to_read(spec)]
    if any(job is not None and job not in finished for job in sources):
        return None  # it is produced again, so that item 3 may be another one
    stored = [
        events.model_copy(
            update={
                "assets": {n: ref for n, ref in events.assets.items() if ref.key not in missing}
            }
        )
        for events in attempts
    ]
    done, assets = items_done_before(stored) if sources else done_before(spec.steps, stored)
    if not done:
        return None
    reports = (_taken_over(report, earlier.run_id) for report in done.values())
    return AttemptEvents(attempt=0, steps=tuple(reports), assets=assets)


def _taken_over(report: StepReport, run_id: str) -> StepReport:
    if report.state is StepState.SKIPPED:
        return StepReport(name=report.name, state=report.state, reason=report.reason)
    reason = f"completed in run {run_id}"
    produced_in = report.produced_in or run_id
    return StepReport(
        name=report.name,
        state=StepState.CACHED,
        reason=reason,
        produced_in=produced_in,
        case=report.case,
    )


def _plan(
    earlier: EarlierRun, jobs: Sequence[PlannedJob], finished: Mapping[str, JobResult]
) -> ExecutionPlan:
    plan = earlier.plan
    reused = {
        step: _reused(produces, earlier.run_id, finished[job.name])
        for job in plan.jobs
        if job.name in finished
        for step, produces in job.produces.items()
    }
    after = _unfinished_parents(plan, finished)
    approvals = _open_approvals(earlier, finished)
    given = [name for name in plan.approvals if name not in approvals]
    remaining = tuple(
        job.model_copy(
            update={
                "after": after[job.name],
                "approvals": tuple(name for name in job.approvals if name in approvals),
                "reads": {
                    asset: None if producer in finished else producer
                    for asset, producer in job.reads.items()
                },
            }
        )
        for job in jobs
    )
    return plan.model_copy(
        update={
            "jobs": remaining,
            "reused": {**plan.reused, **reused},
            "approvals": approvals,
            "estimate": None,
            "notes": (
                *_lasting(plan.notes, given),
                f"{_NOTE}{earlier.run_id}",
                *(f"approval {name!r} was given in run {earlier.run_id}" for name in given),
            ),
        }
    )


def _lasting(notes: Iterable[str], given: Sequence[str]) -> Iterator[str]:
    """Yield the notes that hold for the continuation, too.

    Args:
        notes: Notes of the earlier plan.
        given: Approvals that are not asked again.
    """
    for note in notes:
        if not note.startswith(_NOTE) and not any(announces(note, name) for name in given):
            yield note


def _open_approvals(earlier: EarlierRun, finished: Collection[str]) -> dict[str, PlannedApproval]:
    """Return the approvals that are asked again, without the jobs before them that are finished.

    One that was given counts if nothing before it runs again.
    """
    found: dict[str, PlannedApproval] = {}
    for name, approval in earlier.plan.approvals.items():
        after = tuple(job for job in approval.after if job not in finished)
        before = tuple(each for each in approval.approvals if each in found)
        if name not in earlier.approved or after or before:
            remains = any(
                approval.decision in job.steps for job in earlier.plan.jobs if job.name in after
            )
            found[name] = approval.model_copy(
                update={
                    "after": after,
                    "approvals": before,
                    "decision": approval.decision if remains else None,
                }
            )
    return found


def _unfinished_parents(
    plan: ExecutionPlan, finished: Collection[str]
) -> Mapping[str, tuple[str, ...]]:
    """Return the jobs that each job waits for: the parents of a finished parent replace it."""
    parents: dict[str, dict[str, None]] = {}
    for job in plan.jobs:
        parents[job.name] = {
            name: None
            for parent in job.after
            for name in (parents[parent] if parent in finished else [parent])
        }
    return {job: tuple(names) for job, names in parents.items()}


def _reused(produces: Iterable[str], run_id: str, result: JobResult) -> ReusedStep:
    assets = tuple(produces)
    return ReusedStep(
        produces=assets,
        run_id=run_id,
        assets={asset: result.assets[asset] for asset in assets if asset in result.assets},
        skipped={asset: result.skipped[asset] for asset in assets if asset in result.skipped},
        dropped={asset: result.dropped[asset] for asset in assets if asset in result.dropped},
    )
