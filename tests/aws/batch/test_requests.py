from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.aws.batch.batch_job import BatchJob, levels
from flowyml_aws.aws.batch.limits import submit_request_errors
from flowyml_aws.aws.batch.requests import batch_jobs, submit_request
from flowyml_aws.aws.batch.retry import RETRY_RULES
from flowyml_aws.aws.batch.run_jobs import RunJobs
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.moves import Move, moved
from flowyml_aws.submission.record import JobArray
from tests.support.plans import a_job, a_plan, a_record

STORE = "s3://bucket/prefix"
MAX_PARENTS = 20  # AWS Batch API reference, SubmitJob, dependsOn


def a_fan(parents: int) -> ExecutionPlan:
    """Return a plan of many jobs, and one job that depends on all of them."""
    names = [f"part-{number}" for number in range(parents)]
    return a_plan(*map(a_job, names), a_job("total", after=names))


def jobs_of(plan: ExecutionPlan) -> tuple[BatchJob, ...]:
    return batch_jobs(plan, a_record(plan), STORE, "eu-west-3")


def the_request(**changes: Any) -> dict[str, Any]:
    plan = a_plan(a_job("train", **changes))
    (job,) = jobs_of(plan)
    return dict(submit_request(job, a_record(plan), "definition", {"parent": "id-1"}))


def test_each_job_of_the_plan_is_one_batch_job_named_after_the_run_and_the_job() -> None:
    plan = a_plan(a_job("load"), a_job("train", after=["load"]))
    load, train = jobs_of(plan)
    assert (load.name, load.after) == (f"{a_record(plan).run_id}-load", ())
    assert (train.planned, train.after) == ("train", (load.name,))


def test_the_command_is_the_runner_with_the_spec_and_its_digest() -> None:
    plan = a_plan(a_job("train"))
    record = a_record(plan, {"train": "abc"})
    (job,) = batch_jobs(plan, record, STORE, "eu-west-3")
    spec = f"{STORE}/runs/{record.run_id}/specs/0.json#sha256=abc,bytes=0+100"
    assert job.command == ("python", "-m", "flowyml_aws.job", spec)


def test_twenty_parents_need_no_join() -> None:
    assert not any(job.is_join for job in jobs_of(a_fan(MAX_PARENTS)))


@pytest.mark.parametrize("parents", [21, 100, 401, 999])
def test_more_parents_are_joined_until_each_job_has_at_most_twenty(parents: int) -> None:
    jobs = {job.name: job for job in jobs_of(a_fan(parents))}
    assert max(len(job.after) for job in jobs.values()) <= MAX_PARENTS
    reached: set[str] = set()
    waiting = [job for job in jobs.values() if job.planned == "total" and not job.is_join]
    while waiting:
        for parent in waiting.pop().after:
            reached.add(jobs[parent].planned)
            waiting.append(jobs[parent])
    assert reached >= {f"part-{number}" for number in range(parents)}


def test_a_job_whose_many_parents_have_all_succeeded_needs_no_joins() -> None:
    plan = a_fan(401)
    names = {job.name for job in plan.jobs}
    run = RunJobs(jobs_of(plan), {})
    (job,) = run.submittable({"total"}, run.done_after(names - {"total"}))
    assert (job.planned, job.is_join) == ("total", False)
    assert run.submittable({"total"}, run.done_after(names - {"total", "part-7"})) == []


def test_join_names_are_deterministic_and_differ_from_job_names() -> None:
    plan = a_fan(401)
    names = [job.name for job in jobs_of(plan)]
    assert len(set(names)) == len(names)
    assert names == [job.name for job in jobs_of(plan)]


def test_joins_use_the_cheapest_queue_of_their_parents_and_few_resources() -> None:
    names = [f"part-{number}" for number in range(21)]
    gpu = a_job("expensive", target="gpu", price_usd_hour=30.0, gpu_model="t4", gpu_count=1)
    plan = a_plan(
        gpu,
        *(a_job(name, target="cpu") for name in names),
        a_job("total", after=["expensive", *names], target="gpu", price_usd_hour=30.0),
    )
    joins = [job for job in jobs_of(plan) if job.is_join]
    assert {(job.queue, job.needs.vcpus, job.needs.gpu_count) for job in joins} == {("cpu", 1, 0)}
    assert {job.command for job in joins} == {("true",)}


def test_levels_contain_each_job_after_its_parents() -> None:
    rounds = levels(jobs_of(a_fan(401)))
    seen: set[str] = set()
    for jobs in rounds:
        assert all(seen >= set(job.after) for job in jobs)
        seen |= {job.name for job in jobs}
    assert len(rounds) == 4  # parts, joins, joins of joins, total


def test_parents_outside_the_given_jobs_do_not_affect_levels() -> None:
    train = jobs_of(a_plan(a_job("load"), a_job("train", after=["load"])))[1]
    assert levels([train]) == [[train]]


def test_vcpus_memory_and_gpus_are_overrides() -> None:
    request = the_request(vcpus=8, memory_mib=61440, gpu_model="t4", gpu_count=2)
    assert request["containerOverrides"]["resourceRequirements"] == [
        {"type": "VCPU", "value": "8"},
        {"type": "MEMORY", "value": "61440"},
        {"type": "GPU", "value": "2"},
    ]


def test_a_job_without_gpus_requests_none() -> None:
    requirements = the_request()["containerOverrides"]["resourceRequirements"]
    assert [requirement["type"] for requirement in requirements] == ["VCPU", "MEMORY"]


