"""A step of a run with everything that its job had: the spec, the recorded values, the inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.artifacts.errors import PickleRefusedError
from flowyml_aws.artifacts.overlay import OverlayStore
from flowyml_aws.client.step_names import named_step
from flowyml_aws.core.errors import StepUnavailableError
from flowyml_aws.core.maps import declared_name
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.job import with_items
from flowyml_aws.runtime.parts import lists_to_read
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.replay import recorded_sources
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepReport
from flowyml_aws.runtime.spec import AssetSource, JobSpec, StepSpec
from flowyml_aws.services.connect import FoundRun
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.own_runs import is_own_run
from flowyml_aws.submission.record import read_spec
from flowyml_aws.submission.status import RunStatus

__all__ = ["StepChoice", "StepOfRun", "check_inputs", "find_step"]


@dataclass(frozen=True, slots=True)
class StepChoice:
    """The name of a step of a run, as its user writes it.

    Attributes:
        step: Name of the step, or of an item of a mapped step.
        item: Position of the item, if the step is mapped; None if the name contains it.
        allow_pickle: Whether code from the store may run; None for the setting. Without both, only
            if this user started the run on this machine.
    """

    step: str
    item: int | None = None
    allow_pickle: bool | None = None


@dataclass(frozen=True, slots=True)
class StepOfRun:
    """A step of a run.

    Attributes:
        driver: Driver of the run.
        job: Its job.
        attempt: An attempt of the job that writes nothing to the run, with the spec that was
            submitted and the items of its parts.
        spec: The step in this spec.
        recorded: Sources of the assets that its job has recorded.
        report: Report of the step in the run; None if there is none.
    """

    driver: RunDriver
    job: PlannedJob
    attempt: Attempt
    spec: StepSpec
    recorded: Mapping[str, AssetSource]
    report: StepReport | None


def find_step(found: FoundRun, choice: StepChoice, folder: Path) -> StepOfRun:
    """Return a step of a run.

    Args:
        found: The run.
        choice: Name of the step.
        folder: Folder for everything that is written.

    Raises:
        StepUnavailableError: No job of the run executes such a step, or the list that it is mapped
            over does not exist.
        PickleRefusedError: Code from the store may not run.
    """
    driver = found.driver()
    _check_pickles(driver, choice.allow_pickle)
    store = OverlayStore(driver.store, DirectoryArtifactStore(folder / "store"))
    status = driver.status()
    step = named_step(driver.plan, status.run_id, choice.step, choice.item)
    jobs = [job for job in driver.plan.jobs if step in job.steps]
    if not jobs:  # an item of a list that the run has produced: its job knows it
        jobs = [job for job in driver.plan.jobs if declared_name(step) in job.mapped]
    for job in jobs:
        spec = read_spec(driver.store, found.record, job.name)
        platform = Platform(repetitions=job.repetitions)
        attempt = Attempt.begin(spec, store, 1, platform)
        check_inputs(driver, spec, step, lists_to_read(spec))
        attempt = with_items(attempt, folder / "assets")
        own = next((each for each in attempt.spec.steps if each.name == step), None)
        if own is not None:
            recorded = recorded_sources(_record_of(driver, status, job.name))
            return StepOfRun(driver, job, attempt, own, recorded, status.steps.get(step))
    raise StepUnavailableError(
        f"Run {status.run_id} has no step {step!r}",
        "the list that the step is mapped over has no such item",
        "name an item from 0 on",
    )


def check_inputs(driver: RunDriver, spec: JobSpec, step: str, assets: Collection[str]) -> None:
    """Check that values of other jobs exist, or that the run has recorded why they do not.

    Args:
        driver: Driver of the run.
        spec: Spec of the job of the step.
        step: Name of the step.
        assets: Assets that it reads.

    Raises:
        StepUnavailableError: A value does not exist, because its job has not succeeded.
    """
    jobs = {
        asset: source.job
        for asset in assets
        if (source := spec.assets.get(asset)) is not None and source.job is not None
    }
    results = driver.reports.results(set(jobs.values()))
    for asset, job in jobs.items():
        result = results.get(job)
        known = {} if result is None else {**result.assets, **result.skipped, **result.dropped}
        if asset not in known:
            state = "has not ended" if result is None else result.state
            raise StepUnavailableError(
                what=f"Step {step!r} can't run: its input {asset!r} is not stored",
                why=f"job {job!r}, which produces it, {state}",
                fix=f"see `flowyml-aws status {spec.run_id}`, and begin with a step of that job",
            )


def _check_pickles(driver: RunDriver, allow_pickle: bool | None) -> None:
    """Check that code of the store may run: the steps of a job are pickles."""
    run_id = driver.record.run_id
    allowed = driver.allow_pickle if allow_pickle is None else allow_pickle
    if allowed is None:
        allowed = is_own_run(driver.store.uri, run_id)
    if not allowed:
        raise PickleRefusedError(
            what=f"The steps and values of run {run_id} were not loaded",
            why="they are pickles, which can execute code when they are loaded, and "
            + (
                "the option or the setting forbids it"
                if False in (allow_pickle, driver.allow_pickle)
                else "this user did not start the run on this machine"
            ),
            fix="add --allow-pickle, if you trust everyone who can write to " + driver.store.uri,
        )


def _record_of(driver: RunDriver, status: RunStatus, job: str) -> JobResult | AttemptEvents | None:
    """Return what the last attempt of a job has recorded."""
    if (result := driver.reports.result(job)) is not None:
        return result
    attempt = next(view.attempt for view in status.jobs if view.job.name == job)
    return driver.reports.events({job: attempt}).get(job)
