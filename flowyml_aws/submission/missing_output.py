"""Reasons why an output of a run is not available."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from flowyml_aws.core.errors import UserError
from flowyml_aws.core.spelling import nearest
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.status import JobView, RunStatus

__all__ = [
    "MissingOutput",
    "OutputNotFoundError",
    "missing_outputs",
    "output_not_found",
    "produced_assets",
    "skipped_assets",
]

_MAX_NAMES = 20
_VERBS = {"not made yet": "is", "skipped": "was", "not stored": "is", "not produced": "was"}


class OutputNotFoundError(UserError, KeyError):
    """A run has no stored value of this name."""


@dataclass(frozen=True, slots=True)
class MissingOutput:
    """An asset of a run without a stored value.

    Attributes:
        state: `not made yet`, `skipped`, `not stored` or `not produced`.
    """

    asset: str
    step: str
    state: str
    why: str
    fix: str


def missing_outputs(status: RunStatus, stored: Collection[str]) -> dict[str, MissingOutput]:
    """Return the assets of a run that are not stored, with the reason, in plan order.

    Args:
        status: Status of the run.
        stored: Assets that are stored.
    """
    skipped, reports = skipped_assets(status), status.steps
    views = {step: view for view in status.jobs for step in view.job.steps}
    return {
        asset: _skipped(asset, step, skipped[asset])
        if asset in skipped
        else _missing(asset, reports[step], views.get(step), status.run_id)
        for step, assets in produced_assets(status).items()
        for asset in assets
        if asset not in stored
    }


def output_not_found(name: str, status: RunStatus, stored: Collection[str]) -> OutputNotFoundError:
    """Return the error for a name without a stored value.

    Args:
        name: Name of an asset or of a step, or a misspelled one.
        status: Status of the run.
        stored: Assets that are stored.
    """
    produced = produced_assets(status)
    missing = missing_outputs(status, stored)
    for asset in (name, *produced.get(name, ())):
        if asset in missing:
            each = missing[asset]
            what = f"Output {name!r} of run {status.run_id} {_VERBS[each.state]} {each.state}"
            return OutputNotFoundError(what, each.why, each.fix)
    listed = f"list them with `flowyml-aws get {status.run_id}`"
    if name in produced:
        return OutputNotFoundError(
            what=f"Step {name!r} of run {status.run_id} has no outputs",
            why="it declares none",
            fix=f"name an output of another step; {listed}",
        )
    known = [*produced, *(asset for assets in produced.values() for asset in assets)]
    near = list(dict.fromkeys(nearest(name, known)))
    more = f" and {len(stored) - _MAX_NAMES} more" if len(stored) > _MAX_NAMES else ""
    names = ", ".join(list(stored)[:_MAX_NAMES]) or "(none)"
    return OutputNotFoundError(
        what=f"Run {status.run_id} has no output {name!r}",
        why=f"no asset and no step has this name; the stored outputs are {names}{more}",
        fix=f"did you mean {' or '.join(map(repr, near))}?" if near else listed,
    )


def produced_assets(status: RunStatus) -> dict[str, tuple[str, ...]]:
    """Return the assets of each step of a run, in plan order."""
    reused = {name: step.produces for name, step in status.reused.items()}
    return reused | {s: assets for view in status.jobs for s, assets in view.job.produces.items()}


def skipped_assets(status: RunStatus) -> Mapping[str, str]:
    """Return the assets that do not exist because their step was skipped, with the cause."""
    results = [view.result for view in status.jobs if view.result is not None]
    skipped = (*(step.skipped for step in status.reused.values()), *(r.skipped for r in results))
    return {asset: cause for each in skipped for asset, cause in each.items()}


def _skipped(asset: str, step: str, cause: str) -> MissingOutput:
    fix = "change what the condition reads, or get the output of a step that ran"
    return MissingOutput(asset, step, "skipped", cause, fix)


def _missing(asset: str, report: StepReport, view: JobView | None, run_id: str) -> MissingOutput:
    step = report.name
    if view is not None and not view.state.ended:
        if report.state in (StepState.WAITING, StepState.RUNNING):
            why = f"step {step!r} is {report.state.value}"
        else:
            why = f"step {step!r} is {report.state.value}, but job {view.job.name!r} has not ended"
        if asset in view.job.stored:
            fix = f"wait until the job ends: `flowyml-aws attach {run_id}`"
            return MissingOutput(asset, step, "not made yet", why, fix)
    if report.state in (StepState.FAILED, StepState.CANCELLED, StepState.NOT_RUN):
        verb = "was" if report.state is StepState.NOT_RUN else "is"
        why = f"step {step!r} {verb} {report.state.value}"
        fix = (
            f"see `flowyml-aws status {run_id}`, then correct the cause and continue with "
            f"`flowyml-aws resume {run_id}`"
        )
        return MissingOutput(asset, step, "not produced", why, fix)
    if view is None:
        why = f"step {step!r} is {report.state.value}: {report.reason}"
        fix = f"get it from an earlier run, or run the pipeline with --refresh {step}"
        return MissingOutput(asset, step, "not stored", why, fix)
    return MissingOutput(
        asset,
        step,
        "not stored",
        why=f"only steps of the same job {view.job.name!r} read it, so it is passed in memory",
        fix=f'declare step {step!r} with @step(cache="code_hash"), or run the pipeline with '
        "--checkpoint-steps (checkpoint_steps=True)",
    )
