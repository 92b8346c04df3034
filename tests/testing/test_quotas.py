from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.testing import Emulator
from tests.support.boto import needs_preferences
from tests.support.queues import make_queue
from tests.support.rigs import raised_emulator
from tests.testing.conftest import BatchClient

pytestmark = pytest.mark.contract

G_INSTANCES = "L-DB2E81BA"
STANDARD_INSTANCES = "L-1216C47A"
NO_CAPACITY = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
GPU_TYPE, CPU_TYPE = "ml.g5.xlarge", "ml.m5.large"


@pytest.fixture
def aws() -> Iterator[Emulator]:
    """The emulator as it starts by default."""
    with Emulator() as aws:
        yield aws


def asking_for(**amounts: int) -> dict[str, Any]:
    requirements = [{"type": name, "value": str(amount)} for name, amount in amounts.items()]
    return {"containerOverrides": {"command": ["true"], "resourceRequirements": requirements}}


def on(*types: str, **members: Any) -> dict[str, Any]:
    """Return the resources of a training job that may run on some types."""
    if len(types) == 1:
        return {"InstanceType": types[0], "InstanceCount": 1, **members}
    preferences = [{"InstanceType": name} for name in types]
    return {"InstancePreferences": preferences, "InstanceCount": 1, **members}


def reported(aws: Emulator, service: str) -> dict[str, float]:
    """Return the quotas of a service by name, as Service Quotas reports them."""
    pages = aws.client("service-quotas").get_paginator("list_service_quotas")
    quotas = [quota for page in pages.paginate(ServiceCode=service) for quota in page["Quotas"]]
    return {quota["QuotaName"]: quota["Value"] for quota in quotas}


def test_a_new_account_has_few_vcpus_and_no_gpus_on_ec2(aws: Emulator) -> None:
    assert {name: value for name, value in reported(aws, "ec2").items() if value} == {
        "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances": 5,
        "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests": 5,
    }


def test_a_new_account_has_few_cpu_instances_and_no_gpus_on_sagemaker(aws: Emulator) -> None:
    quotas = reported(aws, "sagemaker")
    assert {name: quotas[f"{name} for training job usage"] for name in (GPU_TYPE, CPU_TYPE)} == {
        GPU_TYPE: 0,
        CPU_TYPE: 4,
    }
    assert quotas[f"{GPU_TYPE} for spot training job usage"] == 0
    assert quotas[f"{CPU_TYPE} for training warm pool usage"] == 0


def test_a_quota_is_reported_with_the_value_that_was_set(aws: Emulator) -> None:
    aws.set_vcpu_quota(G_INSTANCES, 8)
    aws.set_quota(GPU_TYPE, 2)
    quotas = aws.client("service-quotas")
    quota = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=G_INSTANCES)["Quota"]
    assert (quota["QuotaName"], quota["Value"]) == ("Running On-Demand G and VT instances", 8)
    assert reported(aws, "sagemaker")[f"{GPU_TYPE} for training job usage"] == 2


def test_a_quota_that_does_not_exist_is_an_error(aws: Emulator) -> None:
    missing = aws.client("service-quotas").exceptions.NoSuchResourceException
    with pytest.raises(missing, match="does not exist"):
        aws.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode="L-0")
    with pytest.raises(ValueError, match="No such vCPU quota"):
        aws.set_vcpu_quota("L-0", 8)
    with pytest.raises(ValueError, match="negative: -1"):
        aws.set_vcpu_quota(G_INSTANCES, -1)
    with pytest.raises(SettingsError, match="Invalid quotas 'none'"):
        Emulator(quotas="none")  # type: ignore[arg-type]


def test_a_gpu_job_on_batch_waits_with_the_reason_until_the_quota_is_raised(
    aws: Emulator, batch: Any, eventually: Callable[..., Any]
) -> None:
    job = batch.submit(jobQueue="flowyml-emulator-t4", **asking_for(VCPU=2, GPU=1, MEMORY=512))
    eventually(lambda: batch.job(job).get("statusReason"), "a reason")
    waiting = batch.job(job)
    assert waiting["status"] == "RUNNABLE"
    assert waiting["statusReason"].startswith(NO_CAPACITY)
    assert "[g4dn.xlarge]" in waiting["statusReason"]
    aws.set_vcpu_quota(G_INSTANCES, 4)
    assert batch.ended(job)["status"] == "SUCCEEDED"


def test_the_vcpus_of_running_jobs_count_towards_the_quota(
    aws: Emulator, batch: Any, eventually: Callable[..., Any]
) -> None:
    sleeping = asking_for(VCPU=4, MEMORY=512)
    sleeping["containerOverrides"]["command"] = ["sleep", "60"]
    batch.wait_for_status(batch.submit(**sleeping), "RUNNING")
    second = batch.submit(**asking_for(VCPU=2, MEMORY=512))
    eventually(lambda: batch.job(second).get("statusReason"), "a reason")
    assert batch.job(second)["statusReason"].startswith(NO_CAPACITY)
    aws.set_vcpu_quota(STANDARD_INSTANCES, 16)
    assert batch.ended(second)["status"] == "SUCCEEDED"


