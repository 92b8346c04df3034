"""Continuation of a failed or cancelled run: check everything, then submit the remaining jobs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import EVENTS, RunLayout
from flowyml_aws.artifacts.list_index import with_items
from flowyml_aws.artifacts.reading import is_intact
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.caching.entries import is_stored, one_of_each_object
from flowyml_aws.client.launch import begin
from flowyml_aws.client.preview import limits_of
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import (
    DamagedArtifactError,
    FlowymlError,
    InvalidPipelineError,
    RunNotResumableError,
    SettingsError,
)
from flowyml_aws.core.resources import read_resources
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.alternatives import allowed_moves, with_alternatives
from flowyml_aws.planning.cost_shares import with_shares
from flowyml_aws.planning.expansions import unlimited_expansions
from flowyml_aws.planning.limits import Limits, over_limits
from flowyml_aws.planning.offers import Selector
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.replan import change_needs, replan
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.result import AttemptEvents, JobResult
from flowyml_aws.services.connect import FoundRun, locate_run
from flowyml_aws.submission.approvals import ApprovalState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.origin import continued_origin, read_origin
from flowyml_aws.submission.own_runs import is_own_run, remember_run
from flowyml_aws.submission.package import placeholder_record, write_record, write_resumption
from flowyml_aws.submission.record import RunRecord, RunState, make_run_id, read_spec
from flowyml_aws.submission.resume import EarlierRun, finished_jobs, make_resumption, read_values
from flowyml_aws.submission.status import RunStatus

__all__ = ["resume"]


def resume(
    run_id: str,
    resources: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    detached: bool = False,
) -> RunDriver:
    """Start a new run that continues a failed or cancelled one, and return its driver.

    Args:
        run_id: Id of the run to continue.
        resources: Resources of a step's job that replace those of the earlier run, by step.
        limits: Cost limits; those of the settings by default.
        detached: Whether the run must continue without its client.

    Raises:
        RunNotFoundError: No store contains the run.
        RunNotResumableError: The run is still running, or has succeeded.
        InvalidPipelineError: With every mistake; nothing was written or submitted.
    """
    found = locate_run(run_id)
    store = found.services.host.store
    earlier, missing = _read(found, store)
    plan, problems = _with_resources(found, earlier, resources or {})
    new_id = make_run_id(found.plan.pipeline, datetime.now(timezone.utc), secrets.token_hex)
    plan = _with_moves(found, plan, limits_of(found.settings, limits or Limits()))
    resumption = make_resumption(new_id, replace(earlier, plan=plan), missing)
    resumption = replace(resumption, plan=with_shares(resumption.plan))
    problems += _problems(found, resumption.plan, new_id, limits or Limits(), detached)
    if problems:
        raise InvalidPipelineError(found.plan.pipeline, problems)
    if is_own_run(store.uri, run_id):  # its values are values of the new run
        remember_run(store.uri, new_id)
    origin = continued_origin(read_origin(store, run_id))
    places = write_resumption(store, resumption, new_id, run_id, origin)
    record = write_record(store, resumption.plan, places, new_id, time.time(), resumes=run_id)
    return begin(found.services, record, resumption.plan, found.settings, detached)


def _read(found: FoundRun, store: ArtifactStore) -> tuple[EarlierRun, set[str]]:
    """Return a run that has ended, and the keys of its values that are missing or damaged.

    Raises:
        RunNotResumableError: The run has not ended, or has succeeded.
    """
    run_id = found.record.run_id
    driver = found.driver()
    status = driver.status()
    if status.state is RunState.RUNNING:
        raise RunNotResumableError(
            what=f"Run {run_id} is still running",
            why="a second run would do the same work again",
            fix=f"continue it with `flowyml-aws attach {run_id}`, or cancel it first",
        )
    if status.state is RunState.SUCCEEDED:
        raise RunNotResumableError(
            what=f"Run {run_id} has succeeded",
            why="there is nothing to resume",
            fix="run the pipeline again for new results",
        )
    succeeded = [view.job.name for view in status.jobs if view.state is JobState.SUCCEEDED]
    results = driver.reports.results(succeeded)
    missing = _missing(store, (result.assets for result in results.values()))
    missing |= _damaged(found, store, driver.plan, results, _stopped_by_damage(driver, status))
    finished = finished_jobs(driver.plan, results, missing)
    jobs = [job.name for job in driver.plan.jobs if job.name not in finished]
    specs = map_concurrently(
        lambda job: read_spec(store, found.record, job), jobs, limit=STORE_REQUESTS
    )
    reports = map_concurrently(
        lambda job: _events(store, found.record, job), jobs, limit=STORE_REQUESTS
    )
    events = dict(zip(jobs, reports, strict=True))
    earlier = EarlierRun(
        run_id,
        driver.plan,
        finished,
        dict(zip(jobs, specs, strict=True)),
        events,
        frozenset(v.name for v in status.approvals if v.state is ApprovalState.APPROVED),
    )
    missing |= _missing(store, (e.assets for attempts in events.values() for e in attempts))
    return earlier, missing


def _stopped_by_damage(driver: RunDriver, status: RunStatus) -> list[str]:
    """Return the jobs that failed because a value was missing or damaged."""
    failed = [view.job.name for view in status.jobs if view.state is JobState.FAILED]
    results = driver.reports.results(failed)
    failures = {job: result.failure for job, result in results.items()}
    return [job for job, failure in failures.items() if failure and failure.cause is Cause.DAMAGED]


def _damaged(
    found: FoundRun,
    store: ArtifactStore,
    plan: ExecutionPlan,
    results: Mapping[str, JobResult],
    jobs: Iterable[str],
) -> set[str]:
    """Return the keys of the missing or damaged values that jobs read; all bytes are verified.

    Args:
        found: The run.
        store: Store of the run.
        plan: Its plan.
        results: Results of the jobs that succeeded.
        jobs: Jobs that failed because a value was missing or damaged.

    Raises:
        RunNotResumableError: A damaged value is from an earlier run, so that no job of this run
            can produce it again.
    """
    damaged: set[str] = set()
    for job in jobs:
        spec = read_spec(store, found.record, job)
        refs = read_values(spec, results, _events(store, found.record, job))
        bad = [
            asset
            for asset, ref in refs.items()
            if not all(is_intact(store, each) for each in with_items(store, ref))
        ]
        for asset in bad:
            if asset in spec.assets and spec.assets[asset].job is None:
                raise _not_produced_here(found.record.run_id, plan, asset, refs[asset])
        damaged.update(refs[asset].key for asset in bad)
    return damaged


def _not_produced_here(
    run_id: str, plan: ExecutionPlan, asset: str, ref: ArtifactRef
) -> RunNotResumableError:
    steps = (name for name, step in plan.reused.items() if asset in step.produces)
    step = next(steps, "STEP")
    return RunNotResumableError(
        what=f"Run {run_id} can't be resumed: a value that it reused is missing or damaged",
        why=f"the value of asset {asset!r} is from an earlier run: {ref.uri}",
        fix=f"run the pipeline with `--refresh {step}`, which produces it again",
    )


def _events(store: ArtifactStore, record: RunRecord, job: str) -> list[AttemptEvents]:
    """Return the reports of the attempts of a job that count, oldest first."""
    layout = RunLayout(record.run_id)
    found = []
    for number in sorted(map(int, store.children(layout.attempts(job)))):
        key = layout.attempt(job, number, EVENTS)
        # Without the reports of an attempt, its steps run again.
        with suppress(FileNotFoundError, DamagedArtifactError):
            found.append(read_document(AttemptEvents, store.get(key), f"{store.uri}/{key}"))
    latest = max((events.repetition for events in found), default=0)
    return [events for events in found if events.repetition == latest]


def _missing(store: ArtifactStore, assets: Iterable[Mapping[str, ArtifactRef]]) -> set[str]:
    """Return the keys of the objects of values that are not stored any more."""
    refs = one_of_each_object(ref for each in assets for ref in each.values())
    stored = map_concurrently(lambda ref: is_stored(store, ref), refs, limit=STORE_REQUESTS)
    return {ref.key for ref, is_here in zip(refs, stored, strict=True) if not is_here}


def _with_resources(
    found: FoundRun, earlier: EarlierRun, resources: Mapping[str, Any]
) -> tuple[ExecutionPlan, list[FlowymlError]]:
    """Return the plan with the new resources of some jobs, and the mistakes in these."""
    plan = earlier.plan
    problems: list[FlowymlError] = []
    for step, declared in resources.items():
        try:
            job = next((job for job in plan.jobs if step in job.steps), None)
            if job is None or job.name in earlier.results:
                raise _cannot_change(step, plan, earlier)
            requirements = read_resources(declared)
            own = requirements.problems() if requirements is not None else []
            problems += own
            if requirements is None or own:
                continue
            services = found.services
            selector = Selector(job.backend, services.targets(), services.host.catalog)
            plan = replan(plan, job.name, change_needs(job.needs, requirements), selector)
        except FlowymlError as error:
            problems.append(error)
    return plan, problems


def _with_moves(found: FoundRun, plan: ExecutionPlan, limits: Limits) -> ExecutionPlan:
    """Return the plan with the machines that its jobs move to, from where they are now."""
    as_new = {
        **{"moved": 0, "moved_alone": 0, "submission": 0, "ended_attempts": 0},
        "repetitions": {},
    }
    jobs = tuple(job.model_copy(update=as_new) for job in plan.jobs)
    plan = plan.model_copy(update={"jobs": jobs})
    if not plan.is_priced:
        return plan
    services = found.services
    try:
        targets = services.targets()
    except FlowymlError:
        return plan  # reported with the other problems
    return allowed_moves(with_alternatives(plan, targets, services.host.catalog), limits)


def _cannot_change(step: str, plan: ExecutionPlan, earlier: EarlierRun) -> SettingsError:
    remaining = [name for job in plan.jobs if job.name not in earlier.results for name in job.steps]
    has_step = any(step in job.steps for job in plan.jobs)
    return SettingsError(
        what=f"The resources of step {step!r} can't be changed",
        why="its job has succeeded" if has_step else "the run has no such step",
        fix=did_you_mean(step, remaining, f"the remaining steps are {', '.join(remaining)}"),
    )


def _problems(
    found: FoundRun, plan: ExecutionPlan, run_id: str, limits: Limits, detached: bool
) -> list[FlowymlError]:
    services = found.services
    problems = services.problems()
    if detached:
        problems += services.driver_problems(plan)
    known_limits = limits_of(found.settings, limits)
    problems += over_limits(plan, known_limits) + unlimited_expansions(plan, known_limits)
    if not problems:
        problems += services.plan_problems(plan, placeholder_record(plan, run_id))
    return problems
