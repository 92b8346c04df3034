"""Dependency graph of steps, in running order."""

from __future__ import annotations

import difflib
import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from flowyml_aws.core.approvals import Gate
from flowyml_aws.core.binding import BoundStep, bind_steps
from flowyml_aws.core.errors import (
    DependencyCycleError,
    DuplicateAssetError,
    DuplicateStepError,
    FlowymlError,
    UndefinedAssetError,
)
from flowyml_aws.core.maps import part_name
from flowyml_aws.core.step import Step
from flowyml_aws.core.sub_pipeline_errors import (
    new_name,
    unconnected,
    unexposed,
    visible_names,
)

__all__ = ["StepGraph", "order_steps", "read_graph"]

_MAX_LISTED = 20


@dataclass(frozen=True, slots=True)
class StepGraph:
    """The steps of a pipeline and the assets between them.

    Attributes:
        steps: Steps in topological order. Ties are broken by declaration order, except that the
            order stays in an execution group as long as one of its steps is ready, and that a
            decision without a group follows its last parent.
        parents: Step → the steps that it waits for, in running order: those whose assets it reads,
            and those of `after`.
        reads: Step → assets that it reads: its inputs, then those that only its condition takes.
        producers: Asset → the step that produces it.
        external_inputs: Assets that no step produces.
        bound: Step → its arguments, also of steps that `only` left out.
        after: Step → the steps of its `after=`. A step without any is left out.
        gathered: Asset of a mapped step → the assets of its items, which readers of all items
            have in `reads`.
        declared: Asset of an item → its name in the mapped step.
        gates: Approvals that steps wait for, by name, in running order.
        gated: Step → approvals that it waits for. A step without any is left out.
        shared: Asset that steps of several branches of one decision produce → these steps. It is
            empty once each of them has an asset of its own (`shared_assets`).
    """

    steps: tuple[Step, ...]
    parents: Mapping[str, tuple[str, ...]]
    reads: Mapping[str, tuple[str, ...]]
    producers: Mapping[str, str]
    external_inputs: frozenset[str]
    bound: Mapping[str, BoundStep]
    after: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gathered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    declared: Mapping[str, str] = field(default_factory=dict)
    gates: Mapping[str, Gate] = field(default_factory=dict)
    gated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def label(self, asset: str, reader: Step) -> str:
        """Return the name of an asset for a step that reads it: that of the list for one item.

        A part of a list has the name of the part.
        """
        if reader.item is not None and asset in reader.inputs:
            part = reader.item.part
            if part is not None and asset in part.whole_lists:
                return part_name(asset, reader.item.index, part.count)
            return self.declared.get(asset, asset)
        return asset

    @property
    def dynamic(self) -> frozenset[str]:
        """Names of the dynamic steps."""
        return frozenset(step.name for step in self.steps if step.is_dynamic)

    def only(self, names: Collection[str]) -> StepGraph:
        """Return the subgraph of these steps; assets of other steps become external inputs."""
        steps = tuple(step for step in self.steps if step.name in names)
        producers = {asset: name for asset, name in self.producers.items() if name in names}
        reads = {step.name: self.reads[step.name] for step in steps}
        external_inputs = frozenset().union(*reads.values()).difference(producers)
        if len(steps) == len(self.steps):
            return replace(self, external_inputs=external_inputs)
        return StepGraph(
            steps=steps,
            parents={
                step.name: tuple(p for p in self.parents[step.name] if p in names) for step in steps
            },
            reads=reads,
            producers=producers,
            external_inputs=external_inputs,
            bound=self.bound,
            after={
                step: tuple(p for p in parents if p in names)
                for step, parents in self.after.items()
                if step in names
            },
            gathered=self.gathered,
            declared=self.declared,
            gates=self._gates_of(names),
            gated={step: gates for step, gates in self.gated.items() if step in names},
        )

    def _gates_of(self, names: Collection[str]) -> dict[str, Gate]:
        """Return the approvals that some steps wait for, directly or not."""
        needed = {gate for step, gates in self.gated.items() if step in names for gate in gates}
        for name in reversed(tuple(self.gates)):
            if name in needed:
                needed.update(self.gates[name].approvals)
        return {
            name: replace(gate, after=tuple(step for step in gate.after if step in names))
            for name, gate in self.gates.items()
            if name in needed
        }


