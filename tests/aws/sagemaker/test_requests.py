from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.loaders import Loader
from botocore.validate import validate_parameters

from flowyml_aws.aws.sagemaker.limits import training_request_errors
from flowyml_aws.aws.sagemaker.options import TrainingOptions
from flowyml_aws.aws.sagemaker.requests import (
    knows_preferences,
    requires_volume,
    time_limit_s,
    training_request,
)
from flowyml_aws.core.job_options import JobOptions
from flowyml_aws.planning.plan import InstanceOffer
from tests.support.boto import needs_preferences
from tests.support.plans import a_job, a_plan, a_record

STORE = "s3://bucket/prefix"
OPTIONS = TrainingOptions(
    image="123456789012.dkr.ecr.us-east-1.amazonaws.com/flowyml-aws:1",
    role="arn:aws:iam::123456789012:role/training",
    region="us-east-1",
)
DAY_S = 24 * 3600


def offers(*names: str) -> tuple[InstanceOffer, ...]:
    return tuple(InstanceOffer(instance_type=name, price_usd_hour=1.0) for name in names)


def request(options: TrainingOptions = OPTIONS, attempt: int = 1, **changes: Any) -> dict[str, Any]:
    members = {
        "backend": "sagemaker",
        "target": "sagemaker",
        "offers": offers("ml.m5.large", "ml.m6i.large"),
        "volume_gib": 30,
        **changes,
    }
    job = a_job("train", **members)
    record = a_record(a_plan(job), {"train": "abc"})
    return dict(training_request(job, attempt, record, STORE, options))


def errors(options: TrainingOptions = OPTIONS, **changes: Any) -> str:
    arguments = request(options, **changes)
    return "\n".join(map(str, training_request_errors(arguments, "train")))  # type: ignore[arg-type]


def test_the_program_is_the_runner_with_the_spec_and_its_digest() -> None:
    arguments = request()
    program = arguments["AlgorithmSpecification"]
    assert program["TrainingImage"] == OPTIONS.image
    assert program["ContainerEntrypoint"] == ["python", "-m", "flowyml_aws.job"]
    run = a_record(a_plan(a_job("train"))).run_id
    spec = f"{STORE}/runs/{run}/specs/0.json#sha256=abc,bytes=0+100"
    assert program["ContainerArguments"] == [spec]
    assert arguments["RoleArn"] == OPTIONS.role


def test_a_step_can_choose_the_image_and_the_role_of_its_job() -> None:
    chosen = JobOptions(image="registry/train:1", role="arn:aws:iam::123456789012:role/other")
    job = a_job("train", options=chosen, offers=offers("ml.m5.large"), volume_gib=30)
    made = training_request(job, 1, a_record(a_plan(job)), STORE, OPTIONS)
    assert made["AlgorithmSpecification"]["TrainingImage"] == chosen.image
    assert made["RoleArn"] == chosen.role
    assert training_request_errors(made, "train") == []


def test_each_attempt_has_its_own_name_and_number() -> None:
    first, second = request(), request(attempt=2)
    assert second["TrainingJobName"] == first["TrainingJobName"].removesuffix("1") + "2"
    assert second["Environment"]["FLOWYML_ATTEMPT"] == "2"


def test_the_plans_instance_types_are_sent_in_order_of_preference() -> None:
    resources = request()["ResourceConfig"]
    types = [preference["InstanceType"] for preference in resources["InstancePreferences"]]
    assert types == ["ml.m5.large", "ml.m6i.large"]
    assert "InstanceType" not in resources
    assert resources["InstanceCount"] == 1


def test_a_single_instance_type_is_sent_without_preferences() -> None:
    resources = request(offers=offers("ml.p4d.24xlarge"))["ResourceConfig"]
    assert resources["InstanceType"] == "ml.p4d.24xlarge"
    assert "InstancePreferences" not in resources


