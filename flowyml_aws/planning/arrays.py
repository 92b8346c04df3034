"""Arrays of jobs: jobs of a map that differ only in their specs, and can be submitted as one.

A service that has arrays knows three kinds of dependencies: a job waits for another job, for all
jobs of an array, or for the job of the same index in an array of the same size. Jobs with other
dependencies are submitted one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from flowyml_aws.planning.cost_shares import attempt_limit_s
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.services import service_traits

__all__ = ["ArrayPlaces", "Links", "job_arrays", "shared_moves"]

_MOST_ARRAYS = 19
"""Arrays of which an array may wait for the jobs of its own index. They can't be joined as its
other parents, and AWS Batch accepts 20 parents (API reference, SubmitJob)."""

Array = tuple[str, ...]
"""Names of the jobs of an array, by index."""


@dataclass(frozen=True, slots=True)
class Links:
    """The jobs that a job waits for.

    Attributes:
        jobs: Jobs that are in no array, or in an array of which the job waits for other parts.
        whole: Numbers of the arrays all of whose jobs it waits for.
        same_index: Numbers of the arrays whose job of its own index it waits for.
    """

    jobs: tuple[str, ...]
    whole: tuple[int, ...]
    same_index: tuple[int, ...]


class ArrayPlaces:
    """The places of jobs in arrays: the number of the array, and the index in it.

    Args:
        arrays: Arrays of a plan.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.arrays = arrays
        self._places = {
            job: (number, index)
            for number, array in enumerate(arrays)
            for index, job in enumerate(array)
        }

    def of(self, job: str) -> tuple[int, int] | None:
        """Return the number of a job's array and its index; None if it is in no array."""
        return self._places.get(job)

    def links(self, job: PlannedJob) -> Links:
        """Return the jobs and arrays that a job waits for."""
        by_array: dict[int, list[str]] = {}
        jobs: list[str] = []
        for parent in job.after:
            if (place := self.of(parent)) is None:
                jobs.append(parent)
            else:
                by_array.setdefault(place[0], []).append(parent)
        whole, same_index = [], []
        for number, parents in by_array.items():
            if len(parents) == len(self.arrays[number]):
                whole.append(number)
            elif self._is_at_same_index(job.name, number, parents):
                same_index.append(number)
            else:
                jobs += parents
        return Links(tuple(jobs), tuple(whole), tuple(same_index))

    def _is_at_same_index(self, job: str, number: int, parents: Sequence[str]) -> bool:
        own = self.of(job)
        if own is None or len(self.arrays[own[0]]) != len(self.arrays[number]):
            return False
        return [self.of(parent) for parent in parents] == [(number, own[1])]


def job_arrays(plan: ExecutionPlan) -> tuple[Array, ...]:
    """Return the arrays of a plan, in its order. All other jobs are submitted one by one.

    An array has at least two jobs, and at most as many as its service allows.
    """
    arrays = list(_candidates(plan))
    while arrays:
        kept = _without_conflicts(plan, arrays)
        if len(kept) == len(arrays):
            break
        arrays = kept
    return tuple(arrays)


def shared_moves(planned: Mapping[str, PlannedJob], places: ArrayPlaces) -> list[int]:
    """Return for each array how often the jobs have moved that all of its jobs come after.

    With each of these moves, all jobs of the array are submitted again (`PlannedJob.submission`).

    Args:
        planned: Jobs of the plan by name, parents before children.
        places: Places of the jobs in arrays.
    """
    moved: dict[str, frozenset[str]] = {}  # jobs that have moved, up to each job
    for name, job in planned.items():
        own = {name} if _shared(job) else ()
        moved[name] = frozenset(own).union(*(moved[parent] for parent in job.after))
    shared: list[frozenset[str]] = []
    for array in places.arrays:
        links = places.links(planned[array[0]])
        parents = (*links.jobs, *(job for number in links.whole for job in places.arrays[number]))
        before = (moved[parent] for parent in parents)
        shared.append(frozenset().union(*before, *(shared[number] for number in links.same_index)))
    return [sum(_shared(planned[name]) for name in names) for names in shared]