def test_a_timeout_is_passed_on_and_raised_to_the_minimum_of_batch() -> None:
    assert the_request(timeout_s=3600)["timeout"] == {"attemptDurationSeconds": 3600}
    assert the_request(timeout_s=5)["timeout"] == {"attemptDurationSeconds": 60}


def test_a_share_of_the_cost_limit_is_a_timeout() -> None:
    # An hour at $0.10, of which the start takes three minutes.
    timeout = {"attemptDurationSeconds": 3600 - 180}
    assert the_request(share_usd=0.1)["timeout"] == timeout
    assert the_request(share_usd=0.1, timeout_s=86_400)["timeout"] == timeout
    assert "timeout" not in the_request()


def test_run_pipeline_and_job_are_tags_without_invalid_characters() -> None:
    assert the_request()["tags"] == {
        "flowyml-aws:run": "my-pipeline-20261122-150531-3f9a1c",
        "flowyml-aws:pipeline": "My pipeline: été",
        "flowyml-aws:job": "train",
    }
    plan = a_plan(a_job("train")).model_copy(update={"pipeline": "50% <" + "a" * 300})
    (job,) = jobs_of(plan)
    tags = submit_request(job, a_record(plan), "definition", {})["tags"]
    assert tags["flowyml-aws:pipeline"] == "50- -" + "a" * 251


def test_parents_and_environment_are_passed_on() -> None:
    request = the_request(environment={"A": "b", "TZ": "Asia/Tokyo"})
    assert request["dependsOn"] == [{"jobId": "id-1"}]
    environment = {e["name"]: e["value"] for e in request["containerOverrides"]["environment"]}
    assert environment == {
        "A": "b",
        "TZ": "Asia/Tokyo",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8:replace",
        "PYTHONUNBUFFERED": "1",
        "AWS_DEFAULT_REGION": "eu-west-3",
    }
    assert (request["jobQueue"], request["jobDefinition"]) == ("cpu", "definition")


def test_a_request_contains_the_retry_rules() -> None:
    assert the_request()["retryStrategy"] == {"attempts": 10, "evaluateOnExit": RETRY_RULES}


def test_jobs_of_an_array_that_are_executed_again_leave_it_and_know_their_own_repetition() -> None:
    """All of them have read a damaged value of `load`, which is executed again, too."""
    parts = [f"part-{number}" for number in range(2)]
    of_map = [a_job(name, ["load"], mapped=("part",), reads={"load": "load"}) for name in parts]
    plan = a_plan(a_job("load"), *of_map)
    record = a_record(plan).model_copy(update={"arrays": (JobArray(tuple(parts), "0" * 64),)})
    for name, state in (("load", "succeeded"), ("part-0", "failed"), ("part-1", "failed")):
        of_job = {"job": name, "number": 1, "cause": Cause.DAMAGED, "repeats": state}
        plan = moved(plan, Move(**of_job, reason="damaged", machine="", moved_at=0.0))  # type: ignore[arg-type]
    jobs = {job.planned: job for job in batch_jobs(plan, record, STORE, "eu-west-3")}
    repetitions = {name: jobs[name].environment["FLOWYML_REPETITIONS"] for name in parts}
    assert repetitions == {"part-0": "load=1,part-0=1", "part-1": "load=1,part-1=1"}


def test_joins_have_no_environment_variables() -> None:
    plan = a_plan(*(a_job(f"part-{n}", environment={"A": "b"}) for n in range(21)))
    joined = a_job("total", after=[job.name for job in plan.jobs], environment={"A": "b"})
    jobs = jobs_of(a_plan(*plan.jobs, joined))
    assert {bool(job.environment) for job in jobs if job.is_join} == {False}


def refusals(environment: dict[str, str]) -> list[str]:
    request = the_request(environment=environment)
    return [str(error) for error in submit_request_errors(request, "train")]  # type: ignore[arg-type]


def test_overrides_up_to_the_limit_of_batch_are_accepted() -> None:
    assert refusals({"A": "x" * 7000}) == []


@pytest.mark.parametrize("value", ["x" * 8192, "ü" * 1400])
def test_overrides_over_the_limit_of_batch_are_an_error_without_the_value(value: str) -> None:
    (error,) = refusals({"A": value})
    assert "AWS Batch would refuse job 'train'" in error
    assert "at most 8,192 characters, not " in error
    assert "env=" in error
    assert value[:20] not in error


def test_a_request_over_the_limit_of_batch_is_an_error() -> None:
    plan = a_plan(a_job("train"))
    (job,) = jobs_of(plan)
    tags = {f"{number:0128}": "é" * 256 for number in range(40)}
    request = submit_request(job, a_record(plan), "definition", {}, tags)
    (error,) = submit_request_errors(request, "train")
    assert "at most 30,720 bytes" in error.why


@pytest.mark.parametrize(("own_tags", "message"), [(46, ""), (47, "at most 50 tags, not 51")])
def test_tags_of_the_user_the_run_and_the_definition_together_are_limited_to_fifty(
    own_tags: int, message: str
) -> None:
    plan = a_plan(a_job("train"))
    (job,) = jobs_of(plan)
    tags = {f"team-{number}": "vision" for number in range(own_tags)}
    request = submit_request(job, a_record(plan), "definition", {}, tags)
    errors = submit_request_errors(request, "train")
    assert [error.why for error in errors if message not in error.why] == []
    assert len(errors) == bool(message)


def test_a_tag_that_aws_would_refuse_is_an_error() -> None:
    plan = a_plan(a_job("train"))
    (job,) = jobs_of(plan)
    request = submit_request(job, a_record(plan), "definition", {}, {"aws:mine": "1"})
    (error,) = submit_request_errors(request, "train")
    assert error.why.startswith("tag 'aws:mine' = '1' is invalid")