class OldModels(Loader):
    """The service models of an older boto3."""

    def load_service_model(self, service_name: str, *names: Any, **options: Any) -> Any:
        model = super().load_service_model(service_name, *names, **options)
        if service_name == "sagemaker" and "shapes" in model:
            model = copy.deepcopy(model)
            resources = model["shapes"]["ResourceConfig"]
            del resources["members"]["InstancePreferences"]
            resources["required"] = ["VolumeSizeInGB"]
        return model


def a_client(loader: Loader | None = None) -> Any:
    session = botocore.session.Session()
    if loader is not None:
        session.register_component("data_loader", loader)
    return boto3.Session(botocore_session=session).client("sagemaker", "eu-west-3")


@needs_preferences
def test_an_older_boto3_is_sent_only_the_first_type() -> None:
    assert knows_preferences(a_client())
    client = a_client(OldModels())
    options = replace(OPTIONS, has_preferences=knows_preferences(client))
    resources = request(options)["ResourceConfig"]
    assert (resources["InstanceType"], "InstancePreferences" in resources) == ("ml.m5.large", False)
    shape = client.meta.service_model.operation_model("CreateTrainingJob").input_shape
    assert shape is not None
    validate_parameters(request(options), shape)


@needs_preferences
def test_an_older_boto3_is_sent_the_volume_that_it_requires() -> None:
    assert not requires_volume(a_client())
    options = replace(OPTIONS, needs_volume=requires_volume(a_client(OldModels())))
    local_disks: dict[str, Any] = {"volume_gib": None, "offers": offers("ml.g4dn.xlarge")}
    assert request(options, **local_disks)["ResourceConfig"]["VolumeSizeInGB"] == 30
    assert errors(options, **local_disks) == ""


def test_a_spot_request_has_one_type_checkpoints_and_a_maximum_wait() -> None:
    arguments = request(capacity="spot", timeout_s=3600)
    assert arguments["EnableManagedSpotTraining"] is True
    assert arguments["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    assert arguments["CheckpointConfig"]["S3Uri"].endswith("/jobs/train/checkpoints")
    assert arguments["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 3600,
        "MaxWaitTimeInSeconds": 3600 + DAY_S,
    }


@pytest.mark.parametrize(
    ("options", "changes", "expected_s"),
    [
        ({}, {"timeout_s": 700}, 700),
        ({"max_runtime_s": 900}, {}, 900),
        ({}, {"timeout_s": 700, "capacity": "spot"}, 700 + DAY_S),
        ({"max_wait_s": 800}, {"timeout_s": 700, "capacity": "spot"}, 800),
    ],
)
def test_the_time_limit_of_a_job_contains_its_wait_for_spot_capacity(
    options: dict[str, Any], changes: dict[str, Any], expected_s: int
) -> None:
    assert time_limit_s(a_job("train", **changes), replace(OPTIONS, **options)) == expected_s


def test_prefixes_are_channels_that_are_read_while_the_step_reads_the_files() -> None:
    mounts = {"images": "s3://data/images/", "labels": "s3://data/labels/"}
    assert request(mounts=mounts)["InputDataConfig"] == [
        {
            "ChannelName": name,
            "InputMode": "FastFile",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": uri,
                    "S3DataDistributionType": "FullyReplicated",
                }
            },
        }
        for name, uri in (("data-0", "s3://data/images/"), ("data-1", "s3://data/labels/"))
    ]
    assert errors(mounts=mounts) == ""
    assert "at most 20 prefixes of S3, not 21" in errors(
        mounts={f"a{n}": "s3://data/" for n in range(21)}
    )


def test_a_warm_pool_has_one_type_and_is_not_used_on_spot_capacity() -> None:
    warm = replace(OPTIONS, keep_alive_s=900)
    resources = request(warm)["ResourceConfig"]
    assert resources["InstanceType"] == "ml.m5.large"
    assert resources["KeepAlivePeriodInSeconds"] == 900
    assert "KeepAlivePeriodInSeconds" not in request(warm, capacity="spot")["ResourceConfig"]
    assert not errors(warm) + errors(warm, capacity="spot")