def read_graph(
    declared: Sequence[Step],
    external_inputs: Collection[str] = (),
    context: Collection[str] = (),
) -> tuple[StepGraph | None, list[FlowymlError]]:
    """Bind the arguments of steps, and order the steps. See `order_steps`.

    Args:
        declared: Steps in declaration order.
        external_inputs: Assets that are passed to the run, so that no step produces them.
        context: Names in the context.
    """
    return order_steps(bind_steps(declared, external_inputs, context), external_inputs)


def order_steps(
    bound: Sequence[BoundStep],
    external_inputs: Collection[str] = (),
    context: Collection[str] = (),
) -> tuple[StepGraph | None, list[FlowymlError]]:
    """Order steps by the assets that they read, and collect all mistakes in them.

    Args:
        bound: Steps in declaration order, with their arguments.
        external_inputs: Assets that are passed to the run, so that no step produces them.
        context: Names in the context, to suggest them for a list that does not exist.

    Returns:
        The graph (None if no order exists) and the mistakes: invalid declarations, duplicate step
        names, duplicate and undefined assets, and dependency cycles.
    """
    declared = [each.step for each in bound]
    external_inputs = frozenset(external_inputs)
    problems: list[FlowymlError] = [p for step in declared for p in step.problems()]
    duplicates = list(_duplicate_steps(declared))
    # Steps are identified by position, as names can still be ambiguous.
    producers, conflicts = _producers(declared, external_inputs)
    reads = [each.reads for each in bound]
    before = _before(declared, producers)
    parents = _parents(reads, before, producers)
    order = list(_running_order(declared, parents))
    cycles = list(_cycles(declared, parents)) if len(order) < len(declared) else []
    problems += [
        *duplicates,
        *conflicts,
        *_undefined_assets(declared, producers, external_inputs, context),
        *cycles,
    ]
    if cycles or duplicates:
        return None, problems

    rank = {position: number for number, position in enumerate(order)}
    names = {
        each: tuple(declared[position].name for position in sorted(each, key=rank.__getitem__))
        for each in set(parents)
    }
    graph = StepGraph(
        steps=tuple(declared[position] for position in order),
        parents={step.name: names[each] for step, each in zip(declared, parents, strict=True)},
        reads={step.name: read for step, read in zip(declared, reads, strict=True)},
        producers={asset: declared[several[0]].name for asset, several in producers.items()},
        external_inputs=external_inputs,
        bound={each.step.name: each for each in bound},
        after={
            step.name: tuple(declared[p].name for p in waits)
            for step, waits in zip(declared, before, strict=True)
            if waits
        },
        shared={
            asset: tuple(declared[position].name for position in several)
            for asset, several in producers.items()
            if several[1:]
        },
    )
    return graph, problems


def _parents(
    reads: Sequence[tuple[str, ...]],
    before: Sequence[Sequence[int]],
    producers: Mapping[str, Sequence[int]],
) -> list[tuple[int, ...]]:
    """Return the sorted positions of the steps that each step waits for.

    Steps that read the same assets share one tuple, so that time and memory of a layer in which
    each step reads the whole layer before it grow with its steps, not with their product.
    """
    positions = {
        read: set[int]().union(*(producers[asset] for asset in read if asset in producers))
        for read in dict.fromkeys(reads)
    }
    of_reads = {read: tuple(sorted(found)) for read, found in positions.items()}
    return [
        tuple(sorted(positions[read].union(waits))) if waits else of_reads[read]
        for read, waits in zip(reads, before, strict=True)
    ]


