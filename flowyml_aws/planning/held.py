"""Jobs that decisions of other jobs can make unnecessary, so that they are submitted later."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from flowyml_aws.core.branches import Branch
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.cases import ALWAYS, Cases
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.services import service_traits

__all__ = ["common_cases", "deciding_steps", "held_by", "held_notes", "required_cases"]


def required_cases(graph: StepGraph) -> dict[str, Cases]:
    """Return the cases without which each step is skipped, for steps that need any.

    A step is skipped with the branch that it is in, and with the step of an asset that it needs.
    """
    required: dict[str, Cases] = {}
    if all(step.branch is None for step in graph.steps):
        return required
    for step in graph.steps:
        own = ALWAYS if step.branch is None else frozenset({step.branch})
        needed = [required.get(name, ALWAYS) for name in _needed_steps(step, graph)]
        for names in _needed_branches(step, graph):
            first, *others = (required.get(name, ALWAYS) for name in names)
            needed.append(first.intersection(*others))
        if found := own.union(*needed):
            required[step.name] = found
    return required


def deciding_steps(graph: StepGraph) -> dict[str, frozenset[str]]:
    """Return the decisions that can make each step unnecessary, for steps that have any.

    The decision of an asset that each of its branches produces is none of them.
    """
    branches = {step.name: step.branch for step in graph.steps if step.branch is not None}
    if not branches:
        return {}
    cases = {step.name: frozenset(step.cases) for step in graph.steps}
    deciding: dict[str, frozenset[str]] = {}
    for step in graph.steps:
        found = set() if step.branch is None else {step.branch.decision}
        for name in _needed_steps(step, graph):
            found |= deciding.get(name, frozenset())
        for names in _needed_branches(step, graph):
            of_branches = set[str]().union(*(deciding.get(name, ()) for name in names))
            chosen = {branches[name] for name in names if name in branches}
            for decision in {branch.decision for branch in chosen}:
                if cases.get(decision, frozenset()) <= {branch.case for branch in chosen}:
                    of_branches.discard(decision)
            found |= of_branches
        if found:
            deciding[step.name] = frozenset(found)
    return deciding


def held_by(group: StepGroup, deciding: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the decisions that can make a whole job unnecessary, in the order of its steps.

    Args:
        group: Steps of the job.
        deciding: Decisions that can make steps unnecessary.
    """
    if not all(step.name in deciding for step in group.steps):
        return ()
    found = (name for step in group.steps for name in sorted(deciding[step.name]))
    return tuple(dict.fromkeys(found))


def common_cases(group: StepGroup, required: Mapping[str, Cases]) -> tuple[Branch, ...]:
    """Return the cases without which no step of a job runs, in the order of their names.

    Args:
        group: Steps of the job.
        required: Cases without which steps are skipped.
    """
    first, *others = (required.get(step.name, ALWAYS) for step in group.steps)
    return tuple(sorted(first.intersection(*others), key=lambda b: (b.decision, b.case)))


def held_notes(plan: ExecutionPlan) -> Iterator[str]:
    """Yield a note on the held jobs of a plan, if its other jobs continue without a client."""
    held = [job for job in plan.jobs if job.held]
    if not any(service_traits(job.backend).starts_after_parents for job in held):
        return
    names = ", ".join(dict.fromkeys(name for job in held for name in job.held))
    jobs = "1 job is" if len(held) == 1 else f"{len(held):,} jobs are"
    yield (
        f"{jobs} submitted or skipped after {names}, only while a client or the driver of a "
        "detached run drives the run"
    )


def _needed_steps(step: Step, graph: StepGraph) -> Iterator[str]:
    """Yield the steps without whose assets a step is skipped."""
    for asset in graph.bound[step.name].needed:
        # A list does not exist if none of its items does, and they are all skipped together.
        for name in graph.gathered.get(asset, (asset,))[:1]:
            if (producer := graph.producers.get(name)) is not None:
                yield producer


def _needed_branches(step: Step, graph: StepGraph) -> Iterator[list[str]]:
    """Yield the steps in different branches of which a step needs one that is not skipped."""
    for assets in graph.bound[step.name].needed_of_branches:
        if names := [graph.producers[asset] for asset in assets if asset in graph.producers]:
            yield names
