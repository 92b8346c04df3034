"""Reasons why an output of a run is not available."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from flowyml_aws.core.errors import UserError
from flowyml_aws.core.maps import declared_name, index_of, is_part, item_name
from flowyml_aws.core.shared_assets import shared_name
from flowyml_aws.core.spelling import nearest
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.map_progress import cause_of
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
_FAILED = (StepState.FAILED, StepState.NOT_RUN)
_LEFT_OUT = ("skipped", "dropped")
_VERBS = {
    "not made yet": "is",
    "skipped": "was",
    "dropped": "was",
    "not stored": "is",
    "not produced": "was",
}


class OutputNotFoundError(UserError, KeyError):
    """A run has no stored value of this name."""


@dataclass(frozen=True, slots=True)
class MissingOutput:
    """An asset of a run without a stored value.

    Attributes:
        state: `not made yet`, `skipped`, `dropped`, `not stored` or `not produced`.
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
    produced = produced_assets(status)
    shared = {
        (asset, name)
        for step, assets in produced.items()
        for asset in assets
        if (name := shared_name(asset, step)) is not None
    }
    taken = {name for asset, name in shared if asset in stored}
    elsewhere = {asset for asset, name in shared if name in taken}
    views = {step: view for view in status.jobs for step in view.job.steps}
    return {
        asset: _skipped(asset, step, skipped[asset])
        if asset in skipped
        else _missing(asset, reports[step], views.get(step), status.run_id)
        for step, assets in produced.items()
        for asset in assets
        if asset not in stored and asset not in elsewhere
    }


def output_not_found(name: str, status: RunStatus, stored: Collection[str]) -> OutputNotFoundError:
    """Return the error for a name without a stored value.

    Args:
        name: Name of an asset or of a step, or a misspelled one.
        status: Status of the run.
        stored: Assets that are stored.
    """
    produced = produced_assets(status)
    missing = missing_outputs(status, stored) | _item_of_part(name, status)
    of_branches = (a for s, assets in produced.items() for a in assets if shared_name(a, s) == name)
    named = (name, *produced.get(name, ()), *of_branches)
    if found := [missing[asset] for asset in named if asset in missing]:
        # The branch that was taken has the reason why there is no value.
        each = next((each for each in found if each.state != "skipped"), found[0])
        what = f"Output {name!r} of run {status.run_id} {_VERBS[each.state]} {each.state}"
        return OutputNotFoundError(what, each.why, each.fix)
    listed = f"list them with `flowyml-aws get {status.run_id}`"
    for items in _lists_of(name, status):
        absent = [missing[item] for item in items if item in missing]
        if absent:
            return _incomplete(name, items, absent, status.run_id)
    if name in produced or name in status.maps:
        return OutputNotFoundError(
            what=f"Step {name!r} of run {status.run_id} has no outputs",
            why="it declares none",
            fix=f"name an output of another step; {listed}",
        )
    if (lists := _lists_of(declared_name(name), status)) and name != declared_name(name):
        return OutputNotFoundError(
            what=f"Run {status.run_id} has no output {name!r}",
            why=f"the {'parts' if is_part(lists[0][0]) else 'items'} of {declared_name(name)!r} "
            f"are {lists[0][0]} to {lists[0][-1]}",
            fix="name one of them",
        )
    known = dict.fromkeys([*produced, *(asset for assets in produced.values() for asset in assets)])
    if status.maps:  # items are too many, and too similar
        known = dict.fromkeys(map(declared_name, known))
    near = nearest(name, list(known))
    names = list(dict.fromkeys(map(declared_name, stored)) if status.maps else stored)
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    shown = ", ".join(names[:_MAX_NAMES]) or "(none)"
    return OutputNotFoundError(
        what=f"Run {status.run_id} has no output {name!r}",
        why=f"no asset and no step has this name; the stored outputs are {shown}{more}",
        fix=f"did you mean {' or '.join(map(repr, near))}?" if near else listed,
    )


def _item_of_part(name: str, status: RunStatus) -> dict[str, MissingOutput]:
    """Return the output of an item of a part, by its name; nothing if the item is not known."""
    index, declared = index_of(name), declared_name(name)
    if index is None or is_part(name):
        return {}
    for step, planned in status.maps.items():
        report = status.steps.get(item_name(step, index))
        if planned.parts is None or report is None or declared not in (step, *planned.outputs):
            continue
        if report.state is StepState.SKIPPED:
            return {name: _skipped(name, report.name, report.reason or "its condition is false")}
        views = (view for view in status.jobs if report in view.steps)
        return {name: _missing(name, report, next(views, None), status.run_id)}
    return {}


def _lists_of(name: str, status: RunStatus) -> list[list[str]]:
    """Return the assets of the items of a mapped step, for each output, or of an asset of one."""
    return [
        list(planned.members(asset))
        for step, planned in status.maps.items()
        for asset in planned.outputs
        if name in (step, asset) and planned.items
    ]


def _incomplete(
    name: str, items: Sequence[str], absent: Sequence[MissingOutput], run_id: str
) -> OutputNotFoundError:
    """Return the error for a list of which items are missing."""
    # An item that is missing for another reason than a failure of its own is the reason.
    first = next((each for each in absent if each.state not in _LEFT_OUT), absent[0])
    if len(absent) == len(items):
        what = f"Output {name!r} of run {run_id} {_VERBS[first.state]} {first.state}"
        return OutputNotFoundError(what, first.why, first.fix)
    return OutputNotFoundError(
        what=f"Output {name!r} of run {run_id} is incomplete: {len(items) - len(absent):,} of "
        f"{len(items):,} items are stored",
        why=f"{first.asset} {_VERBS[first.state]} {first.state}: {first.why}",
        fix=f"{first.fix}; single items have names such as {items[0]!r}",
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
    if (view is None or view.state is JobState.SUCCEEDED) and report.state in _FAILED:
        why = f"step {step!r} is {report.state.value}: {cause_of(report)}"
        fix = "correct the cause, and run the pipeline again, which runs the failed items only"
        return MissingOutput(asset, step, "dropped", why, fix)
    if report.state in (*_FAILED, StepState.CANCELLED):
        verb = "was" if report.state is StepState.NOT_RUN else "is"
        why = f"step {step!r} {verb} {report.state.value}"
        fix = (
            f"see `flowyml-aws status {run_id}`, then correct the cause and continue with "
            f"`flowyml-aws resume {run_id}`"
        )
        return MissingOutput(asset, step, "not produced", why, fix)
    if view is None:
        why = f"step {step!r} is {report.state.value}: {report.reason}"
        fix = (
            f"get it from an earlier run, or run the pipeline with --refresh {declared_name(step)}"
        )
        return MissingOutput(asset, step, "not stored", why, fix)
    return MissingOutput(
        asset,
        step,
        "not stored",
        why=f"only steps of the same job {view.job.name!r} read it, so it is passed in memory",
        fix=f'declare step {declared_name(step)!r} with @step(cache="code_hash"), or run the '
        "pipeline with --checkpoint-steps (checkpoint_steps=True)",
    )
