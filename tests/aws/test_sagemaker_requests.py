from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flowyml_aws.aws.sagemaker_limits import refused_training
from flowyml_aws.aws.sagemaker_requests import training_request
from flowyml_aws.aws.sagemaker_terms import TrainingTerms
from flowyml_aws.planning.plan import InstanceOffer
from tests.support.plans import a_job, a_plan, a_record

STORE = "s3://bucket/prefix"
TERMS = TrainingTerms(
    image="123456789012.dkr.ecr.us-east-1.amazonaws.com/flowyml-aws:1",
    role="arn:aws:iam::123456789012:role/training",
    region="us-east-1",
)
DAY_S = 24 * 3600


def offers(*names: str) -> tuple[InstanceOffer, ...]:
    return tuple(InstanceOffer(instance_type=name, price_usd_hour=1.0) for name in names)


def request(terms: TrainingTerms = TERMS, attempt: int = 1, **changes: Any) -> dict[str, Any]:
    members = {
        "backend": "sagemaker",
        "target": "sagemaker",
        "offers": offers("ml.m5.large", "ml.m6i.large"),
        "volume_gib": 30,
        **changes,
    }
    job = a_job("train", **members)
    record = a_record(a_plan(job), {"train": "abc"})
    return dict(training_request(job, attempt, record, STORE, terms))


def complaints(terms: TrainingTerms = TERMS, **changes: Any) -> str:
    told = request(terms, **changes)
    return "\n".join(str(problem) for problem in refused_training(told, "train"))  # type: ignore[arg-type]


def test_the_program_is_the_runner_with_the_spec_and_its_digest() -> None:
    told = request()
    program = told["AlgorithmSpecification"]
    assert program["TrainingImage"] == TERMS.image
    assert program["ContainerEntrypoint"] == ["python", "-m", "flowyml_aws.runtime"]
    run = a_record(a_plan(a_job("train"))).run_id
    spec = f"{STORE}/runs/{run}/jobs/train/spec.json#sha256=abc"
    assert program["ContainerArguments"] == [spec]
    assert told["RoleArn"] == TERMS.role


def test_each_attempt_has_a_name_and_a_number_of_its_own() -> None:
    first, second = request(), request(attempt=2)
    assert second["TrainingJobName"] == first["TrainingJobName"].removesuffix("1") + "2"
    assert second["Environment"]["FLOWYML_ATTEMPT"] == "2"


def test_the_plans_types_are_tried_in_order() -> None:
    resources = request()["ResourceConfig"]
    types = [preference["InstanceType"] for preference in resources["InstancePreferences"]]
    assert types == ["ml.m5.large", "ml.m6i.large"]
    assert "InstanceType" not in resources
    assert resources["InstanceCount"] == 1


def test_a_single_type_needs_no_order() -> None:
    resources = request(offers=offers("ml.p4d.24xlarge"))["ResourceConfig"]
    assert resources["InstanceType"] == "ml.p4d.24xlarge"
    assert "InstancePreferences" not in resources