def _before(declared: Sequence[Step], producers: Mapping[str, Sequence[int]]) -> list[list[int]]:
    """Return the positions of the steps that each step names in `after`, as asset or as step."""
    positions = {**{step.name: (n,) for n, step in enumerate(declared)}, **producers}
    return [
        sorted({n for name in step.after for n in positions.get(name, ())}) for step in declared
    ]


def _running_order(declared: Sequence[Step], parents: Sequence[tuple[int, ...]]) -> Iterator[int]:
    """Yield the positions of steps in running order, without those in a cycle or after one."""
    # Steps with the same parents become ready together.
    children: dict[tuple[int, ...], list[int]] = {}
    for position, its_parents in enumerate(parents):
        children.setdefault(its_parents, []).append(position)
    siblings = list(children.values())
    waiting = list(map(len, children))
    after: list[list[int]] = [[] for _ in declared]
    for number, its_parents in enumerate(children):
        for parent in its_parents:
            after[parent].append(number)
    ready: list[int] = []
    ready_of_group: dict[str, list[int]] = {}
    decisions: list[int] = []

    def add_ready(position: int) -> None:
        if declared[position].is_placed:
            decisions.append(position)
            return
        heapq.heappush(ready, position)
        if (group := declared[position].execution_group) is not None:
            heapq.heappush(ready_of_group.setdefault(group, []), position)

    for position in children.get((), ()):
        add_ready(position)
    done: set[int] = set()
    current: str | None = None
    while decisions or ready:
        if decisions:  # the execution group stays the current one
            position = decisions.pop(0)
        else:
            # A grouped step is in both heaps; the second copy is dropped when it is popped.
            source = ready_of_group.get(current, []) if current is not None else []
            while source and source[0] in done:
                heapq.heappop(source)
            source = source or ready
            position = heapq.heappop(source)
            if position in done:
                continue
            current = declared[position].execution_group
        done.add(position)
        yield position
        next_ready: list[int] = []
        for number in after[position]:
            waiting[number] -= 1
            if not waiting[number]:
                next_ready += siblings[number]
        for child in sorted(next_ready):
            add_ready(child)


def _duplicate_steps(declared: Sequence[Step]) -> Iterator[FlowymlError]:
    for name, count in Counter(step.name for step in declared).items():
        if count > 1:
            yield DuplicateStepError(
                what=f"Duplicate step name {name!r}: {count} steps have it",
                why="plans, logs and results identify a step by its name",
                fix=f'rename one of them: @step(name="{name}_2")',
            )


def _producers(
    declared: Sequence[Step], external_inputs: Collection[str]
) -> tuple[dict[str, list[int]], list[FlowymlError]]:
    """Return the positions of each asset's producers, and an error for each duplicate asset.

    Only steps of which a run executes one have the same asset.
    """
    producers: dict[str, list[int]] = {}
    problems: list[FlowymlError] = []
    for position, step in enumerate(declared):
        for asset in dict.fromkeys(step.assets):
            earlier = producers.setdefault(asset, [position])
            first = earlier[0]
            other = repr(declared[first].name)
            if asset in external_inputs:
                other = "the run's `inputs`"
            elif other == repr(
                step.name
            ):  # the same step, or another one with its name (already reported)
                continue
            if all(_are_exclusive(declared[each], step) for each in earlier):
                earlier.append(position)
                continue
            if all(_are_of_different_cases(declared[each], step) for each in earlier):
                problems.append(_asset_of_maps(asset, declared[first], step))
                continue
            problems.append(
                DuplicateAssetError(
                    what=f"Duplicate asset {asset!r}: it comes from both {other} and {step.name!r}",
                    why="an asset has exactly one source",
                    fix=new_name(step, asset),
                )
            )
    return producers, problems


