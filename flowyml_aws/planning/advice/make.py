"""Making of advice: the plan with the advised requests, compared with the plan as requested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from flowyml_aws.core.amounts import counted
from flowyml_aws.core.auto_resources import is_auto
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.spot import SpotRule
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.advice.auto import with_amounts
from flowyml_aws.planning.advice.document import Advice, JobAdvice, JobPeaks, MachineCost, Option
from flowyml_aws.planning.advice.evidence import MIN_RUNS, Evidence, evidence_of, together
from flowyml_aws.planning.advice.merging import cheapest_merge
from flowyml_aws.planning.advice.options import grouping_option, spot_option
from flowyml_aws.planning.advice.requests import advised_needs
from flowyml_aws.planning.advice.warm_pools import warm_pool_option
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.needs import needs_of
from flowyml_aws.planning.nodes import idle_node_notes
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.targets import Target

__all__ = ["Planner", "advised_groups", "make_advice"]


class Planner(Protocol):
    """Plans groups of a pipeline, with everything else fixed."""

    def __call__(
        self, *, groups: Sequence[StepGroup], targets: Sequence[Target], spot: SpotRule | None
    ) -> ExecutionPlan: ...


def make_advice(
    planner: Planner,
    groups: Sequence[StepGroup],
    targets: Sequence[Target],
    history: Sequence[RunTimes],
    spot: SpotRule | None = None,
) -> Advice:
    """Return advice on every job of a pipeline.

    Args:
        planner: Plans groups with the same history.
        groups: All groups as declared, in running order.
        targets: Targets that jobs can be sent to.
        history: Earlier runs, newest first.
        spot: Use of spot capacity for steps without a rule of their own.

    Raises:
        InvalidPipelineError: No instance type fits some groups as declared.
    """

    def plan_of(groups: Sequence[StepGroup]) -> ExecutionPlan:
        return planner(groups=groups, targets=targets, spot=spot)

    before = plan_of(groups)
    advised, after = _fitting(groups, advised_groups(groups, history), plan_of, before)
    evidence = [
        together(evidence_of(s.declared_name, history) for s in group.steps) for group in groups
    ]
    rows = zip(groups, advised, before.jobs, after.jobs, evidence, strict=True)
    options: tuple[Option, ...] = ()
    if after.is_priced and any(e.runs >= MIN_RUNS for e in evidence):
        spot_targets = _with_spot_targets(targets)
        options = (
            grouping_option(after, cheapest_merge(advised, after, plan_of)),
            spot_option(after, _spot_plan(planner, advised, spot_targets)),
            *warm_pool_option(after),
        )
    return Advice(
        pipeline=before.pipeline,
        backend=before.backend,
        runs=len(history),
        jobs=tuple(_job_advice(*row) for row in rows),
        cost_usd=_cost_usd(before),
        advised_cost_usd=None if advised == list(groups) else _cost_usd(after),
        options=options,
        notes=(
            *after.notes,
            *(
                note
                for group, job in zip(advised, after.jobs, strict=True)
                for note in idle_node_notes(group, job.needs.nodes, job.price_usd_hour)
            ),
        ),
    )


def advised_groups(groups: Sequence[StepGroup], history: Sequence[RunTimes]) -> list[StepGroup]:
    """Return the groups with the advised requests; a group without enough runs is unchanged."""
    return [_advised_group(group, history) for group in groups]


def _advised_group(group: StepGroup, history: Sequence[RunTimes]) -> StepGroup:
    evidence = [evidence_of(step.declared_name, history) for step in group.steps]
    is_fixed = all(is_auto(step.resources) for step in group.steps)
    if is_fixed or together(evidence).runs < MIN_RUNS:
        return group
    return group.with_steps(list(map(_advised_step, group.steps, evidence)))


def _advised_step(step: Step, evidence: Evidence) -> Step:
    if is_auto(step.resources):
        return step  # the planner decides it from the same evidence
    return with_amounts(step, advised_needs(needs_of(step.requirements()), evidence))


def _fitting(
    groups: Sequence[StepGroup],
    advised: list[StepGroup],
    plan: Callable[[Sequence[StepGroup]], ExecutionPlan],
    before: ExecutionPlan,
) -> tuple[list[StepGroup], ExecutionPlan]:
    """Return the advised groups and their plan; groups that would fit no machine are unchanged."""
    try:
        return advised, plan(advised)
    except InvalidPipelineError:
        kept, after = list(groups), before
    for position, group in enumerate(advised):
        changed = [*kept[:position], group, *kept[position + 1 :]]
        try:
            after = plan(changed)
        except InvalidPipelineError:
            continue
        kept = changed
    return kept, after


def _spot_plan(
    planner: Planner, groups: Sequence[StepGroup], targets: Sequence[Target]
) -> ExecutionPlan | None:
    try:
        return planner(groups=groups, targets=targets, spot="prefer")
    except InvalidPipelineError:
        return None


def _with_spot_targets(targets: Sequence[Target]) -> list[Target]:
    """Return the targets; those that can use both capacities also with spot capacity."""
    either = [t for t in targets if t.placed_by == "plan" and t.capacity != "spot"]
    return [*targets, *(replace(t, name=f"{t.name} on spot", capacity="spot") for t in either)]


def _job_advice(
    group: StepGroup,
    advised: StepGroup,
    before: PlannedJob,
    after: PlannedJob,
    evidence: Evidence,
) -> JobAdvice:
    is_advised = advised is not group
    return JobAdvice(
        job=before.name,
        steps=before.steps,
        runs=evidence.runs,
        peaks=_peaks(evidence) if evidence.runs else None,
        requested=before.needs,
        advised=after.needs if is_advised else None,
        before=_machine(before),
        after=_machine(after) if is_advised else None,
        reason=_reason(group, is_advised, before, evidence),
    )


def _reason(
    group: StepGroup, is_advised: bool, before: PlannedJob, evidence: Evidence
) -> str | None:
    if all(is_auto(step.resources) for step in group.steps):
        return 'resources="auto" follows the measurements'
    if evidence.runs < MIN_RUNS:
        runs = counted(evidence.runs, "run")
        return f"{runs} measured all of its steps; advice needs {MIN_RUNS}"
    if not is_advised:
        return "no machine fits the measured use with its margin"
    if evidence.grown_in is not None:
        return f"run {evidence.grown_in} used up what it requested"
    return None


def _peaks(evidence: Evidence) -> JobPeaks:
    return JobPeaks(
        cpu_peak_cores=evidence.cpu_peak_cores,
        cpu_mean_cores=evidence.cpu_mean_cores,
        memory_mib=evidence.memory_mib,
        gpus=evidence.gpus,
        gpu_percent=evidence.gpu_percent,
        gpu_memory_mib=evidence.gpu_memory_mib,
    )


def _machine(job: PlannedJob) -> MachineCost:
    return MachineCost(
        instance_type=job.instance_type,
        price_usd_hour=job.price_usd_hour,
        price_basis=job.offers[0].price_basis if job.offers else "unknown",
        expected_s=job.expected_s,
        cost_usd=job.expected_cost_usd,
    )


def _cost_usd(plan: ExecutionPlan) -> float | None:
    return None if plan.estimate is None else plan.estimate.cost_usd