def test_a_job_without_a_timeout_gets_the_default_maximum_runtime_of_the_service() -> None:
    assert request()["StoppingCondition"] == {"MaxRuntimeInSeconds": 5 * DAY_S}
    assert request(timeout_s=700)["StoppingCondition"] == {"MaxRuntimeInSeconds": 700}


def test_a_share_of_the_cost_limit_is_a_maximum_runtime() -> None:
    # An hour at $1, of which the start takes four minutes.
    shared = request(share_usd=1.0)
    assert shared["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600 - 240}
    assert request(share_usd=1e6)["StoppingCondition"] == {"MaxRuntimeInSeconds": 5 * DAY_S}


def test_network_keys_tags_and_volume_come_from_the_options() -> None:
    options = replace(
        OPTIONS,
        subnets=("subnet-1", "subnet-2"),
        security_groups=("sg-1",),
        volume_kms_key="alias/disks",
        output_kms_key="alias/outputs",
        volume_gib=100,
        tags={"team": "vision"},
    )
    arguments = request(options)
    assert arguments["VpcConfig"] == {
        "Subnets": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }
    assert arguments["ResourceConfig"]["VolumeSizeInGB"] == 100
    assert arguments["ResourceConfig"]["VolumeKmsKeyId"] == "alias/disks"
    assert arguments["OutputDataConfig"]["KmsKeyId"] == "alias/outputs"
    tags = {tag["Key"]: tag["Value"] for tag in arguments["Tags"]}
    assert tags["team"] == "vision"
    assert (tags["flowyml-aws:job"], tags["flowyml-aws:pipeline"]) == ("train", "My pipeline: été")
    assert not errors(options)


def test_types_with_instance_store_get_neither_a_volume_nor_its_key() -> None:
    options = replace(OPTIONS, volume_gib=100, volume_kms_key="alias/disks")
    resources = request(options, volume_gib=None, offers=offers("ml.g4dn.xlarge"))["ResourceConfig"]
    assert not {"VolumeSizeInGB", "VolumeKmsKeyId"} & resources.keys()


@pytest.mark.parametrize(
    ("types", "volume", "message"),
    [
        (("ml.g4dn.xlarge",), {"VolumeKmsKeyId": "alias/disks"}, "ml.g4dn.xlarge has local disks"),
        (("ml.r5.2xlarge", "ml.r5d.2xlarge"), {"VolumeSizeInGB": 30}, "can't be combined"),
    ],
)
def test_a_key_and_a_volume_are_only_for_types_without_local_disks(
    types: tuple[str, ...], volume: dict[str, Any], message: str
) -> None:
    arguments = request(volume_gib=None, offers=offers(*types))
    arguments["ResourceConfig"].update(volume)
    problems = training_request_errors(arguments, "train")  # type: ignore[arg-type]  # built by hand
    assert message in "\n".join(map(str, problems))


def test_a_valid_request_has_no_errors() -> None:
    assert not errors()
    assert not errors(capacity="spot")


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({"role": "me"}, {}, "'me' is not a valid role ARN"),
        ({"subnets": ("subnet-1",)}, {}, "sagemaker_security_groups, not 0"),
        ({"security_groups": ("sg-1",)}, {}, "sagemaker_subnets, not 0"),
        ({"subnets": ("a b",), "security_groups": ("sg-1",)}, {}, "'a b' is not a valid id"),
        ({"keep_alive_s": 21_601}, {}, "at most 21,600 s"),
        ({"volume_gib": 16_385}, {}, "16,384 GiB"),
        ({"max_runtime_s": 28 * DAY_S + 1}, {}, "28 days"),
        ({"max_wait_s": 60}, {"capacity": "spot"}, "raise the setting sagemaker_max_wait_s"),
        ({"output_kms_key": "a key"}, {}, "correct the setting sagemaker_output_kms_key"),
        ({"volume_kms_key": "a key"}, {}, "correct the setting sagemaker_volume_kms_key"),
        ({"tags": {"aws:mine": "1"}}, {}, "tag 'aws:mine' = '1' is invalid"),
        ({"tags": {"a": "b" * 257}}, {}, "is invalid: keys have up to 128"),
        ({"tags": {f"t{n}": "" for n in range(48)}}, {}, "at most 50 tags, not 51"),
        ({"image": ""}, {}, "it has no image"),
        ({"image": "i" * 256}, {}, "255 characters"),
        ({"region": "r" * 513}, {}, "512 characters"),
    ],
)
def test_an_invalid_request_is_an_error_with_the_setting_to_correct(
    options: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    assert message in errors(replace(OPTIONS, **options), **changes)


def test_all_errors_are_reported_together() -> None:
    report = errors(replace(OPTIONS, role="me", keep_alive_s=99_999, tags={"aws:x": ""}))
    assert report.count("SageMaker would refuse job 'train'") == 3


def test_a_spec_uri_that_is_too_long_for_an_argument_is_an_error_with_a_fix() -> None:
    job = a_job("train", backend="sagemaker")
    record = a_record(a_plan(job))
    arguments = training_request(job, 1, record, f"s3://bucket/{'p' * 200}", OPTIONS)
    (problem,) = training_request_errors(arguments, "train")
    assert "256 characters" in problem.why
    assert "shorten the prefix in the setting `store`" in problem.fix


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"InstanceType": "ml.m5.large"}, "can't be combined with InstanceType"),
        (
            {"InstancePreferences": [{"InstanceType": "ml.m5.large"}] * 2},
            "can't contain a type twice",
        ),
        (
            {"InstancePreferences": [{"InstanceType": f"ml.{n}.large"} for n in range(6)]},
            "at most 5 instance types",
        ),
        ({"KeepAlivePeriodInSeconds": 60}, "a warm pool has a single instance type"),
    ],
)
def test_options_that_exclude_each_other_are_an_error(
    resources: dict[str, Any], message: str
) -> None:
    arguments = request()
    arguments["ResourceConfig"].update(resources)
    problems = training_request_errors(arguments, "train")  # type: ignore[arg-type]  # built by hand
    assert message in "\n".join(map(str, problems))


