"""Number of items of a mapped step that one job runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup, split_items
from flowyml_aws.planning.durations import Durations
from flowyml_aws.planning.plan import PlannedMap

__all__ = ["Batch", "batch_of", "planned_maps", "split_group"]

_START_SHARE = 0.1
"""Largest share of a job's time that its start may take, if there are enough items."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A number of items per job, and its reason."""

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
    if given:
        return Batch(min(given), "as declared")
    items = len({step.item.index for step in group.steps if step.item is not None})
    seconds = _item_s(list(declared.values()), durations)
    if seconds is None:
        return Batch(
            max(1, math.ceil(items / most_jobs)),
            f"at most {most_jobs} jobs, because no item has run yet",
        )
    enough_s = startup_s * (1 - _START_SHARE) / _START_SHARE
    number = items if seconds <= 0 else math.ceil(enough_s / seconds)
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
    graph: StepGraph, running: Sequence[StepGroup], batches: Sequence[Batch | None]
) -> dict[str, PlannedMap]:
    """Return the mapped steps of a plan by name, also those whose items are all reused.

    Args:
        graph: Graph of all items.
        running: Groups with the items that run.
        batches: Number of items per job of each of these groups.
    """
    of_step = {
        step.declared_name: batch
        for group, batch in zip(running, batches, strict=True)
        if batch is not None
        for step in group.steps
    }
    counts = Counter(step.declared_name for step in graph.steps if step.item is not None)
    declared = {step.declared_name: step.declared for step in graph.steps if step.item is not None}
    maps: dict[str, PlannedMap] = {}
    for name, step in declared.items():
        batch = of_step.get(name) or Batch(1, "every item is reused")
        assert step.mapping is not None
        maps[name] = PlannedMap(
            items=counts[name],
            outputs=step.assets,
            items_per_job=batch.items_per_job,
            reason=batch.reason,
            on_item_failure=step.mapping.on_item_failure,
            min_success=step.mapping.min_success,
        )
    return maps