def _are_exclusive(first: Step, second: Step) -> bool:
    """Return whether a run executes at most one of two steps, which are not mapped."""
    is_mapped = first.mapping is not None or second.mapping is not None
    return _are_of_different_cases(first, second) and not is_mapped


def _are_of_different_cases(first: Step, second: Step) -> bool:
    one, other = first.branch, second.branch
    if one is None or other is None:
        return False
    return one.decision == other.decision and one.case != other.case


def _asset_of_maps(asset: str, first: Step, second: Step) -> FlowymlError:
    names = f"{asset}_{first.name}", f"{asset}_{second.name}"
    return DuplicateAssetError(
        what=f"Duplicate asset {asset!r}: it comes from both {first.name!r} and {second.name!r}",
        why="steps in different branches can only produce the same asset if none of them is mapped",
        fix=f"name the outputs differently, such as {names[0]!r} and {names[1]!r}, and give the "
        f"parameters of its readers defaults: inputs=[{names[0]!r}, {names[1]!r}], and "
        f"def reader({names[0]}=None, {names[1]}=None)",
    )


def _undefined_assets(
    declared: Sequence[Step],
    producers: Collection[str],
    external_inputs: Collection[str],
    context: Collection[str],
) -> Iterator[FlowymlError]:
    assets = {*producers, *external_inputs}
    steps = {step.name for step in declared}
    known = sorted(assets)
    listed = _listed(known)
    missing = {  # once for each sub-pipeline
        (step.name if step.scope is None else step.scope.path, asset): (step, asset)
        for step in declared
        for asset in dict.fromkeys((*step.inputs, *step.after))
        if asset not in assets and (asset in step.inputs or asset not in steps)
    }
    for count, (step, asset) in enumerate(missing.values()):
        # The search for similar names is slow, and the first suggestions suffice.
        if step.scope is not None:
            names = visible_names(step.scope, declared, sorted({*known, *context}))
            yield unconnected(step.scope, asset, names, _listed(names))
            continue
        is_list = step.mapping is not None and asset in step.mapping.over
        names = sorted({*known, *context}) if is_list else known
        near = difflib.get_close_matches(asset, names, n=3) if count < _MAX_LISTED else []
        fix = f"did you mean {' or '.join(map(repr, near))}? Otherwise " if near else ""
        if is_list:
            yield UndefinedAssetError(
                what=f"Step {step.name!r} maps over {asset!r}, which does not exist",
                why=f"the assets and the context values are {_listed(names)}",
                fix=f"{fix}add the list to the context or to the run's `inputs`, or "
                f"outputs=[{asset!r}] to the step that produces it",
            )
            continue
        verb = "reads" if asset in step.inputs else "waits for"
        inner = [name for name in known if name.endswith(f"/{asset}")]
        if inner:
            yield unexposed(step, verb, asset, inner[0])
            continue
        yield UndefinedAssetError(
            what=f"Step {step.name!r} {verb} {asset!r}, which no step produces",
            why=f"the assets are {listed}",
            fix=f"{fix}add outputs=[{asset!r}] to the step that produces it, or pass it in the "
            "run's `inputs`",
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return (", ".join(names[:_MAX_LISTED]) or "(none)") + more


def _cycles(declared: Sequence[Step], parents: Sequence[Sequence[int]]) -> Iterator[FlowymlError]:
    """Yield an error for each cycle; of cycles that share a step, only the first is reported."""
    remaining = dict(enumerate(parents))
    while True:
        try:
            TopologicalSorter(remaining).prepare()
        except CycleError as error:
            cycle: list[int] = error.args[1]
            yield DependencyCycleError(
                what=f"Dependency cycle: {' → '.join(declared[p].name for p in cycle)}",
                why="each step reads an asset of the step before it, or waits for it",
                fix="remove one of these inputs or `after`, or split a step into two",
            )
            remaining = {
                position: [parent for parent in its_parents if parent not in cycle]
                for position, its_parents in remaining.items()
                if position not in cycle
            }
        else:
            return