def test_a_long_spot_job_without_checkpoints_is_an_error() -> None:
    arguments = request(capacity="spot")
    del arguments["CheckpointConfig"]
    assert "without checkpoints" in str(training_request_errors(arguments, "train")[0])  # type: ignore[arg-type]


def test_the_variables_of_the_job_are_sent_with_those_of_every_job() -> None:
    assert request(environment={"LEVEL": "9", "TZ": "Asia/Tokyo"})["Environment"] == {
        "LEVEL": "9",
        "TZ": "Asia/Tokyo",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8:replace",
        "PYTHONUNBUFFERED": "1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "FLOWYML_ATTEMPT": "1",
    }


def test_the_gpus_of_an_instance_are_visible_to_jobs_with_gpus_only() -> None:
    with_gpu = request(gpu_model="t4", gpu_count=1)["Environment"]
    assert with_gpu["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert "NVIDIA_VISIBLE_DEVICES" not in request()["Environment"]
    own = {"NVIDIA_VISIBLE_DEVICES": "0"}
    chosen = request(gpu_model="t4", gpu_count=1, environment=own)["Environment"]
    assert chosen["NVIDIA_VISIBLE_DEVICES"] == "0"


def test_more_or_longer_variables_than_sagemaker_accepts_are_errors() -> None:
    assert errors(environment={"A": "x" * 512}) == ""
    too_long = errors(environment={"A": "x" * 513})
    assert "the value of environment variable 'A' can have at most 512 characters" in too_long
    assert "the name of environment variable 'BBB" in errors(environment={"B" * 513: "x"})
    many = {f"V{number}": "x" for number in range(93)}
    assert "at most 100 environment variables, not 101" in errors(environment=many)


def test_a_shell_is_requested_by_remote_debugging_only_if_it_is_wanted() -> None:
    assert "RemoteDebugConfig" not in request()
    options = replace(OPTIONS, debug_shell=True)
    assert request(options)["RemoteDebugConfig"] == {"EnableRemoteDebug": True}
    assert errors(options) == ""
