"""Array jobs of a plan: their requests, and the parents of jobs before and after moves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from flowyml_aws.aws.batch.batch_job import BatchJob, job_places, levels, submittable
from flowyml_aws.aws.batch.limits import submit_request_errors
from flowyml_aws.aws.batch.requests import batch_jobs, submit_request
from flowyml_aws.planning.arrays import job_arrays
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.moves import Move, moved
from flowyml_aws.submission.record import JobArray, RunRecord
from tests.support.plans import a_job, a_plan, a_record

STORE = "s3://bucket/prefix"
SIZE = 3


def a_map(name: str, after: Sequence[Sequence[str]], **changes: object) -> list[PlannedJob]:
    """Return the jobs of a map with the parents of each."""
    return [a_job(f"{name}-{n}", p, mapped=(name,), **changes) for n, p in enumerate(after)]


def two_maps(*left: str) -> ExecutionPlan:
    """Return a plan of two maps, one after the other item by item, and a job that reads all.

    Args:
        left: Jobs that have left their array.
    """
    first = a_map("first", [["load"]] * SIZE)
    second = a_map("second", [[job.name] for job in first])
    jobs = [a_job("load"), *first, *second, a_job("total", [job.name for job in second])]
    return a_plan(
        *(job.model_copy(update={"submission": 1}) if job.name in left else job for job in jobs)
    )


def a_move(job: str) -> Move:
    """Return the move of a job that continues on the same machine."""
    return Move(
        job=job, number=1, cause=Cause.DEPENDENCY, reason="killed", machine="same", moved_at=0.0
    )


def the_record(plan: ExecutionPlan) -> RunRecord:
    arrays = tuple(JobArray(jobs, "1" * 64) for jobs in job_arrays(plan))
    return a_record(plan).model_copy(update={"arrays": arrays})


def jobs_of(plan: ExecutionPlan) -> dict[str, BatchJob]:
    """Return the Batch jobs of a plan by name, without the run and the hash."""
    jobs = batch_jobs(plan, the_record(two_maps()), STORE, "eu-west-3")
    run = a_record(plan).run_id
    return {job.name.removeprefix(f"{run}-").partition("-array")[0]: job for job in jobs}


def test_the_jobs_of_a_map_are_one_array_job() -> None:
    jobs = jobs_of(two_maps())
    assert list(jobs) == ["load", "first-0", "second-0", "total"]
    first = jobs["first-0"]
    assert (first.children, first.planned) == (("first-0", "first-1", "first-2"), "first")
    assert len({job.name for job in jobs.values()}) == len(jobs)


def test_an_array_waits_for_jobs_and_for_children_of_its_own_indexes() -> None:
    jobs = jobs_of(two_maps())
    assert jobs["first-0"].after == (jobs["load"].name,)
    assert jobs["second-0"].after == jobs["second-0"].same_index == (jobs["first-0"].name,)
    assert jobs["total"].after == (jobs["second-0"].name,)
    assert [len(level) for level in levels(list(jobs.values()))] == [1, 1, 1, 1]


def test_the_request_of_an_array_has_its_size_and_the_index_of_its_specs() -> None:
    plan = two_maps()
    jobs, record = jobs_of(plan), the_record(plan)
    second, first = jobs["second-0"], jobs["first-0"]
    request = submit_request(second, record, "definition", {first.name: "id-1"})
    assert request["arrayProperties"] == {"size": SIZE}
    assert request["dependsOn"] == [{"jobId": "id-1", "type": "N_TO_N"}]
    assert request["tags"]["flowyml-aws:job"] == "second"
    assert list(request["containerOverrides"]["command"]) == [
        *("python", "-m", "flowyml_aws.job"),
        f"{STORE}/runs/{record.run_id}/arrays/1.json#sha256={'1' * 64}",
    ]
    assert submit_request_errors(request, "second") == []


def test_a_request_of_a_job_that_is_no_array_has_no_size() -> None:
    plan = two_maps()
    total = jobs_of(plan)["total"]
    assert "arrayProperties" not in submit_request(total, the_record(plan), "definition", {})


def test_a_child_has_the_id_of_its_array_and_its_index_unless_another_copy_runs() -> None:
    jobs = jobs_of(two_maps())
    place = job_places(jobs.values())["first-1"]
    assert place.job_id({}) is None
    ids = {place.batch_job.name: "array"}
    assert place.job_id(ids) == "array:1"
    assert place.job_id({**ids, place.name: "other:1"}) == "other:1"


def test_a_job_that_has_left_its_array_and_the_jobs_after_it_run_alone() -> None:
    jobs = jobs_of(two_maps("first-1", "second-1", "total"))
    places = job_places(jobs.values())
    assert {name for name, place in places.items() if place.index is None} == {
        *("load", "first-1", "second-1", "total")
    }
    first, second = places["first-1"].batch_job, places["second-1"].batch_job
    assert second.after == (first.name,) and second.same_index == ()
    assert (places["first-0"].index, places["first-2"].index) == (0, 2)


def test_a_job_after_a_broken_array_waits_for_what_left_and_for_results_of_the_others() -> None:
    jobs = jobs_of(two_maps("first-1", "second-1", "total"))
    places = job_places(jobs.values())
    total = places["total"].batch_job
    assert total.after == (places["second-1"].batch_job.name,)
    assert total.awaits == ("second-0", "second-2")


def test_an_array_has_the_same_name_after_moves() -> None:
    before = jobs_of(two_maps())["first-0"]
    after = jobs_of(two_maps("first-0", "second-0", "total"))["first-0"]
    assert (before.name, before.command) == (after.name, after.command)


def test_an_array_is_submitted_again_if_a_job_before_all_of_its_jobs_has_moved() -> None:
    places = job_places(jobs_of(moved(two_maps(), a_move("load"))).values())
    first, second = places["first-2"].batch_job, places["second-2"].batch_job
    assert (places["first-2"].index, places["second-2"].index) == (2, 2)
    assert first.name != jobs_of(two_maps())["first-0"].name
    assert first.after == (places["load"].batch_job.name,)
    assert second.after == second.same_index == (first.name,)
    assert places["total"].batch_job.after == (second.name,)


def test_a_job_that_moves_after_that_leaves_the_second_array_alone() -> None:
    plan = moved(moved(two_maps(), a_move("load")), a_move("first-1"))
    places = job_places(jobs_of(plan).values())
    alone = {name for name, place in places.items() if place.index is None}
    assert alone == {"load", "first-1", "second-1", "total"}
    assert places["first-0"].batch_job.name == places["first-2"].batch_job.name


def test_all_jobs_of_an_array_that_have_moved_stay_alone() -> None:
    plan = two_maps()
    for n in range(SIZE):
        plan = moved(plan, a_move(f"first-{n}"))
    places = job_places(jobs_of(plan).values())
    assert {place.index for place in places.values()} == {None}


def test_a_map_after_a_job_that_reads_a_map_with_a_moved_job_is_submitted_as_one_array() -> None:
    plan = two_maps()
    third = a_map("third", [["total"]] * SIZE)
    plan = plan.model_copy(update={"jobs": (*plan.jobs, *third)})
    record = the_record(plan)
    after = moved(plan, a_move("first-1"))
    places = job_places(batch_jobs(after, record, STORE, "eu-west-3"))
    assert [places[job.name].index for job in third] == [0, 1, 2]
    assert places["third-0"].batch_job.after == (places["total"].batch_job.name,)


def test_a_job_is_submittable_once_the_results_that_it_awaits_exist() -> None:
    jobs = jobs_of(two_maps("first-1", "second-1", "total"))
    places = job_places(jobs.values())
    alone = [places[name].batch_job for name in ("first-1", "second-1", "total")]
    arrays = {places["first-0"].batch_job.name, places["second-0"].batch_job.name}
    assert submittable(alone, arrays, {"load", jobs["load"].name}) == alone[:2]
    done = {"load", jobs["load"].name, "second-0", "second-2"}
    assert submittable(alone, arrays, done) == alone


def test_a_job_after_a_job_that_is_not_submittable_is_not_submittable() -> None:
    waiting = BatchJob("a", "a", False, "q", (), (), jobs_of(two_maps())["load"].needs, None)
    blocked = BatchJob("b", "b", False, "q", ("a",), (), waiting.needs, None)
    assert submittable([blocked], [], []) == []


@pytest.mark.parametrize("maps", [20, 21, 45])
def test_an_array_counts_as_one_parent(maps: int) -> None:
    jobs = [job for n in range(maps) for job in a_map(f"map{n}", [[]] * SIZE)]
    plan = a_plan(*jobs, a_job("total", [job.name for job in jobs]))
    batch = batch_jobs(plan, the_record(plan), STORE, "eu-west-3")
    assert max(len(job.after) for job in batch) <= 20
    assert sum(job.is_join for job in batch) == (0 if maps == 20 else -(-maps // 20))


def test_joins_of_an_array_keep_their_names_after_moves() -> None:
    parents = [a_job(f"part-{n}") for n in range(30)]
    names = [job.name for job in parents]
    children = a_map("train", [names] * SIZE)
    plan = a_plan(*parents, *children)
    record = the_record(plan)
    plans = (plan, moved(plan, a_move("train-0")))
    before, after = (batch_jobs(each, record, STORE, "eu-west-3") for each in plans)
    array_joins = {job.name for job in before if job.is_join}
    assert array_joins and array_joins <= {job.name for job in after if job.is_join}
