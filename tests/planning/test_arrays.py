"""Arrays of jobs: which jobs are submitted as one, and what they wait for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flowyml_aws.planning.arrays import ArrayPlaces, job_arrays
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


def test_a_map_with_another_number_of_items_per_job_is_no_array() -> None:
    first = a_map("first", 4)
    second = [
        a_job(f"second-{n}", names(first)[2 * n : 2 * n + 2], mapped=("second",)) for n in (0, 1)
    ]
    third = each_after(second, "third")
    assert job_arrays(a_plan(*first, *second, *third)) == ()


def test_all_jobs_of_a_map_can_wait_for_another_map_as_a_whole() -> None:
    first = a_map("first", 3)
    second = a_map("second", 2, names(first))
    assert job_arrays(a_plan(*first, *second)) == (names(first), names(second))
