from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from flowyml_aws.testing import Emulator
from tests.support.rigs import eventually as eventually_true

pytestmark = pytest.mark.contract

Eventually = Callable[..., Any]


def reason(batch: Any, job_id: str) -> str:
    return str(batch.job(job_id).get("statusReason", ""))


def overrides(**values: str) -> dict[str, Any]:
    return {
        "resourceRequirements": [
            {"type": kind.upper(), "value": value} for kind, value in values.items()
        ]
    }


QUEUE = "flowyml-emulator-a100"
"""A queue with one environment, which has the same name."""


def submit(batch: Any, *arguments: str, **members: Any) -> str:
    return str(batch.submit(*arguments, jobQueue=QUEUE, **members))


def update(batch: Any, **changes: Any) -> None:
    """Change the compute environment, once an earlier change has ended."""

    def is_unchanging() -> bool:
        described = batch.api.describe_compute_environments(computeEnvironments=[QUEUE])
        return bool(described["computeEnvironments"][0]["status"] != "UPDATING")

    eventually_true(is_unchanging)
    batch.api.update_compute_environment(computeEnvironment=QUEUE, **changes)


def test_a_job_waits_while_its_compute_environment_is_disabled(batch: Any) -> None:
    update(batch, state="DISABLED")
    job = submit(batch)
    batch.wait_for_status(job, "RUNNABLE")
    batch.wait_for_status(submit(batch), "RUNNABLE")
    update(batch, state="ENABLED")
    assert batch.ended(job)["status"] == "SUCCEEDED"


def test_an_invalid_environment_reports_the_reason_and_starts_no_jobs_until_it_is_valid(
    aws: Emulator, batch: Any
) -> None:
    aws.faults.invalidate(QUEUE, "CLIENT_ERROR - no such subnet")
    (environment,) = batch.api.describe_compute_environments(computeEnvironments=[QUEUE])[
        "computeEnvironments"
    ]
    assert environment["status"] == "INVALID"
    assert environment["statusReason"] == "CLIENT_ERROR - no such subnet"
    job = submit(batch)
    batch.wait_for_status(job, "RUNNABLE")
    aws.faults.invalidate(QUEUE, None)
    assert batch.ended(job)["status"] == "SUCCEEDED"


def test_a_job_above_maxvcpus_waits_with_batchs_status_reason(
    batch: Any, eventually: Eventually
) -> None:
    update(batch, computeResources={"maxvCpus": 2})
    job = submit(batch, containerOverrides=overrides(vcpu="4"))
    eventually(lambda: "COMPUTE_ENVIRONMENT_MAX_RESOURCE" in reason(batch, job))
    update(batch, computeResources={"maxvCpus": 4})
    assert batch.ended(job)["status"] == "SUCCEEDED"
    assert "MISCONFIGURATION" not in reason(batch, job)


def test_a_job_that_fits_no_instance_type_waits_with_batchs_status_reason(
    batch: Any, eventually: Eventually
) -> None:
    job = submit(batch, containerOverrides=overrides(gpu="9"))
    eventually(lambda: "JOB_RESOURCE_REQUIREMENT" in reason(batch, job))


def test_a_queue_without_capacity_holds_its_jobs_in_order(
    aws: Emulator, batch: Any, eventually: Eventually
) -> None:
    aws.faults.withhold(QUEUE)
    first, second = submit(batch), submit(batch)
    eventually(lambda: "INSUFFICIENT_INSTANCE_CAPACITY" in reason(batch, first))
    batch.wait_for_status(second, "RUNNABLE")
    front = batch.api.get_job_queue_snapshot(jobQueue=QUEUE)["frontOfQueue"]["jobs"]
    assert [job["jobArn"] for job in front] == [
        batch.job(first)["jobArn"],
        batch.job(second)["jobArn"],
    ]
    aws.faults.withhold(QUEUE, None)
    assert batch.ended(second)["status"] == "SUCCEEDED"
    assert batch.api.get_job_queue_snapshot(jobQueue=QUEUE)["frontOfQueue"]["jobs"] == []


def test_the_instances_of_running_jobs_use_the_vcpus_of_an_environment(batch: Any) -> None:
    job = submit(batch, "import time; time.sleep(60)", containerOverrides=overrides(vcpu="90"))
    batch.wait_for_status(job, "RUNNING")
    (environment,) = batch.api.describe_compute_environments(computeEnvironments=[QUEUE])[
        "computeEnvironments"
    ]
    assert environment["computeResources"]["desiredvCpus"] == 96
    update(batch, computeResources={"maxvCpus": 96})
    waiting = submit(batch, containerOverrides=overrides(vcpu="7"))
    batch.wait_for_status(waiting, "RUNNABLE")
    batch.api.terminate_job(jobId=job, reason="make room")
    assert batch.ended(waiting)["status"] == "SUCCEEDED"


def test_an_unknown_environment_or_state_is_rejected(batch: Any) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        batch.api.update_compute_environment(computeEnvironment="nothing")
    with pytest.raises(ClientError, match="must be one of"):
        update(batch, state="ON")


def test_clock_skew_applies_to_every_service(aws: Emulator) -> None:
    aws.faults.clock_skew_s = 3600
    for response in (
        aws.client("sts").get_caller_identity(),
        aws.client("s3").list_buckets(),
        aws.client("batch").describe_jobs(jobs=[]),
    ):
        date = response["ResponseMetadata"]["HTTPHeaders"]["date"]
        assert parsedate_to_datetime(date).timestamp() - time.time() > 3000


def test_aging_a_job_moves_its_submission_into_the_past(aws: Emulator, batch: Any) -> None:
    job = batch.submit()
    before = batch.job(job)["createdAt"]
    aws.faults.age(job, 60)
    assert batch.job(job)["createdAt"] == before - 60_000


@pytest.mark.parametrize(("when", "expected"), [("before", []), ("after", ["lost"])])
def test_a_call_whose_answer_is_lost_has_taken_effect_or_not(
    aws: Emulator, when: Any, expected: list[str]
) -> None:
    s3 = aws.client("s3")
    aws.faults.lose_answers("CreateBucket", 5, when=when)  # boto3 tries five times
    with pytest.raises(ConnectionClosedError):
        s3.create_bucket(Bucket="lost")
    names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert [name for name in names if name == "lost"] == expected


def test_clock_skew_dates_objects(aws: Emulator) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="dated")
    aws.faults.clock_skew_s = 3600
    s3.put_object(Bucket="dated", Key="a", Body=b"")
    head = s3.head_object(Bucket="dated", Key="a")
    now = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
    assert abs((now - head["LastModified"]).total_seconds()) < 60
