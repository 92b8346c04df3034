"""A job like that of a step of a run, for a command: its plan, and its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flowyml_aws.client.launch import launch
from flowyml_aws.client.options import RunOptions
from flowyml_aws.client.preview import plan_only
from flowyml_aws.client.request import RunRequest
from flowyml_aws.client.run import Run
from flowyml_aws.client.step_of_run import StepOfRun
from flowyml_aws.core.errors import ArtifactNotFoundError, SettingsError
from flowyml_aws.core.step import Step
from flowyml_aws.job.command import run_command
from flowyml_aws.job.inputs import Inputs, Kind, RecordedInput
from flowyml_aws.planning.needs import resources_of
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.services import service_traits
from flowyml_aws.runtime.inputs import JobInputs

__all__ = ["STEP", "CommandJob", "cost_until", "imitated", "like_step", "recorded_inputs"]

STEP = "command"
"""Name of the only step of such a run."""
_PREFIX = "exec-"  # of the pipeline of such a run


def imitated(pipeline: str) -> str | None:
    """Return the pipeline with the step that a command imitates; None for any other pipeline."""
    return pipeline.removeprefix(_PREFIX) if pipeline.startswith(_PREFIX) else None


@dataclass(frozen=True, slots=True)
class CommandJob:
    """A job for a command.

    Attributes:
        request: Request for its run.
        inputs: Recorded inputs of the step.
        missing: Inputs of the step that are not stored, with the reason.
        limit_s: Time limit of the command in seconds.
    """

    request: RunRequest
    inputs: Inputs
    missing: dict[str, str]
    limit_s: float

    def plan(self) -> ExecutionPlan:
        """Return the plan of the run. Nothing is started.

        Raises:
            InvalidPipelineError: With every mistake found.
        """
        return plan_only(self.request)

    def start(self) -> Run:
        """Start the run.

        Raises:
            InvalidPipelineError: With every mistake found; nothing was submitted.
        """
        return Run(launch(self.request))


def like_step(
    step: StepOfRun,
    command: Sequence[str],
    limit_s: float,
    scratch: Path,
    backend: str | None = None,
) -> CommandJob:
    """Return a job with the resources, the environment and the inputs of a step.

    Args:
        step: The step.
        command: Program and its arguments.
        limit_s: Time limit of the command in seconds.
        scratch: Folder for values that are files.
        backend: Service of the job; None for that of the step.

    Raises:
        SettingsError: There is no such service, or its jobs can't read the store of the run.
    """
    job = step.job
    service = backend or job.backend
    has_same_store = Placement.of(service).host == Placement.of(job.backend).host
    if not has_same_store and not service_traits(service).inherits_environment:
        raise SettingsError(
            what=f"The command can't run on {service!r}",
            why=f"its inputs are in {step.driver.store.uri}, which only this machine can read",
            fix=f"omit --backend, or run the pipeline on {service!r} first",
        )
    inputs, missing = recorded_inputs(step, scratch)
    made = Step(
        func=run_command,
        name=STEP,
        outputs=("exit_code",),
        cache=False,
        timeout_s=limit_s,
        resources=resources_of(replace(job.needs, nodes=1)),
        env=job.environment,
        secrets=job.secrets,
    )
    request = RunRequest(
        name=f"{_PREFIX}{step.driver.plan.pipeline}",
        steps=(made,),
        context={"command": list(command), "inputs": inputs.model_dump(mode="json")},
        options=RunOptions(backend=service),
    )
    return CommandJob(request, inputs, missing, limit_s)


def recorded_inputs(step: StepOfRun, scratch: Path) -> tuple[Inputs, dict[str, str]]:
    """Return the inputs of a step that are stored, and why the others are not, by asset.

    Args:
        step: The step.
        scratch: Folder for values that are files.
    """
    spec = step.attempt.spec
    known = {**step.recorded, **spec.assets}
    stored = JobInputs(step.attempt.with_spec(spec.model_copy(update={"assets": known})), scratch)
    assets: dict[str, RecordedInput] = {}
    missing: dict[str, str] = {}
    for asset in step.spec.taken:
        gathered = spec.gathered.get(asset)
        names = (asset,) if gathered is None else gathered.items
        try:
            causes = {name: stored.cause_of_absence(name) for name in names}
            if (cause := next(filter(None, causes.values()), None)) and None not in causes.values():
                missing[asset] = cause
                continue
            refs = tuple(stored.ref(name) for name, cause in causes.items() if cause is None)
        except ArtifactNotFoundError as error:
            missing[asset] = error.why
            continue
        except KeyError:  # an asset of the same job
            missing[asset] = "only later steps of its job got it"
            continue
        kind: Kind = "value" if gathered is None else "parts" if gathered.in_parts else "items"
        assets[asset] = RecordedInput(kind=kind, refs=refs)
    return Inputs(store=step.driver.store.uri, assets=assets), missing


def cost_until(job: PlannedJob, price_usd_hour: float, limit_s: float) -> float:
    """Return the cost of a job, with the start of its machine, in USD.

    Args:
        job: A job.
        price_usd_hour: Price of its machine.
        limit_s: Seconds that it runs.
    """
    return price_usd_hour * (service_traits(job.backend).startup_s + limit_s) / 3600
