"""Number of items of a mapped step that one job runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup, split_items
from flowyml_aws.planning.durations import Durations, items_of
from flowyml_aws.planning.plan import PlannedMap

__all__ = ["Batch", "batch_of", "empty_notes", "planned_maps", "produced_notes", "split_group"]

_START_SHARE = 0.1
"""Largest share of a job's time that its start may take, if there are enough items."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A number of items per job, and its reason.

    Attributes:
        items_per_job: Number of items; of parts, if the map has parts.
    """

    items_per_job: int
    reason: str


def batch_of(
    group: StepGroup, durations: Durations, startup_s: float, most_jobs: int
) -> Batch | None:
    """Return the number of items that each job of a mapped group runs; None for other groups.

    A job takes `startup_s` and the sum of its items. Enough items share a job that its start takes
    at most a tenth of this time. If an item has never run, at most `most_jobs` jobs are planned.

    Args:
        group: Group with all items that run.
        durations: Durations of earlier runs.
        startup_s: Assumed seconds until a job runs its first step.
        most_jobs: Number of jobs while the durations of the items are unknown.
    """
    declared = {step.declared_name: step.declared for step in group.steps if step.item is not None}
    if not declared:
        return None
    given = [
        step.mapping.items_per_job
        for step in declared.values()
        if step.mapping is not None and step.mapping.items_per_job is not None
    ]
    sizes = {step.item.index: items_of(step) for step in group.steps if step.item is not None}
    if given:
        is_in_parts = any(step.item is not None and step.item.part for step in group.steps)
        return Batch(1 if is_in_parts else min(given), "as declared")
    items = len(sizes)
    seconds = _item_s(list(declared.values()), durations)
    if seconds is None:
        return Batch(
            max(1, math.ceil(items / most_jobs)),
            f"at most {most_jobs} jobs, because no item has run yet",
        )
    enough_s = startup_s * (1 - _START_SHARE) / _START_SHARE
    seconds_of_step = seconds * max(sizes.values())
    number = items if seconds <= 0 else math.ceil(enough_s / seconds_of_step)
    return Batch(
        max(1, min(items, number)),
        f"an item takes {seconds:.3g} s, and a job {startup_s:g} s to start",
    )


def split_group(group: StepGroup, batch: Batch | None) -> tuple[StepGroup, ...]:
    """Return the groups that become jobs; a group without items is returned as it is."""
    return (group,) if batch is None else split_items(group, batch.items_per_job)


def _item_s(steps: Sequence[Step], durations: Durations) -> float | None:
    """Return the expected seconds of one item, or None if one of its steps has never run."""
    known = [durations.expected_s(step.name, None) for step in steps]
    return None if None in known else sum(value for value in known if value is not None)


def planned_maps(
    graph: StepGraph,
    running: Sequence[StepGroup],
    batches: Sequence[Batch | None],
    empty: Sequence[Step] = (),
) -> dict[str, PlannedMap]:
    """Return the mapped steps of a plan by name, also those whose items are all reused.

    Args:
        graph: Graph of all items.
        running: Groups with the items that run.
        batches: Number of items per job of each of these groups.
        empty: Mapped steps as declared whose list is empty.
    """
    of_step = {
        step.declared_name: batch
        for group, batch in zip(running, batches, strict=True)
        if batch is not None
        for step in group.steps
    }
    steps: dict[str, list[Step]] = {}
    for step in graph.steps:
        if step.item is not None:
            steps.setdefault(step.declared_name, []).append(step)
    declared = {step.declared_name: step.declared for step in graph.steps if step.item is not None}
    maps: dict[str, PlannedMap] = {}
    for name, step in declared.items():
        batch = of_step.get(name) or Batch(1, "every item is reused")
        assert step.mapping is not None
        items = sum(map(items_of, steps[name]))
        is_in_parts = any(item.item is not None and item.item.part for item in steps[name])
        maps[name] = PlannedMap(
            items=items,
            parts=len(steps[name]) if is_in_parts else None,
            outputs=step.assets,
            items_per_job=batch.items_per_job * math.ceil(items / len(steps[name])),
            reason=batch.reason,
            on_item_failure=step.mapping.on_item_failure,
            min_success=step.mapping.min_success,
        )
    maps.update((step.name, _empty_map(step)) for step in empty)
    return maps


def _empty_map(step: Step) -> PlannedMap:
    assert step.mapping is not None
    return PlannedMap(
        items=0,
        outputs=step.assets,
        items_per_job=1,
        reason="the list is empty",
        on_item_failure=step.mapping.on_item_failure,
        min_success=step.mapping.min_success,
    )


def empty_notes(empty: Sequence[Step]) -> list[str]:
    """Return a note on each mapped step whose list is empty.

    Args:
        empty: Mapped steps as declared.
    """
    return [f"step {step.name!r} does not run: {_lists_text(step)} empty" for step in empty]


def _lists_text(step: Step) -> str:
    assert step.mapping is not None
    names = step.mapping.over
    if not names:
        return "the list of its items is"
    return f"{' and '.join(map(repr, names))} {'is' if len(names) == 1 else 'are'}"


def produced_notes(
    groups: Sequence[StepGroup],
    graph: StepGraph,
    length_runs: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return a note on each mapped step whose list is produced in the run.

    Args:
        groups: Groups of the jobs that run.
        graph: Graph of the steps that run.
        length_runs: Run that had the assumed number of items, by mapped step.
    """
    items: dict[str, int] = {}
    jobs: dict[str, set[str]] = {}
    lists: dict[str, list[str]] = {}
    for group in groups:
        for step in group.steps:
            part = None if step.item is None else step.item.part
            produced = [] if part is None else [a for a in part.whole_lists if a in graph.producers]
            if not produced:
                continue
            name = step.declared_name
            items[name] = items.get(name, 0) + items_of(step)
            jobs.setdefault(name, set()).add(group.group_name)
            lists[name] = produced
    return [
        f"{' and '.join(map(repr, lists[name]))} {'is' if len(lists[name]) == 1 else 'are'} "
        f"produced in this run: step {name!r} is planned "
        f"for {number:,} item{'s' * (number != 1)} in {len(jobs[name])} "
        f"job{'s' * (len(jobs[name]) != 1)}"
        + (f", from the length in run {length_runs[name]}" if name in length_runs else "")
        for name, number in items.items()
    ]