def test_the_vcpus_of_instances_count_and_not_those_of_their_jobs(
    aws: Emulator, batch: Any, eventually: Callable[..., Any]
) -> None:
    aws.set_vcpu_quota(STANDARD_INSTANCES, 8)
    large = make_queue(batch.api, "large", ["c6i.2xlarge"])
    sleeping = asking_for(VCPU=1, MEMORY=512)
    sleeping["containerOverrides"]["command"] = ["sleep", "60"]
    first = batch.submit(jobQueue=large, **sleeping)
    batch.wait_for_status(first, "RUNNING")
    second = batch.submit(**asking_for(VCPU=1, MEMORY=512))
    eventually(lambda: batch.job(second).get("statusReason"), "a reason")
    assert batch.job(second)["statusReason"].startswith(NO_CAPACITY)
    assert batch.ended(batch.submit(jobQueue=large, **asking_for(VCPU=1, MEMORY=512)))["attempts"]
    batch.api.terminate_job(jobId=first, reason="make room")
    assert batch.ended(second)["status"] == "SUCCEEDED"
    (idle,) = batch.api.describe_compute_environments(computeEnvironments=["large-1"])[
        "computeEnvironments"
    ]
    assert idle["computeResources"]["desiredvCpus"] == 0  # its instance has ended


def test_a_type_above_the_quota_is_not_chosen(aws: Emulator, batch: Any) -> None:
    aws.set_vcpu_quota(G_INSTANCES, 4)
    family = make_queue(batch.api, "family", ["g4dn"])
    job = batch.submit(jobQueue=family, **asking_for(VCPU=1, GPU=1, MEMORY=512))
    assert batch.ended(job)["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("usage", "members"),
    [
        ("training job", {"ResourceConfig": on(GPU_TYPE, VolumeSizeInGB=1)}),
        (
            "spot training job",
            {
                "ResourceConfig": on(GPU_TYPE, VolumeSizeInGB=1),
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
            },
        ),
        (
            "training warm pool",
            {"ResourceConfig": on(CPU_TYPE, VolumeSizeInGB=1, KeepAlivePeriodInSeconds=60)},
        ),
    ],
)
def test_a_quota_of_zero_refuses_training_jobs_of_that_usage(
    training: Any, usage: str, members: dict[str, Any]
) -> None:
    exceeded = training.api.exceptions.ResourceLimitExceeded
    with pytest.raises(exceeded, match=f"for {usage} usage' is 0 Instances"):
        training.create(**members)


@needs_preferences
def test_one_type_without_quota_refuses_a_request_with_several_types(training: Any) -> None:
    exceeded = training.api.exceptions.ResourceLimitExceeded
    with pytest.raises(exceeded, match=f"'{GPU_TYPE} for training job usage' is 0 In"):
        training.create(ResourceConfig=on("ml.r5d.large", GPU_TYPE))


def test_raised_quotas_allow_gpus() -> None:
    with raised_emulator() as aws:
        assert min(reported(aws, "ec2").values()) >= 1000
        assert min(reported(aws, "sagemaker").values()) >= 1000


def test_an_increase_is_granted_at_once_and_lets_jobs_start(
    aws: Emulator, connect: type[BatchClient]
) -> None:
    batch = connect(aws)
    job_id = batch.submit(jobQueue="flowyml-emulator-t4", **asking_for(VCPU=4, MEMORY=4096))
    batch.wait_for_status(job_id, "RUNNABLE")
    quotas = aws.client("service-quotas")
    request = {"ServiceCode": "ec2", "QuotaCode": G_INSTANCES, "DesiredValue": 16}
    increase = quotas.request_service_quota_increase(**request)["RequestedQuota"]
    assert (increase["Status"], increase["DesiredValue"]) == ("APPROVED", 16)
    assert batch.ended(job_id)["status"] == "SUCCEEDED"
    with pytest.raises(ClientError, match="greater than the current quota value"):
        quotas.request_service_quota_increase(**request)


def test_an_increase_for_sagemaker_is_of_one_type_and_usage(aws: Emulator) -> None:
    name = f"{GPU_TYPE} for spot training job usage"
    quotas = aws.client("service-quotas")
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    (code,) = [q["QuotaCode"] for page in pages for q in page["Quotas"] if q["QuotaName"] == name]
    quotas.request_service_quota_increase(ServiceCode="sagemaker", QuotaCode=code, DesiredValue=3)
    raised = {name: value for name, value in reported(aws, "sagemaker").items() if value == 3}
    assert raised == {name: 3}
