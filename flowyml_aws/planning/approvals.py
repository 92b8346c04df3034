"""Approvals of a plan: the jobs before and after each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flowyml_aws.core.amounts import usd
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.cost_shares import highest_sum_usd
from flowyml_aws.planning.plan import ExecutionPlan, PlannedApproval, PlannedJob
from flowyml_aws.planning.wording import time_text

__all__ = ["announces", "approval_notes", "approvals_of", "jobs_after", "planned_approvals"]


def approvals_of(group: StepGroup, graph: StepGraph) -> tuple[str, ...]:
    """Return the approvals that a job waits for, in the order of its steps."""
    return tuple(dict.fromkeys(a for step in group.steps for a in graph.gated.get(step.name, ())))


def planned_approvals(graph: StepGraph, job_of: Mapping[str, str]) -> dict[str, PlannedApproval]:
    """Return the approvals that steps of a graph wait for, by name.

    Args:
        graph: Graph of the steps that run.
        job_of: Step → name of its job.
    """
    return {
        name: PlannedApproval(
            after=tuple(dict.fromkeys(job_of[step] for step in gate.after)),
            approvals=gate.approvals,
            inputs=gate.inputs,
            timeout_s=gate.rule.timeout_s,
            approver=gate.rule.approver,
            decision=gate.rule.decision if gate.rule.decision in job_of else None,
        )
        for name, gate in graph.gates.items()
    }


def jobs_after(plan: ExecutionPlan, approval: str) -> list[PlannedJob]:
    """Return the jobs that do not start before an approval is given, in plan order."""
    approvals = {approval}
    for name, planned in plan.approvals.items():  # in running order
        if approvals.intersection(planned.approvals):
            approvals.add(name)
    found: dict[str, PlannedJob] = {}
    for job in plan.jobs:
        if approvals.intersection(job.approvals) or not found.keys().isdisjoint(job.after):
            found[job.name] = job
    return list(found.values())


def approval_notes(plan: ExecutionPlan, groups: Sequence[StepGroup], graph: StepGraph) -> list[str]:
    """Return notes on the approvals of a plan: what waits for them, and what it costs.

    Args:
        plan: Plan with the expected costs of its jobs.
        groups: Step groups of its jobs, in the same order.
        graph: Graph of the steps.
    """
    notes = []
    for name, approval in plan.approvals.items():
        jobs = jobs_after(plan, name)
        by = "" if approval.approver is None else f" by {approval.approver}"
        unless = "" if approval.decision is None else ", unless its condition holds"
        more = f" and {len(jobs) - 3} more" if jobs[3:] else ""
        notes.append(
            f"{', '.join(job.name for job in jobs[:3])}{more} {_will_wait(name)}{by}, "
            f"up to {time_text(approval.timeout_s)}{unless}; no instance runs only to wait"
            f"{_cost_text(jobs)}"
        )
        notes += _splits(name, groups, graph)
    return notes


def announces(note: str, approval: str) -> bool:
    """Return whether a note of a plan says that jobs will wait for an approval."""
    return _will_wait(approval) in note


def _will_wait(approval: str) -> str:
    return f"will wait for approval {approval!r}"


def _cost_text(jobs: Sequence[PlannedJob]) -> str:
    """Return the costs of the jobs after an approval as a clause; empty if they are unknown."""
    costs = [job.expected_cost_usd for job in jobs]
    if None not in costs:
        return f". After it: {usd(highest_sum_usd(jobs, costs))} expected"
    prices = [job.price_usd_hour for job in jobs]
    if None in prices:
        return ""
    return f". After it: {usd(highest_sum_usd(jobs, prices))} per hour if all jobs run at once"


def _splits(name: str, groups: Sequence[StepGroup], graph: StepGraph) -> Iterator[str]:
    """Yield a note on each execution group that an approval splits."""
    before = graph.gates[name].after
    last = {g.execution_group: s.name for g in groups for s in g.steps if s.name in before}
    for group in groups:
        gated = [step.name for step in group.steps if name in graph.gated.get(step.name, ())]
        if gated and group.execution_group is not None and group.execution_group in last:
            yield (
                f"group {group.execution_group!r} has several jobs, because approval {name!r} is "
                f"between its steps {last[group.execution_group]!r} and {gated[0]!r}"
            )
