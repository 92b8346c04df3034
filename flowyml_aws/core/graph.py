"""Steps in running order, with who waits for whom."""

from __future__ import annotations

import difflib
import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from flowyml_aws.core.binding import bind
from flowyml_aws.core.errors import (
    DependencyCycleError,
    DuplicateAssetError,
    DuplicateStepError,
    FlowymlError,
    MissingArgumentError,
    UndefinedAssetError,
)
from flowyml_aws.core.step import Step

__all__ = ["StepGraph", "missing_arguments", "read_graph"]


@dataclass(frozen=True, slots=True)
class StepGraph:
    """The steps of a pipeline and the assets between them.

    Attributes:
        steps: In running order: topological, declaration order breaks ties, and a group is not
            left while one of its steps is ready.
        parents: Step → the steps whose assets it reads, in running order.
        reads: Step → assets it reads: its inputs, then what only its condition names.
        producers: Asset → step.
        given: Assets that the run brings along.
    """

    steps: tuple[Step, ...]
    parents: Mapping[str, tuple[str, ...]]
    reads: Mapping[str, tuple[str, ...]]
    producers: Mapping[str, str]
    given: frozenset[str]


def read_graph(
    declared: Sequence[Step], given: Collection[str] = ()
) -> tuple[StepGraph | None, list[FlowymlError]]:
    """Order steps by the assets they read, and find every mistake in them.

    Args:
        declared: Steps in declaration order.
        given: Assets that the run brings along: they need no producer.

    Returns:
        The graph, or None where no order exists, and the mistakes: steps declared wrongly, of one
        name, reading undefined assets, producing one asset twice, or in a circle.
    """
    problems: list[FlowymlError] = [p for step in declared for p in step.problems()]
    problems += _duplicate_steps(declared)
    producers, duplicates = _producers(declared, given)
    problems += duplicates
    problems += _undefined_assets(declared, producers, given)

    assets = producers.keys() | set(given)
    reads = {step.name: _reads(step, assets) for step in declared}
    positions = {step.name: position for position, step in enumerate(declared)}
    parents = {
        name: {producers[asset] for asset in read if asset in producers}
        for name, read in reads.items()
    }
    cycle = _cycle(parents)
    problems += cycle
    if cycle or len(positions) < len(declared):
        return None, problems
    steps = tuple(_running_order(declared, parents, positions))
    at = {step.name: position for position, step in enumerate(steps)}
    ordered = {name: tuple(sorted(of, key=at.__getitem__)) for name, of in parents.items()}
    return StepGraph(steps, ordered, reads, producers, frozenset(given)), problems


def missing_arguments(graph: StepGraph, context: Collection[str]) -> list[FlowymlError]:
    """An error for each step with a parameter that neither inputs, context nor defaults fill."""
    found: list[FlowymlError] = []
    for step in graph.steps:
        needs = [("", bind(step.func, step.inputs, context))]
        if step.condition is not None:
            reads = graph.reads[step.name]
            needs.append((" (its condition)", bind(step.condition, step.inputs, context, reads)))
        for whose, arguments in needs:
            for parameter in arguments.missing:
                near = difflib.get_close_matches(parameter, [*step.inputs, *context], n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                found.append(
                    MissingArgumentError(
                        what=f"Step {step.name!r}{whose} lacks a value for {parameter!r}{hint}",
                        why="it is neither an input nor in the context, and has no default",
                        fix=f"add it to the context, e.g. Context({parameter}=…), or to `inputs`",
                    )
                )
    return found


def _reads(step: Step, assets: Collection[str]) -> tuple[str, ...]:
    if not callable(step.condition):
        return step.inputs
    named = bind(step.condition, step.inputs, (), assets).assets.values()
    own = set(step.assets)
    return tuple(dict.fromkeys((*step.inputs, *(asset for asset in named if asset not in own))))


def _running_order(
    declared: Sequence[Step], parents: Mapping[str, set[str]], positions: Mapping[str, int]
) -> Iterator[Step]:
    children: dict[str, list[str]] = {step.name: [] for step in declared}
    for name, of in parents.items():
        for parent in of:
            children[parent].append(name)
    waiting = {name: len(of) for name, of in parents.items()}
    ready: list[int] = []
    ready_of_group: dict[str, list[int]] = {}

    def offer(position: int) -> None:
        heapq.heappush(ready, position)
        if (group := declared[position].execution_group) is not None:
            heapq.heappush(ready_of_group.setdefault(group, []), position)

    for step in declared:
        if not waiting[step.name]:
            offer(positions[step.name])
    done: set[int] = set()
    current: str | None = None
    while len(done) < len(declared):
        # Both heaps hold a grouped step: the copy that was not taken is dropped when it comes up.
        source = ready_of_group.get(current, []) if current is not None else []
        while source and source[0] in done:
            heapq.heappop(source)
        source = source or ready
        position = heapq.heappop(source)
        if position in done:
            continue
        done.add(position)
        step = declared[position]
        current = step.execution_group
        yield step
        for child in children[step.name]:
            waiting[child] -= 1
            if not waiting[child]:
                offer(positions[child])


def _duplicate_steps(declared: Sequence[Step]) -> Iterator[FlowymlError]:
    for name, count in Counter(step.name for step in declared).items():
        if count > 1:
            yield DuplicateStepError(
                what=f"{count} steps are named {name!r}",
                why="a step is found by its name in plans, logs and results",
                fix=f'give one of them another name: @step(name="{name}_2")',
            )


def _producers(
    declared: Sequence[Step], given: Collection[str]
) -> tuple[dict[str, str], list[FlowymlError]]:
    producers: dict[str, str] = {}
    problems: list[FlowymlError] = []
    for step in declared:
        for asset in dict.fromkeys(step.assets):
            other = "the run's `inputs`" if asset in given else producers.get(asset)
            if other is not None and other != step.name:
                problems.append(
                    DuplicateAssetError(
                        what=f"Asset {asset!r} is produced by {other!r} and by {step.name!r}",
                        why="a step that reads it could not know which one it gets",
                        fix=f"rename the output of {step.name!r}",
                    )
                )
            producers.setdefault(asset, step.name)
    return producers, problems


def _undefined_assets(
    declared: Sequence[Step], producers: Mapping[str, str], given: Collection[str]
) -> Iterator[FlowymlError]:
    known = producers.keys() | set(given)
    for step in declared:
        for asset in step.inputs:
            if asset not in known:
                near = difflib.get_close_matches(asset, known, n=3)
                fix = f"did you mean {' or '.join(map(repr, near))}?" if near else "declare it"
                yield UndefinedAssetError(
                    what=f"Step {step.name!r} reads {asset!r}, which no step produces",
                    why=f"the assets are {', '.join(sorted(producers)) or '(none)'}",
                    fix=f"{fix} (outputs=[{asset!r}] on its producer, or inputs= of the run)",
                )


def _cycle(parents: Mapping[str, set[str]]) -> list[FlowymlError]:
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        return [
            DependencyCycleError(
                what=f"Steps wait for each other: {circle}",
                why="each of them reads an asset of the one before it",
                fix="remove one of these inputs, or split a step in two",
            )
        ]
    return []
