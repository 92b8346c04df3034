"""What CreateTrainingJob refuses, found before it is called.

boto3 checks neither patterns nor maxima, and names one fault at a time. Sources: the service's API
reference (CreateTrainingJob, ResourceConfig, StoppingCondition, AlgorithmSpecification, VpcConfig,
Tag), as in botocore's service model, and its texts on what excludes what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flowyml_aws.core.errors import FlowymlError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

__all__ = ["refused_training"]

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_ROLE = re.compile(r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+")
_KEY = re.compile(r"[a-zA-Z0-9:/_-]{1,2048}")
_NETWORK_ID = re.compile(r"[-0-9a-zA-Z]{1,32}")
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_MONTH_S = 28 * 24 * 3600

Fault = tuple[str, str]
"""Why AWS refuses it, and what to do."""


def refused_training(request: CreateTrainingJobRequestTypeDef, job: str) -> list[FlowymlError]:
    """Why AWS would refuse a training job; empty where nothing is known against it.

    Args:
        request: The arguments of CreateTrainingJob.
        job: Its name in the plan.
    """
    told: Mapping[str, Any] = request
    parts = (_naming, _program, _network, _resources, _time, _keys, _labels)
    return [
        SettingsError(what=f"SageMaker would refuse job {job!r}", why=why, fix=fix)
        for part in parts
        for why, fix in part(told)
    ]


def _naming(request: Mapping[str, Any]) -> Iterator[Fault]:
    name = request["TrainingJobName"]
    if len(name) > 63 or not _NAME.fullmatch(name):
        yield f"{name!r} is no name of a training job", "give the pipeline a shorter name"


def _program(request: Mapping[str, Any]) -> Iterator[Fault]:
    told = request["AlgorithmSpecification"]
    if not told["TrainingImage"]:
        yield "it has no image", "set image or sagemaker_image"
    if len(told["TrainingImage"]) > 255:
        yield "the image's URI has more than 255 characters", "name the image by a shorter tag"
    for argument in (*told["ContainerEntrypoint"], *told["ContainerArguments"]):
        if len(argument) > 256:
            yield (
                f"an argument of a container has at most 256 characters, {argument!r} has "
                f"{len(argument)}",
                "shorten the prefix in the setting `store`, or the group's name",
            )
    for uri in (
        request["OutputDataConfig"]["S3OutputPath"],
        request.get("CheckpointConfig", {}).get("S3Uri", ""),
    ):
        if len(uri) > 1024:
            yield f"{uri!r} has more than 1,024 characters", "shorten the setting `store`"
    variables = request["Environment"]
    if len(variables) > 100:
        yield f"it has {len(variables)} environment variables, and may have 100", "remove some"
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or max(len(name), len(value)) > 512:
            yield (
                f"environment variable {name!r} has no proper name, or more than 512 characters",
                "shorten it",
            )


def _network(request: Mapping[str, Any]) -> Iterator[Fault]:
    if not _ROLE.fullmatch(request["RoleArn"]):
        yield (
            f"{request['RoleArn']!r} is no ARN of a role",
            "correct the setting sagemaker_role: arn:aws:iam::ACCOUNT:role/NAME",
        )
    vpc = request.get("VpcConfig")
    if vpc is None:
        return
    for key, setting, most in (
        ("Subnets", "sagemaker_subnets", 16),
        ("SecurityGroupIds", "sagemaker_security_groups", 5),
    ):
        ids = vpc[key]
        if not 1 <= len(ids) <= most:
            yield (
                f"a training job in a VPC has 1 to {most} of {setting}, not {len(ids)}",
                "set both sagemaker_subnets and sagemaker_security_groups, or neither",
            )
        for name in ids:
            if not _NETWORK_ID.fullmatch(name):
                yield f"{name!r} is no id", f"correct the setting {setting}"


def _resources(request: Mapping[str, Any]) -> Iterator[Fault]:
    told = request["ResourceConfig"]
    is_spot = request.get("EnableManagedSpotTraining", False)
    types = [preference["InstanceType"] for preference in told.get("InstancePreferences", ())]
    if types and (is_spot or "InstanceType" in told or len({*types}) != len(types)):
        yield (
            "several instance types go together neither with one type nor with spot capacity, and "
            "each is named once",
            "report this: it is a mistake of flowyml-aws",
        )
    if len(types) > 5:
        yield "a job names at most 5 instance types", "report this: it is a mistake of flowyml-aws"
    keep_alive_s = told.get("KeepAlivePeriodInSeconds", 0)
    if keep_alive_s > 21_600:
        yield (
            f"an instance is kept for at most 21,600 s, not {keep_alive_s}",
            "lower the setting sagemaker_keep_alive_s",
        )
    if keep_alive_s and (is_spot or types):
        yield (
            "a warm pool has one instance type, and none on spot capacity",
            "report this: it is a mistake of flowyml-aws",
        )
    if not 1 <= told.get("VolumeSizeInGB", 1) <= 16_384:
        yield (
            f"a volume has 1 to 16,384 GiB, not {told['VolumeSizeInGB']}",
            "lower the setting sagemaker_volume_gib, or the storage that the steps ask for",
        )


def _time(request: Mapping[str, Any]) -> Iterator[Fault]:
    told = request["StoppingCondition"]
    runs_s, waits_s = told["MaxRuntimeInSeconds"], told.get("MaxWaitTimeInSeconds")
    if not 1 <= runs_s <= _MONTH_S:
        yield (
            f"a training job may run for at most 28 days ({_MONTH_S:,} s), not {runs_s:,} s",
            "shorten the timeouts of its steps, or the setting sagemaker_max_runtime_s",
        )
    if waits_s is not None and waits_s < runs_s:
        yield (
            f"on spot capacity it may wait and run for {waits_s:,} s together, which is less than "
            f"the {runs_s:,} s that it may run",
            "raise the setting sagemaker_max_wait_s, or shorten the timeouts of its steps",
        )
    if waits_s is not None and "CheckpointConfig" not in request and runs_s > 3600:
        yield (
            "on spot capacity a job without checkpoints may run for an hour",
            "report this: it is a mistake of flowyml-aws",
        )


def _keys(request: Mapping[str, Any]) -> Iterator[Fault]:
    for key, setting in (
        (request["OutputDataConfig"].get("KmsKeyId"), "sagemaker_output_kms_key"),
        (request["ResourceConfig"].get("VolumeKmsKeyId"), "sagemaker_volume_kms_key"),
    ):
        if key is not None and not _KEY.fullmatch(key):
            yield f"{key!r} is no id or ARN of a KMS key", f"correct the setting {setting}"


def _labels(request: Mapping[str, Any]) -> Iterator[Fault]:
    tags = request["Tags"]
    if len(tags) > 50:
        yield f"a job has at most 50 tags, not {len(tags)}", "remove some of the setting `tags`"
    for tag in tags:
        key, value = tag["Key"], tag["Value"]
        if (
            not 1 <= len(key) <= 128
            or len(value) > 256
            or key.lower().startswith("aws:")
            or not all(c.isalnum() or c in "_.:/=+-@ " for c in key + value)
        ):
            yield (
                f"{key!r} = {value!r} is no tag: up to 128 and 256 letters, numbers, spaces and "
                "_.:/=+-@, and no key begins with aws:",
                "correct the setting `tags`",
            )
