"""Steps that are skipped for certain, because decisions are known before the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flowyml_aws.core.binding import BoundStep
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step

__all__ = ["known_skips", "without_known_branches"]


def known_skips(graph: StepGraph, cases: Mapping[str, str]) -> dict[str, str]:
    """Return the cause for each step that is skipped because of decisions.

    Args:
        graph: Graph of the steps.
        cases: Case of each decision that is known.
    """
    if not cases:
        return {}
    skips: dict[str, str] = {}
    absent: dict[str, str] = {}
    for step in graph.steps:
        causes = (_cause(asset, graph, absent) for asset in graph.bound[step.name].needed)
        cause = next(filter(None, causes), None)
        for of_branches in graph.bound[step.name].needed_of_branches:
            absences = [absent.get(asset) for asset in of_branches]
            if cause is None and None not in absences:
                cause = absences[0]
        if cause is None and step.branch is not None and step.branch.decision in cases:
            cause = step.branch.cause_of_skip(cases[step.branch.decision])
        if cause is not None:
            skips[step.name] = cause
            absent.update(dict.fromkeys(step.assets, cause))
    return skips


def _cause(asset: str, graph: StepGraph, absent: Mapping[str, str]) -> str | None:
    # A list does not exist if none of its items does, and they are all skipped together.
    items = graph.gathered.get(asset, (asset,))
    return absent.get(items[0]) if items else None


def without_known_branches(
    graph: StepGraph, cases: Mapping[str, str]
) -> tuple[StepGraph, Mapping[str, Step]]:
    """Return the graph with the steps of known decisions as steps without a branch.

    Args:
        graph: Graph of the steps that run.
        cases: Case of each decision that is known.

    Returns:
        The graph, and each changed step by name.
    """
    changed = {
        step.name: replace(graph.bound[step.name], step=step.without_branch())
        for step in graph.steps
        if step.branch is not None and step.branch.decision in cases
    }
    if not changed:
        return graph, {}
    steps = {name: bound.step for name, bound in changed.items()}
    reads = {**graph.reads, **{name: _reads(graph, bound) for name, bound in changed.items()}}
    still_read = {asset for assets in reads.values() for asset in assets}
    remaining = replace(
        graph,
        steps=tuple(steps.get(step.name, step) for step in graph.steps),
        reads=reads,
        external_inputs=graph.external_inputs & still_read,
        bound={step.name: changed.get(step.name, graph.bound[step.name]) for step in graph.steps},
    )
    return remaining, steps


def _reads(graph: StepGraph, bound: BoundStep) -> tuple[str, ...]:
    """Return the assets that a step reads without its decision."""
    kept = {item for asset in bound.reads for item in graph.gathered.get(asset, (asset,))}
    return tuple(asset for asset in graph.reads[bound.step.name] if asset in kept)
