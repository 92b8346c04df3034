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
    UndefinedAssetError,
)
from flowyml_aws.core.step import Step

__all__ = ["StepGraph", "read_graph"]

_MANY = 20


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

    def only(self, names: Collection[str]) -> StepGraph:
        """The graph of some of its steps; what they read of others is given."""
        steps = tuple(step for step in self.steps if step.name in names)
        producers = {asset: name for asset, name in self.producers.items() if name in names}
        reads = {step.name: self.reads[step.name] for step in steps}
        return StepGraph(
            steps=steps,
            parents={
                step.name: tuple(p for p in self.parents[step.name] if p in names) for step in steps
            },
            reads=reads,
            producers=producers,
            given=frozenset(a for read in reads.values() for a in read if a not in producers),
        )


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
    given = frozenset(given)
    problems: list[FlowymlError] = [p for step in declared for p in step.problems()]
    repeated = list(_duplicate_steps(declared))
    # By position: names may be ambiguous here.
    producers, conflicts = _producers(declared, given)
    assets = producers.keys() | given
    reads = [_reads(step, assets) for step in declared]
    parents = [sorted({producers[asset] for asset in read if asset in producers}) for read in reads]
    cycles = list(_cycles(declared, parents))
    problems += [*repeated, *conflicts, *_undefined_assets(declared, producers, given), *cycles]
    if cycles or repeated:
        return None, problems

    order = list(_running_order(declared, parents))
    rank = {position: number for number, position in enumerate(order)}
    graph = StepGraph(
        steps=tuple(declared[position] for position in order),
        parents={
            step.name: tuple(declared[p].name for p in sorted(of, key=rank.__getitem__))
            for step, of in zip(declared, parents, strict=True)
        },
        reads={step.name: read for step, read in zip(declared, reads, strict=True)},
        producers={asset: declared[position].name for asset, position in producers.items()},
        given=given,
    )
    return graph, problems


def _reads(step: Step, assets: Collection[str]) -> tuple[str, ...]:
    if not callable(step.condition):
        return step.inputs
    named = bind(step.condition, step.inputs, (), assets, step.func).assets.values()
    own = set(step.assets)
    return tuple(dict.fromkeys((*step.inputs, *(asset for asset in named if asset not in own))))


def _running_order(declared: Sequence[Step], parents: Sequence[Sequence[int]]) -> Iterator[int]:
    children: list[list[int]] = [[] for _ in declared]
    for position, of in enumerate(parents):
        for parent in of:
            children[parent].append(position)
    waiting = [len(of) for of in parents]
    ready: list[int] = []
    ready_of_group: dict[str, list[int]] = {}

    def offer(position: int) -> None:
        heapq.heappush(ready, position)
        if (group := declared[position].execution_group) is not None:
            heapq.heappush(ready_of_group.setdefault(group, []), position)

    for position, count in enumerate(waiting):
        if not count:
            offer(position)
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
        current = declared[position].execution_group
        yield position
        for child in children[position]:
            waiting[child] -= 1
            if not waiting[child]:
                offer(child)


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
) -> tuple[dict[str, int], list[FlowymlError]]:
    """Asset → position of the step that produces it."""
    producers: dict[str, int] = {}
    problems: list[FlowymlError] = []
    for position, step in enumerate(declared):
        for asset in dict.fromkeys(step.assets):
            first = producers.setdefault(asset, position)
            other = declared[first].name
            if asset in given:
                other = "the run's `inputs`"
            elif other == step.name:  # itself, or a step that is named twice
                continue
            problems.append(
                DuplicateAssetError(
                    what=f"Asset {asset!r} is produced by {other!r} and by {step.name!r}",
                    why="a step that reads it could not know which one it gets",
                    fix=f"rename the output of {step.name!r}",
                )
            )
    return producers, problems


def _undefined_assets(
    declared: Sequence[Step], producers: Collection[str], given: Collection[str]
) -> Iterator[FlowymlError]:
    known = sorted({*producers, *given})
    listed = ", ".join(known[:_MANY]) or "(none)"
    if len(known) > _MANY:
        listed += f" and {len(known) - _MANY} more"
    missing = [
        (step, asset)
        for step in declared
        for asset in step.inputs
        if asset not in producers and asset not in given
    ]
    for count, (step, asset) in enumerate(missing):
        # Near names take their time: the first ones show what went wrong.
        near = difflib.get_close_matches(asset, known, n=3) if count < _MANY else []
        fix = f"did you mean {' or '.join(map(repr, near))}?" if near else "declare it"
        yield UndefinedAssetError(
            what=f"Step {step.name!r} reads {asset!r}, which no step produces",
            why=f"the assets are {listed}",
            fix=f"{fix} (outputs=[{asset!r}] on its producer, or inputs= of the run)",
        )


def _cycles(declared: Sequence[Step], parents: Sequence[Sequence[int]]) -> Iterator[FlowymlError]:
    """An error for each circle; circles that share a step are told one after the other."""
    left = dict(enumerate(parents))
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            circle: list[int] = error.args[1]
            yield DependencyCycleError(
                what=f"Steps wait for each other: {' → '.join(declared[p].name for p in circle)}",
                why="each of them reads an asset of the one before it",
                fix="remove one of these inputs, or split a step in two",
            )
            left = {
                position: [parent for parent in of if parent not in circle]
                for position, of in left.items()
                if position not in circle
            }
        else:
            return
