from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from tests.support.boto import needs_preferences
from tests.support.rigs import raised_emulator

pytestmark = pytest.mark.contract

SLEEP = "import time; print('ready'); time.sleep(60)"
LARGE, XLARGE = "ml.m5.large", "ml.m5.xlarge"
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
}


def preferring(*types: str) -> dict[str, Any]:
    return {
        "InstancePreferences": [{"InstanceType": name} for name in types],
        "InstanceCount": 1,
        "VolumeSizeInGB": 10,
    }


def keeping(seconds: int, instance_type: str = LARGE) -> dict[str, Any]:
    return {
        "InstanceType": instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": 10,
        "KeepAlivePeriodInSeconds": seconds,
    }


def pool(training: Any, name: str) -> dict[str, Any]:
    return dict(training.job(name)["WarmPoolStatus"])


def test_jobs_above_the_quota_are_rejected_until_a_job_has_ended(
    training: Any, aws: Emulator
) -> None:
    aws.set_quota(LARGE, 1)
    first = training.create(SLEEP)
    exceeded = training.api.exceptions.ResourceLimitExceeded
    with pytest.raises(exceeded, match=r"'ml.m5.large for training job usage' is 1 Instances"):
        training.create(name="second")
    assert training.api.list_training_jobs(NameContains="second")["TrainingJobSummaries"] == []
    training.create(name="larger", ResourceConfig=keeping(0, XLARGE))
    training.create(name="spot", **SPOT)
    training.api.stop_training_job(TrainingJobName=first)
    training.ended(first)
    training.create(name="second")
    aws.set_quota(LARGE, None)
    training.create()


def test_spot_and_warm_pools_have_separate_quotas(training: Any, aws: Emulator) -> None:
    aws.set_quota(LARGE, 0, usage="spot training job")
    aws.set_quota(LARGE, 0, usage="training warm pool")
    exceeded = training.api.exceptions.ResourceLimitExceeded
    with pytest.raises(exceeded, match="spot training job usage"):
        training.create(**SPOT)
    with pytest.raises(exceeded, match="training warm pool usage"):
        training.create(ResourceConfig=keeping(60))
    assert training.ended(training.create())["TrainingJobStatus"] == "Completed"


def test_an_invalid_quota_or_capacity_is_an_error(aws: Emulator) -> None:
    with pytest.raises(ValueError, match="spot training job"):
        aws.set_quota(LARGE, 1, usage="spot")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative: -1"):
        aws.set_capacity(LARGE, -1)


@needs_preferences
def test_the_next_preference_is_used_if_the_first_has_no_capacity(
    training: Any, aws: Emulator
) -> None:
    aws.set_capacity(LARGE, 0)
    job = training.ended(training.create(ResourceConfig=preferring(LARGE, XLARGE)))
    assert job["TrainingJobStatus"] == "Completed"
    assert job["ResourceConfig"]["SelectedInstanceType"] == XLARGE
    aws.set_capacity(LARGE, None)
    job = training.ended(training.create(ResourceConfig=preferring(LARGE, XLARGE)))
    assert job["ResourceConfig"]["SelectedInstanceType"] == LARGE


@needs_preferences
def test_a_job_without_an_instance_fails_with_a_capacity_error(
    training: Any, aws: Emulator
) -> None:
    for instance_type in (LARGE, XLARGE):
        aws.set_capacity(instance_type, 0)
    job = training.ended(training.create(ResourceConfig=preferring(LARGE, XLARGE)))
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"].startswith("CapacityError: Unable to provision")
    assert "TrainingStartTime" not in job


def test_instances_are_released_when_their_jobs_have_ended(training: Any, aws: Emulator) -> None:
    aws.set_capacity(LARGE, 1)
    first = training.create(SLEEP)
    assert training.ended(training.create())["FailureReason"].startswith("CapacityError")
    training.api.stop_training_job(TrainingJobName=first)
    training.ended(first)
    assert training.ended(training.create())["TrainingJobStatus"] == "Completed"