def test_spot_capacity_has_one_type_checkpoints_and_a_limit_for_waiting() -> None:
    told = request(capacity="spot", timeout_s=3600)
    assert told["EnableManagedSpotTraining"] is True
    assert told["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    assert told["CheckpointConfig"]["S3Uri"].endswith("/jobs/train/checkpoints")
    assert told["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 3600,
        "MaxWaitTimeInSeconds": 3600 + DAY_S,
    }


def test_a_warm_pool_has_one_type_and_none_is_kept_on_spot_capacity() -> None:
    warm = replace(TERMS, keep_alive_s=900)
    resources = request(warm)["ResourceConfig"]
    assert resources["InstanceType"] == "ml.m5.large"
    assert resources["KeepAlivePeriodInSeconds"] == 900
    assert "KeepAlivePeriodInSeconds" not in request(warm, capacity="spot")["ResourceConfig"]
    assert not complaints(warm) + complaints(warm, capacity="spot")


def test_a_job_without_a_limit_gets_the_longest_time_that_the_service_gives_by_default() -> None:
    assert request()["StoppingCondition"] == {"MaxRuntimeInSeconds": 5 * DAY_S}
    assert request(timeout_s=700)["StoppingCondition"] == {"MaxRuntimeInSeconds": 700}


def test_network_keys_tags_and_volume_are_those_of_the_settings() -> None:
    terms = replace(
        TERMS,
        subnets=("subnet-1", "subnet-2"),
        security_groups=("sg-1",),
        volume_kms_key="alias/disks",
        output_kms_key="alias/outputs",
        volume_gib=100,
        tags={"team": "vision"},
    )
    told = request(terms)
    assert told["VpcConfig"] == {
        "Subnets": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }
    assert told["ResourceConfig"]["VolumeSizeInGB"] == 100
    assert told["ResourceConfig"]["VolumeKmsKeyId"] == "alias/disks"
    assert told["OutputDataConfig"]["KmsKeyId"] == "alias/outputs"
    tags = {tag["Key"]: tag["Value"] for tag in told["Tags"]}
    assert tags["team"] == "vision"
    assert (tags["flowyml-aws:job"], tags["flowyml-aws:pipeline"]) == ("train", "My pipeline: été")
    assert not complaints(terms)


def test_types_with_disks_of_their_own_get_neither_a_volume_nor_its_key() -> None:
    terms = replace(TERMS, volume_gib=100, volume_kms_key="alias/disks")
    resources = request(terms, volume_gib=None, offers=offers("ml.g4dn.xlarge"))["ResourceConfig"]
    assert not {"VolumeSizeInGB", "VolumeKmsKeyId"} & resources.keys()


def test_what_aws_takes_is_not_complained_about() -> None:
    assert not complaints()
    assert not complaints(capacity="spot")


@pytest.mark.parametrize(
    ("terms", "changes", "told"),
    [
        ({"role": "me"}, {}, "'me' is no ARN of a role"),
        ({"subnets": ("subnet-1",)}, {}, "sagemaker_security_groups, not 0"),
        ({"security_groups": ("sg-1",)}, {}, "sagemaker_subnets, not 0"),
        ({"subnets": ("a b",), "security_groups": ("sg-1",)}, {}, "'a b' is no id"),
        ({"keep_alive_s": 21_601}, {}, "at most 21,600 s"),
        ({"volume_gib": 16_385}, {}, "16,384 GiB"),
        ({"max_runtime_s": 28 * DAY_S + 1}, {}, "28 days"),
        ({"max_wait_s": 60}, {"capacity": "spot"}, "raise the setting sagemaker_max_wait_s"),
        ({"output_kms_key": "a key"}, {}, "correct the setting sagemaker_output_kms_key"),
        ({"volume_kms_key": "a key"}, {}, "correct the setting sagemaker_volume_kms_key"),
        ({"tags": {"aws:mine": "1"}}, {}, "is no tag"),
        ({"tags": {"a": "b" * 257}}, {}, "is no tag"),
        ({"tags": {f"t{n}": "" for n in range(48)}}, {}, "at most 50 tags, not 51"),
        ({"image": ""}, {}, "it has no image"),
        ({"image": "i" * 256}, {}, "255 characters"),
        ({"region": "r" * 513}, {}, "512 characters"),
    ],
)
def test_what_aws_refuses_is_told_with_the_setting_to_correct(
    terms: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    assert told in complaints(replace(TERMS, **terms), **changes)


def test_every_fault_is_in_one_report() -> None:
    told = complaints(replace(TERMS, role="me", keep_alive_s=99_999, tags={"aws:x": ""}))
    assert told.count("SageMaker would refuse job 'train'") == 3


def test_a_spec_that_is_too_long_for_an_argument_is_told_with_what_to_shorten() -> None:
    job = a_job("train", backend="sagemaker")
    record = a_record(a_plan(job))
    told = training_request(job, 1, record, f"s3://bucket/{'p' * 200}", TERMS)
    (problem,) = refused_training(told, "train")
    assert "256 characters" in problem.why
    assert "shorten the prefix in the setting `store`" in problem.fix


@pytest.mark.parametrize(
    ("resources", "told"),
    [
        ({"InstanceType": "ml.m5.large"}, "neither with one type"),
        ({"InstancePreferences": [{"InstanceType": "ml.m5.large"}] * 2}, "named once"),
        (
            {"InstancePreferences": [{"InstanceType": f"ml.{n}.large"} for n in range(6)]},
            "at most 5 instance types",
        ),
        ({"KeepAlivePeriodInSeconds": 60}, "a warm pool has one instance type"),
    ],
)
def test_combinations_that_exclude_each_other_never_leave_unseen(
    resources: dict[str, Any], told: str
) -> None:
    changed = request()
    changed["ResourceConfig"].update(resources)
    problems = refused_training(changed, "train")  # type: ignore[arg-type]  # built by hand
    assert told in "\n".join(map(str, problems))


def test_spot_capacity_without_checkpoints_never_leaves_unseen() -> None:
    changed = request(capacity="spot")
    del changed["CheckpointConfig"]
    assert "without checkpoints" in str(refused_training(changed, "train")[0])  # type: ignore[arg-type]
