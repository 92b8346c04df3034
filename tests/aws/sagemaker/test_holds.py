from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from boto3 import Session
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from flowyml_aws.aws.checks.training import training_quota_findings
from flowyml_aws.aws.sagemaker.holds import TrainingHolds
from flowyml_aws.aws.sagemaker.quotas import ExceededQuota, TrainingQuota, TypesWithoutQuota
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.planning.plan import InstanceOffer, PlannedJob
from flowyml_aws.submission.backend import JobState, JobStatus
from tests.support.plans import a_job

BEST, SECOND = "ml.g5.xlarge", "ml.g5.2xlarge"


def a_training_job(*types: str) -> PlannedJob:
    offers = tuple(InstanceOffer(instance_type=name, price_usd_hour=1.0) for name in types)
    return a_job("train", backend="sagemaker", offers=offers)


def refusal(name: str, limit: int) -> ClientError:
    message = (
        f"The account-level service limit '{name}' is {limit} Instances, with current utilization "
        f"of {limit} Instances and a request delta of 1 Instances. Please …"
    )
    response: Any = {"Error": {"Code": "ResourceLimitExceeded", "Message": message}}
    return ClientError(response, "CreateTrainingJob")


@pytest.fixture
def holds() -> TrainingHolds:
    return TrainingHolds("eu-west-3", poll_s=5.0, clock=lambda: 1000.0)


def the_status(holds: TrainingHolds, known: Mapping[str, JobStatus] | None = None) -> JobStatus:
    return holds.statuses(known or {})["train"]


def test_a_type_without_quota_is_left_out_of_the_next_submission(holds: TrainingHolds) -> None:
    job = a_training_job(BEST, SECOND)
    assert holds.refuse(job, refusal(f"{BEST} for training job usage", 0), ended_count=0)
    remaining = holds.open_types(job)
    assert remaining is not None
    assert [offer.instance_type for offer in remaining.offers] == [SECOND]
    holds.accept(remaining)
    status = the_status(holds, {"train": JobStatus(JobState.STARTING, 1)})
    assert status.reason is not None and status.reason.startswith(f"without {BEST}: the account's")


def test_a_job_whose_types_all_lack_a_quota_fails_with_the_page(holds: TrainingHolds) -> None:
    job = a_training_job(BEST)
    assert holds.refuse(job, refusal(f"{BEST} for training job usage", 0), ended_count=0)
    assert holds.open_types(job) is None
    status = the_status(holds)
    assert status.state is JobState.FAILED
    assert f"'{BEST} for training job usage' is 0 instances" in str(status.reason)
    assert "sagemaker/quotas?region=eu-west-3" in str(status.reason)


def test_a_later_attempt_without_quota_fails_as_well(holds: TrainingHolds) -> None:
    job = a_training_job(BEST)
    holds.refuse(job, refusal(f"{BEST} for training job usage", 0), ended_count=1)
    holds.open_types(job)
    lost = {"train": JobStatus(JobState.LOST, 1, "attempt 1 failed: CapacityError")}
    assert (the_status(holds, lost).state, the_status(holds, lost).attempt) == (JobState.FAILED, 1)


def test_a_quota_of_zero_for_all_types_together_fails_the_job(holds: TrainingHolds) -> None:
    job = a_training_job(BEST, SECOND)
    together = "Number of instances across all training jobs"
    assert not holds.refuse(job, refusal(together, 0), ended_count=0)
    assert holds.open_types(job) is None
    assert the_status(holds).state is JobState.FAILED


def test_a_quota_that_is_used_up_is_waited_for_until_a_job_ends(holds: TrainingHolds) -> None:
    job = a_training_job(BEST, SECOND)
    assert not holds.refuse(job, refusal(f"{BEST} for training job usage", 2), ended_count=3)
    assert holds.open_types(job) == job
    assert holds.is_waiting(job, ended_count=3)
    assert "waiting for the account's quota" in str(the_status(holds).reason)
    assert not holds.is_waiting(job, ended_count=4)


def service_quotas() -> Any:
    return Session("key", "secret", region_name="eu-west-3").client("service-quotas")


def test_a_denied_listing_of_quotas_is_a_note() -> None:
    client = service_quotas()
    lookup = TypesWithoutQuota(lambda: client, "eu-west-3", keeps_instances=False)
    with Stubber(client) as stub:
        stub.add_client_error("list_service_quotas", "AccessDeniedException", "no")
        assert not lookup.close([a_training_job(BEST)], [BEST])
        assert not lookup.close([a_training_job(BEST)], [BEST])  # asked only once
    (note,) = lookup.notes
    assert "servicequotas:ListServiceQuotas" in note


def a_quota(instance_type: str, limit: float, usage: str = "training job") -> dict[str, Any]:
    name = f"{instance_type} for {usage} usage"
    return {"QuotaName": name, "QuotaCode": f"L-{len(name)}", "Value": limit}


def test_every_type_without_quota_is_closed_if_a_planned_one_is() -> None:
    client = service_quotas()
    lookup = TypesWithoutQuota(lambda: client, "eu-west-3", keeps_instances=False)
    quotas = [a_quota(BEST, 0.0), a_quota(SECOND, 0.0), a_quota("ml.m5.large", 4.0)]
    with Stubber(client) as stub:
        stub.add_response("list_service_quotas", {"Quotas": quotas})
        assert lookup.close([a_training_job(BEST)], [BEST, SECOND, "ml.m5.large"])
        assert not lookup.close([a_training_job("ml.m5.large")], [])
    assert lookup.closed["on-demand"].keys() == {BEST, SECOND}
    assert lookup.closed["spot"] == {}


@pytest.mark.parametrize(
    ("limits", "code", "level"),
    [
        ({}, "training-quotas-unknown", "note"),
        ({BEST: 0, "ml.m5.large": 0}, "training-quota-none", "warning"),
        ({BEST: 0, "ml.m5.large": 4}, "training-quota-some", "note"),
        ({BEST: 0, SECOND: 1, "ml.m5.large": 4}, "training-quota", "ok"),
    ],
)
def test_doctor_reports_the_machines_that_training_jobs_can_start(
    limits: dict[str, int], code: str, level: str
) -> None:
    quotas = [TrainingQuota(f"{t} for training job usage", "L-1", n) for t, n in limits.items()]
    (finding,) = training_quota_findings(quotas, load_catalog(), "on-demand", "eu-west-3")
    assert (finding.code, finding.level) == (code, level)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, "
            "with current utilization of 0 Instances and a request delta of 1 Instances. Please …",
            (True, "ml.g5.xlarge"),
        ),
        (
            "The account-level service limit 'ml.p3.8xlarge for training job usage' is 2 Instances,"
            " with current utilization of 3 Instances and a request delta of 1 Instances. Please …",
            (False, "ml.p3.8xlarge"),
        ),
        ("Slow down.", None),
    ],
)
def test_a_quota_that_is_below_the_request_is_never_waited_for(
    message: str, expected: tuple[bool, str] | None
) -> None:
    exceeded = ExceededQuota.from_message(message)
    actual = None if exceeded is None else (exceeded.is_permanent, exceeded.instance_type)
    assert actual == expected