def test_a_spot_job_waits_for_an_instance(training: Any, aws: Emulator) -> None:
    aws.set_capacity(LARGE, 0)
    name = training.create(**SPOT)
    job = training.job(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("InProgress", "Starting")
    message = job["SecondaryStatusTransitions"][-1]["StatusMessage"]
    assert message.startswith("Insufficient capacity error from EC2")
    aws.set_capacity(LARGE, 1)
    assert training.ended(name)["TrainingJobStatus"] == "Completed"


def test_jobs_on_spot_capacity_are_held_and_others_are_not(training: Any, aws: Emulator) -> None:
    aws.faults.withhold_spot_training()
    held = training.create(**SPOT)
    assert training.ended(training.create())["TrainingJobStatus"] == "Completed"
    assert training.job(held)["SecondaryStatus"] == "Starting"
    aws.faults.withhold_spot_training(False)
    assert training.ended(held)["TrainingJobStatus"] == "Completed"


def test_the_next_launches_on_demand_fail(training: Any, aws: Emulator) -> None:
    aws.faults.fail_launches(1)
    assert training.ended(training.create(**SPOT))["TrainingJobStatus"] == "Completed"
    assert training.ended(training.create())["FailureReason"].startswith("CapacityError")
    assert training.ended(training.create())["TrainingJobStatus"] == "Completed"
    aws.faults.fail_launches(3)
    aws.faults.fail_launches(0)
    assert training.ended(training.create())["TrainingJobStatus"] == "Completed"


def test_a_waiting_job_can_be_stopped(training: Any, aws: Emulator) -> None:
    aws.set_capacity(LARGE, 0)
    name = training.create(**SPOT)
    training.api.stop_training_job(TrainingJobName=name)
    job = training.ended(name)
    assert job["SecondaryStatus"] == "Stopped"
    assert "TrainingTimeInSeconds" not in job


def test_a_kept_instance_is_reused_by_the_next_matching_job(training: Any, aws: Emulator) -> None:
    first = training.create(ResourceConfig=keeping(3600))
    training.ended(first)
    assert pool(training, first)["Status"] == "Available"
    aws.set_capacity(LARGE, 0)  # only the kept instance is left
    other = training.create(ResourceConfig=keeping(3600), EnableNetworkIsolation=True)
    assert training.ended(other)["FailureReason"].startswith("CapacityError")
    second = training.create(SLEEP, ResourceConfig=keeping(3600))
    training.wait_for_line(second, "ready")
    assert pool(training, first)["Status"] == "Reused"
    assert pool(training, first)["ReusedByJob"] == second
    assert pool(training, second)["Status"] == "InUse"
    training.api.stop_training_job(TrainingJobName=second)
    training.ended(second)
    assert pool(training, second)["Status"] == "Terminated"


def test_a_kept_instance_is_terminated_after_its_keep_alive_period(
    connect_training: Any, eventually: Callable[..., Any]
) -> None:
    with raised_emulator(time_scale=0.01) as aws:
        aws.set_capacity(LARGE, 1)
        training = connect_training(aws)
        name = training.create(ResourceConfig=keeping(60))
        training.ended(name)
        eventually(lambda: pool(training, name)["Status"] == "Terminated", "the end of the pool")
        assert training.ended(training.create())["TrainingJobStatus"] == "Completed"


def test_a_kept_instance_can_be_released_early(
    training: Any, eventually: Callable[..., Any]
) -> None:
    name = training.create(ResourceConfig=keeping(3600))
    training.ended(name)
    training.aws.advance(5)  # listings are up to date
    listed = training.api.list_training_jobs(WarmPoolStatusEquals="Available")
    assert [summary["TrainingJobName"] for summary in listed["TrainingJobSummaries"]] == [name]
    training.api.update_training_job(
        TrainingJobName=name, ResourceConfig={"KeepAlivePeriodInSeconds": 0}
    )
    eventually(lambda: pool(training, name)["Status"] == "Terminated", "the end of the pool")


@pytest.mark.parametrize("jobs", [60, pytest.param(300, marks=pytest.mark.thorough)])
def test_many_concurrent_training_jobs_all_run(training: Any, jobs: int) -> None:
    algorithm = training.request()["AlgorithmSpecification"]
    # Not Python: its startup would take ten seconds of CPU time in this test.
    algorithm["ContainerEntrypoint"] = ["true"]
    for number in range(jobs):
        training.create(name=f"run-{number}", AlgorithmSpecification=algorithm)
    pages = training.api.get_paginator("list_training_jobs")

    def statuses() -> list[str]:
        listed = pages.paginate(NameContains="run-", PaginationConfig={"PageSize": 100})
        return [job["TrainingJobStatus"] for page in listed for job in page["TrainingJobSummaries"]]

    while "InProgress" in (latest := statuses()):
        pass
    assert latest == ["Completed"] * jobs


def test_jobs_above_the_limit_of_this_machine_are_pending(training: Any) -> None:
    names = [training.create(SLEEP) for _ in range(33)]
    last = training.job(names[-1])
    assert (last["TrainingJobStatus"], last["SecondaryStatus"]) == ("InProgress", "Pending")
    training.api.stop_training_job(TrainingJobName=names[0])
    training.wait_for_status(names[-1], "Training")
