from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator

pytestmark = pytest.mark.contract

Eventually = Callable[..., Any]


def reason(batch: Any, job_id: str) -> str:
    return str(batch.job(job_id).get("statusReason", ""))


def asking(**values: str) -> dict[str, Any]:
    return {
        "resourceRequirements": [
            {"type": kind.upper(), "value": value} for kind, value in values.items()
        ]
    }


def update(batch: Any, **changes: Any) -> None:
    batch.api.update_compute_environment(computeEnvironment="cpu", **changes)


def test_a_job_waits_while_its_compute_environment_is_disabled(batch: Any) -> None:
    update(batch, state="DISABLED")
    job = batch.submit()
    batch.when(job, "RUNNABLE")
    assert batch.status(batch.submit()) == "RUNNABLE"
    update(batch, state="ENABLED")
    assert batch.ended(job)["status"] == "SUCCEEDED"


def test_an_invalid_environment_says_why_and_starts_nothing_until_it_is_repaired(
    aws: Emulator, batch: Any
) -> None:
    aws.faults.invalidate("cpu", "CLIENT_ERROR - no such subnet")
    (told,) = batch.api.describe_compute_environments(computeEnvironments=["cpu"])[
        "computeEnvironments"
    ]
    assert (told["status"], told["statusReason"]) == ("INVALID", "CLIENT_ERROR - no such subnet")
    job = batch.submit()
    batch.when(job, "RUNNABLE")
    aws.faults.invalidate("cpu", None)
    assert batch.ended(job)["status"] == "SUCCEEDED"


def test_what_is_larger_than_the_environments_maximum_waits_with_batchs_reason(
    batch: Any, eventually: Eventually
) -> None:
    update(batch, computeResources={"maxvCpus": 2})
    job = batch.submit(containerOverrides=asking(vcpu="4"))
    eventually(lambda: "COMPUTE_ENVIRONMENT_MAX_RESOURCE" in reason(batch, job))
    update(batch, computeResources={"maxvCpus": 4})
    assert batch.ended(job)["status"] == "SUCCEEDED"
    assert "MISCONFIGURATION" not in reason(batch, job)


def test_what_no_instance_type_has_waits_with_batchs_reason(
    batch: Any, eventually: Eventually
) -> None:
    job = batch.submit(containerOverrides=asking(gpu="1"))
    eventually(lambda: "JOB_RESOURCE_REQUIREMENT" in reason(batch, job))


def test_a_queue_without_capacity_holds_its_jobs_in_order(
    aws: Emulator, batch: Any, eventually: Eventually
) -> None:
    aws.faults.withhold("cpu")
    first, second = batch.submit(), batch.submit()
    eventually(lambda: "INSUFFICIENT_INSTANCE_CAPACITY" in reason(batch, first))
    batch.when(second, "RUNNABLE")
    front = batch.api.get_job_queue_snapshot(jobQueue="cpu")["frontOfQueue"]["jobs"]
    assert [job["jobArn"] for job in front] == [
        batch.job(first)["jobArn"],
        batch.job(second)["jobArn"],
    ]
    aws.faults.withhold("cpu", None)
    assert batch.ended(second)["status"] == "SUCCEEDED"
    assert batch.api.get_job_queue_snapshot(jobQueue="cpu")["frontOfQueue"]["jobs"] == []


def test_running_jobs_are_what_an_environment_has(batch: Any) -> None:
    job = batch.submit("import time; time.sleep(60)", containerOverrides=asking(vcpu="3"))
    batch.when(job, "RUNNING")
    (told,) = batch.api.describe_compute_environments(computeEnvironments=["cpu"])[
        "computeEnvironments"
    ]
    assert told["computeResources"]["desiredvCpus"] == 3
    update(batch, computeResources={"maxvCpus": 4})
    behind = batch.submit(containerOverrides=asking(vcpu="2"))
    batch.when(behind, "RUNNABLE")
    batch.api.terminate_job(jobId=job, reason="make room")
    assert batch.ended(behind)["status"] == "SUCCEEDED"


def test_an_unknown_environment_or_state_is_refused(batch: Any) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        batch.api.update_compute_environment(computeEnvironment="nothing")
    with pytest.raises(ClientError, match="must be one of"):
        update(batch, state="ON")


def test_a_quota_is_what_was_set(aws: Emulator) -> None:
    quotas = aws.client("service-quotas")
    aws.faults.set_quota("L-DB2E81BA", 0)
    told = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-DB2E81BA")["Quota"]
    assert (told["QuotaName"], told["Value"]) == ("Running On-Demand G and VT instances", 0)
    listed = quotas.list_service_quotas(ServiceCode="ec2")["Quotas"]
    assert {quota["QuotaCode"]: quota["Value"] for quota in listed}["L-DB2E81BA"] == 0
    with pytest.raises(quotas.exceptions.NoSuchResourceException):
        quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-0")
    with pytest.raises(quotas.exceptions.NoSuchResourceException):
        quotas.list_service_quotas(ServiceCode="s3")


def test_the_clock_of_every_service_goes_ahead(aws: Emulator) -> None:
    aws.faults.clock_skew_s = 3600
    for answer in (
        aws.client("sts").get_caller_identity(),
        aws.client("s3").list_buckets(),
        aws.client("batch").describe_jobs(jobs=[]),
    ):
        date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        assert parsedate_to_datetime(date).timestamp() - time.time() > 3000


def test_a_job_that_is_aged_was_submitted_earlier(aws: Emulator, batch: Any) -> None:
    job = batch.submit()
    before = batch.job(job)["createdAt"]
    aws.faults.age(job, 60)
    assert batch.job(job)["createdAt"] == before - 60_000
