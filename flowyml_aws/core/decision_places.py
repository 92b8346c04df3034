"""Placement of decisions: the job in which each one runs.

A decision starts no machine of its own if it can be avoided, and makes no job wait for one that it
did not wait for before:

- It runs after its last parent, in the same job, if this job already waits for all other parents,
  and for the approvals and the pipelines of dynamic steps that the decision waits for.
- Otherwise it runs in the job of the first step of its branches. The other branches then wait for
  this job.
- It is a job of its own if that job has items of a map, which are divided among several jobs.

Groups of other steps are never split or merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup, group_steps

__all__ = ["grouped_steps", "place_decisions"]


def grouped_steps(
    ordered: Sequence[Step], parents: Mapping[str, Sequence[str]]
) -> tuple[Step, ...]:
    """Return the steps that form groups: all except decisions.

    A decision remains if a parent of it is mapped: the steps before and after it are not in one
    group, because items run one after the other.

    Args:
        ordered: Steps in running order.
        parents: Steps that each step waits for.
    """
    mapped = {step.name for step in ordered if step.mapping is not None}
    return tuple(
        step for step in ordered if not step.is_placed or not mapped.isdisjoint(parents[step.name])
    )


def place_decisions(groups: Sequence[StepGroup], graph: StepGraph) -> tuple[StepGroup, ...]:
    """Return the groups with each decision of the graph in the group where it runs.

    Args:
        groups: Groups in running order. Decisions in them are placed again.
        graph: Graph of the steps of these groups, with their decisions.
    """
    decisions = [step for step in graph.steps if step.is_placed]
    if not decisions:
        return tuple(groups)
    others = frozenset(step.name for step in graph.steps if not step.is_placed)
    kept = [part for group in groups if (part := group.only(others)) is not None]
    places = _Places(kept, graph)
    for decision in decisions:
        places.add(decision)
    return places.groups()


class _Places:
    """The groups of steps, to which decisions are added in running order."""

    def __init__(self, groups: Sequence[StepGroup], graph: StepGraph) -> None:
        self._groups, self._graph, self._dynamic = groups, graph, graph.dynamic
        self._added: dict[int, list[Step]] = {}
        self._alone: list[Step] = []
        self._group_of = {s.name: number for number, g in enumerate(groups) for s in g.steps}
        self._ranks = {step.name: rank for rank, step in enumerate(graph.steps)}
        self._before: list[set[int]] = []
        for number, group in enumerate(groups):  # parents are in earlier groups
            direct = self._parent_groups(step.name for step in group.steps) - {number}
            self._before.append(direct.union(*(self._before[parent] for parent in direct)))

    def add(self, decision: Step) -> None:
        """Add a decision to the group where it runs."""
        parents = self._parent_groups([decision.name])
        last = max(parents, default=None)
        if (
            last is not None
            and self._takes(last)
            and not self._groups[last].steps[-1].is_dynamic  # its outputs are not in the job
            and parents <= {last, *self._before[last]}
            and self._gates([decision]) <= self._gates(self._groups[last].steps)
        ):
            self._add_to(last, decision)
            return
        branches = [
            self._group_of[step.name]
            for step in self._graph.steps
            if step.branch is not None
            and step.branch.decision == decision.name
            and step.name in self._group_of
        ]
        if branches and self._takes(branches[0]):
            self._add_to(branches[0], decision)
            return
        self._alone.append(decision)

    def _add_to(self, number: int, decision: Step) -> None:
        self._added.setdefault(number, []).append(decision)
        self._group_of[decision.name] = number

    def groups(self) -> tuple[StepGroup, ...]:
        """Return all groups in running order."""
        made = [
            group.with_steps(sorted((*group.steps, *self._added[number]), key=self._rank))
            if number in self._added
            else group
            for number, group in enumerate(self._groups)
        ]
        for decision in self._alone:
            position = {step.name: n for n, group in enumerate(made) for step in group.steps}
            parents = self._graph.parents[decision.name]
            last = max((position[parent] for parent in parents), default=-1)
            made[last + 1 : last + 1] = group_steps([decision])
        return tuple(made)

    def _takes(self, number: int) -> bool:
        """Return whether a decision can run in a group: its steps remain in one job."""
        return all(s.item is None and s.mapping is None for s in self._groups[number].steps)

    def _gates(self, steps: Iterable[Step]) -> set[str]:
        """Return the approvals and dynamic steps that a job with these steps waits for."""
        graph = self._graph
        names = {step.name for step in steps}
        approvals = {each for name in names for each in graph.gated.get(name, ())}
        return approvals.union(*(self._dynamic.intersection(graph.parents[n]) for n in names))

    def _parent_groups(self, names: Iterable[str]) -> set[int]:
        """Return the groups of the parents of steps, looking through decisions."""
        found: set[int] = set()
        waiting, seen = list(names), set[str]()
        while waiting:
            for parent in self._graph.parents[waiting.pop()]:
                if parent in self._group_of:
                    found.add(self._group_of[parent])
                elif parent not in seen:  # a decision without a place
                    seen.add(parent)
                    waiting.append(parent)
        return found

    def _rank(self, step: Step) -> int:
        return self._ranks[step.name]