def _shared(job: PlannedJob) -> int:
    """Return the number of moves of a job with which the jobs after it are submitted again."""
    return job.moved - job.moved_alone


def _candidates(plan: ExecutionPlan) -> Iterator[Array]:
    """Yield jobs of a map that have the same requirements, and the same place among other maps.

    In a block of jobs that depend on each other, a map may have several jobs: two jobs with one
    item each, and one job of another map that reads both. Then the first jobs of all blocks are an
    array, and so are the second ones, because only arrays of the same size can depend on each other
    job by job.
    """
    places = _block_places(plan)
    candidates: dict[tuple[int, _BlockPlace], list[str]] = {}
    limits: dict[tuple[int, _BlockPlace], int] = {}
    for number, (_, group) in enumerate(groupby(plan.jobs, key=_common)):
        for job in group:
            if job.mapped:
                key = number, places[job.name]
                candidates.setdefault(key, []).append(job.name)
                limits[key] = service_traits(job.backend).array_size
    for key, jobs in candidates.items():
        for start in range(0, len(jobs), limits[key]):
            part = tuple(jobs[start : start + limits[key]])
            if len(part) > 1:
                yield part


_Map = tuple[tuple[str, ...], str | None]
_BlockPlace = tuple[frozenset[tuple[_Map, int]], int]


def _block_places(plan: ExecutionPlan) -> dict[str, _BlockPlace]:
    """Return the place of each job of a map in its block.

    A block has the jobs of maps that wait for each other, where one does not wait for a whole map.
    A place is the number of jobs of each map in the block, and the position of the job among those
    of its own map.
    """
    map_of = {job.name: (job.mapped, job.group) for job in plan.jobs if job.mapped}
    sizes = Counter(map_of.values())
    first: dict[str, str] = {name: name for name in map_of}

    def find(name: str) -> str:
        while first[name] != name:
            first[name] = name = first[first[name]]
        return name

    for job in plan.jobs:
        if job.mapped:
            parents = [parent for parent in job.after if parent in map_of]
            counts = Counter(map_of[parent] for parent in parents)
            for parent in parents:
                if counts[map_of[parent]] < sizes[map_of[parent]]:
                    first[find(job.name)] = find(parent)
    blocks: dict[str, Counter[_Map]] = {}
    positions: dict[str, int] = {}
    for name, of_map in map_of.items():
        block = blocks.setdefault(find(name), Counter())
        positions[name] = block[of_map]
        block[of_map] += 1
    shapes = {block: frozenset(counts.items()) for block, counts in blocks.items()}
    return {name: (shapes[find(name)], position) for name, position in positions.items()}


def _common(job: PlannedJob) -> tuple[Any, ...]:
    """Return what all jobs of an array have in common."""
    where = (job.mapped, job.group, job.backend, job.target)
    limit_s = attempt_limit_s(job)
    options = (job.options, job.share)
    return (*where, job.needs, limit_s, job.environment, job.secrets, options, job.moves)


def _without_conflicts(plan: ExecutionPlan, arrays: Sequence[Array]) -> list[Array]:
    """Return the arrays without those that have a conflict as long as the others exist."""
    places = ArrayPlaces(arrays)
    first: dict[int, Links] = {}
    conflicts: set[int] = set()
    for job in plan.jobs:
        links = places.links(job)
        # The job waits for a part of an array.
        parts = (places.of(parent) for parent in links.jobs)
        conflicts.update(place[0] for place in parts if place is not None)
        own = places.of(job.name)
        if own is None:
            continue
        if first.setdefault(own[0], links) != links:
            conflicts.add(own[0])  # its jobs wait for different jobs
        if len(links.same_index) > _MOST_ARRAYS:
            conflicts.add(own[0])
    return [array for number, array in enumerate(arrays) if number not in conflicts]
