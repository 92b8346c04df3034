"""Arrays of jobs: which jobs are submitted as one, and what they wait for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.planning.arrays import ArrayPlaces, Links, job_arrays, shared_moves
from flowyml_aws.planning.plan import PlannedJob
from tests.support.plans import a_job, a_plan


def a_map(name: str, size: int, after: Sequence[str] = (), **changes: Any) -> list[PlannedJob]:
    """Return the jobs of a map, which all wait for the same jobs."""
    return [a_job(f"{name}-{n}", after, mapped=(name,), **changes) for n in range(size)]


def names(jobs: Sequence[PlannedJob]) -> tuple[str, ...]:
    return tuple(job.name for job in jobs)


def each_after(jobs: Sequence[PlannedJob], name: str) -> list[PlannedJob]:
    """Return the jobs of a second map, each of which waits for the job of its index."""
    return [a_job(f"{name}-{n}", [job.name], mapped=(name,)) for n, job in enumerate(jobs)]


def test_consecutive_jobs_of_a_map_are_an_array() -> None:
    train = a_map("train", 3, ["load"])
    plan = a_plan(a_job("load"), *train, a_job("report", names(train)))
    assert job_arrays(plan) == (names(train),)


def test_a_single_job_and_jobs_without_a_map_are_no_array() -> None:
    assert job_arrays(a_plan(*a_map("train", 1), a_job("one"), a_job("two"))) == ()


def test_two_maps_are_two_arrays() -> None:
    first, second = a_map("first", 2), a_map("second", 2)
    assert job_arrays(a_plan(*first, *second)) == (names(first), names(second))


@pytest.mark.parametrize(
    "change",
    [
        {"target": "gpu"},
        {"memory_mib": 4096},
        {"timeout_s": 100},
        {"environment": {"A": "b"}},
        {"secrets": {"A": "b"}},
    ],
)
def test_jobs_with_other_requirements_are_another_array(change: dict[str, Any]) -> None:
    jobs = a_map("train", 2)
    others = [a_job(f"train-{n}", mapped=("train",), **change) for n in (2, 3)]
    assert job_arrays(a_plan(*jobs, *others)) == (names(jobs), names(others))


def test_a_service_without_arrays_has_none() -> None:
    assert job_arrays(a_plan(*a_map("train", 3, backend="local"))) == ()


def test_more_jobs_than_an_array_can_have_are_several_arrays() -> None:
    jobs = a_map("train", 10_003)
    arrays = job_arrays(a_plan(*jobs))
    assert [len(array) for array in arrays] == [10_000, 3]
    assert arrays[1][0] == "train-10000"


def test_jobs_that_wait_for_the_job_of_their_index_are_an_array() -> None:
    first = a_map("first", 3, ["load"])
    second = each_after(first, "second")
    plan = a_plan(a_job("load"), *first, *second, a_job("report", names(second)))
    arrays = job_arrays(plan)
    assert arrays == (names(first), names(second))
    places = ArrayPlaces(arrays)
    assert places.links(second[1]).same_index == (0,)
    assert places.links(plan.jobs[-1]).whole == (1,)
    assert places.links(first[0]).jobs == ("load",)


def test_a_job_that_waits_for_a_part_of_a_map_keeps_it_from_being_an_array() -> None:
    first, other = a_map("first", 3), a_map("other", 2)
    plan = a_plan(*first, *other, a_job("some", names(first)[:2]))
    assert job_arrays(plan) == (names(other),)


def chained(items: int, *per_job: int) -> list[list[PlannedJob]]:
    """Return the jobs of maps over the same items, each after the one before."""
    maps: list[list[PlannedJob]] = []
    items_of: dict[str, set[int]] = {}
    for number, size in enumerate(per_job):
        jobs = []
        for start in range(0, items, size):
            own = set(range(start, min(items, start + size)))
            after = [job.name for job in maps[-1] if own & items_of[job.name]] if maps else []
            jobs.append(a_job(f"m{number}-{start}", after, mapped=(f"m{number}",)))
            items_of[jobs[-1].name] = own
        maps.append(jobs)
    return maps


@pytest.mark.parametrize(
    ("items", "per_job", "arrays"),
    [
        (8, (1, 2, 2), ["m0: 0 2 4 6", "m0: 1 3 5 7", "m1: 0 2 4 6", "m2: 0 2 4 6"]),
        (8, (4, 2), ["m0: 0 4", "m1: 0 4", "m1: 2 6"]),
        # The last job has fewer items, and no second job after it.
        (9, (4, 2), ["m0: 0 4", "m1: 0 4", "m1: 2 6"]),
        (12, (2, 3), ["m0: 0 6", "m0: 2 8", "m0: 4 10", "m1: 0 6", "m1: 3 9"]),
        (8, (2, 8), ["m0: 0 2 4 6"]),  # one job waits for the whole map
        (4, (2, 3), []),
        (42, (1, 21), []),  # too many arrays before one
    ],
)
def test_maps_with_other_numbers_of_items_per_job_are_arrays_of_one_size(
    items: int, per_job: tuple[int, ...], arrays: list[str]
) -> None:
    plan = a_plan(*itertools.chain(*chained(items, *per_job)))
    found = job_arrays(plan)
    assert [
        f"{array[0].partition('-')[0]}: {' '.join(name.partition('-')[2] for name in array)}"
        for array in found
    ] == arrays


def test_an_array_waits_for_the_jobs_of_its_index_in_several_arrays() -> None:
    first, second = chained(6, 1, 3)
    last = a_job("last", names(second))
    arrays = job_arrays(plan := a_plan(*first, *second, last))
    places = ArrayPlaces(arrays)
    assert places.links(second[1]) == Links(jobs=(), whole=(), same_index=(0, 1, 2))
    assert places.links(last).whole == (3,)
    assert shared_moves({job.name: job for job in plan.jobs}, places) == [0, 0, 0, 0]


@given(st.integers(1, 40), st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(0, 39))
def test_jobs_wait_for_the_same_jobs_in_arrays_as_alone(
    items: int, per_job: list[int], reused: int
) -> None:
    maps = chained(items, *per_job)
    kept = [job for job in itertools.chain(*maps) if job is not maps[0][reused % len(maps[0])]]
    existing = {job.name for job in kept}
    jobs = [
        job.model_copy(update={"after": tuple(name for name in job.after if name in existing)})
        for job in kept
    ]
    if not jobs:
        return
    places = ArrayPlaces(job_arrays(a_plan(*jobs)))
    linked: dict[int, Links] = {}
    for job in jobs:
        links, own = places.links(job), places.of(job.name)
        waits = [*links.jobs, *(name for number in links.whole for name in places.arrays[number])]
        if own is not None:
            waits += [places.arrays[number][own[1]] for number in links.same_index]
            assert linked.setdefault(own[0], links) == links
        assert sorted(waits) == sorted(job.after)
        # Batch can't wait for a child of an array.
        assert all(places.of(name) is None for name in links.jobs)


def test_all_jobs_of_a_map_can_wait_for_another_map_as_a_whole() -> None:
    first = a_map("first", 3)
    second = a_map("second", 2, names(first))
    assert job_arrays(a_plan(*first, *second)) == (names(first), names(second))
