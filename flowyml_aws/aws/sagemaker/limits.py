"""Validation of CreateTrainingJob requests before the call.

boto3 checks neither patterns nor maxima, and reports one fault at a time. Sources: the API
reference of SageMaker (CreateTrainingJob, ResourceConfig, StoppingCondition,
AlgorithmSpecification, VpcConfig, Tag), which botocore's service model also contains, and its
descriptions of options that exclude each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flowyml_aws.aws.tags import tag_faults
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import FlowymlError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

__all__ = ["training_request_errors"]

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_ROLE = re.compile(r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+")
_KEY = re.compile(r"[a-zA-Z0-9:/_-]{1,2048}")
_NETWORK_ID = re.compile(r"[-0-9a-zA-Z]{1,32}")
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_MAX_CHANNELS = 20
_MONTH_S = 28 * 24 * 3600
_BUG = "report this: it is a bug in flowyml-aws"

Fault = tuple[str, str]
"""Reason for the refusal, and fix."""


def training_request_errors(
    request: CreateTrainingJobRequestTypeDef, job: str
) -> list[FlowymlError]:
    """Return the reasons for which AWS would refuse a training job; empty if there are none.

    Args:
        request: Arguments of CreateTrainingJob.
        job: Name of the job in the plan.
    """
    arguments: Mapping[str, Any] = request
    checks = (_naming, _program, _channels, _network, _resources, _disks, _time, _keys, _labels)
    return [
        SettingsError(what=f"SageMaker would refuse job {job!r}", why=why, fix=fix)
        for check in checks
        for why, fix in check(arguments)
    ]


def _naming(request: Mapping[str, Any]) -> Iterator[Fault]:
    name = request["TrainingJobName"]
    if len(name) > 63 or not _NAME.fullmatch(name):
        yield f"training job name {name!r} is invalid", "give the pipeline a shorter name"


def _program(request: Mapping[str, Any]) -> Iterator[Fault]:
    program = request["AlgorithmSpecification"]
    if not program["TrainingImage"]:
        yield "it has no image", "set image or sagemaker_image"
    if len(program["TrainingImage"]) > 255:
        yield "the image's URI has more than 255 characters", "use a shorter tag for the image"
    for argument in (*program["ContainerEntrypoint"], *program["ContainerArguments"]):
        if len(argument) > 256:
            yield (
                "a container argument can have at most 256 characters, but "
                f"{argument!r} has {len(argument)}",
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
        yield (
            f"it can have at most 100 environment variables, not {len(variables)} (flowyml-aws "
            "sets some itself)",
            "remove some of env=",
        )
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name):
            yield f"environment variable {name!r} has an invalid name", "correct it"
        for part, length in (("name", len(name)), ("value", len(value))):
            if length > 512:
                yield (
                    f"the {part} of environment variable {name!r} can have at most 512 characters, "
                    f"not {length}",
                    "shorten it, or send the value in a file of the project",
                )


def _channels(request: Mapping[str, Any]) -> Iterator[Fault]:
    channels = request.get("InputDataConfig", ())
    if len(channels) > _MAX_CHANNELS:
        yield (
            f"it can mount at most {_MAX_CHANNELS} prefixes of S3, not {len(channels)}",
            'omit mode="mount" of some inputs, or use a common prefix',
        )


def _network(request: Mapping[str, Any]) -> Iterator[Fault]:
    if not _ROLE.fullmatch(request["RoleArn"]):
        yield (
            f"{request['RoleArn']!r} is not a valid role ARN",
            "set sagemaker_role to an ARN such as arn:aws:iam::ACCOUNT:role/NAME",
        )
    vpc = request.get("VpcConfig")
    if vpc is None:
        return
    for key, setting, maximum in (
        ("Subnets", "sagemaker_subnets", 16),
        ("SecurityGroupIds", "sagemaker_security_groups", 5),
    ):
        ids = vpc[key]
        if not 1 <= len(ids) <= maximum:
            yield (
                f"a training job in a VPC needs 1 to {maximum} {setting}, not {len(ids)}",
                "set both sagemaker_subnets and sagemaker_security_groups, or neither",
            )
        for name in ids:
            if not _NETWORK_ID.fullmatch(name):
                yield f"{name!r} is not a valid id", f"correct the setting {setting}"


def _resources(request: Mapping[str, Any]) -> Iterator[Fault]:
    resources = request["ResourceConfig"]
    is_spot = request.get("EnableManagedSpotTraining", False)
    types = [preference["InstanceType"] for preference in resources.get("InstancePreferences", ())]
    if types and (is_spot or "InstanceType" in resources or len({*types}) != len(types)):
        yield (
            "InstancePreferences can't be combined with InstanceType or spot capacity, and can't "
            "contain a type twice",
            _BUG,
        )
    if len(types) > 5:
        yield "a job can have at most 5 instance types", _BUG
    keep_alive_s = resources.get("KeepAlivePeriodInSeconds", 0)
    if keep_alive_s > 21_600:
        yield (
            f"an instance can be kept alive for at most 21,600 s, not {keep_alive_s}",
            "lower the setting sagemaker_keep_alive_s",
        )
    if keep_alive_s and (is_spot or types):
        yield (
            "a warm pool has a single instance type, and can't use spot capacity",
            _BUG,
        )
    if not 1 <= resources.get("VolumeSizeInGB", 1) <= 16_384:
        yield (
            f"a volume can have 1 to 16,384 GiB, not {resources['VolumeSizeInGB']}",
            "lower the setting sagemaker_volume_gib, or the storage that the steps request",
        )


def _disks(request: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the faults of volumes: types with local disks have none, all other types need one."""
    resources = request["ResourceConfig"]
    preferences = resources.get("InstancePreferences") or (resources,)
    names = [preference["InstanceType"] for preference in preferences]
    catalog = load_catalog()
    known = [instance for name in names if (instance := catalog.get(name)) is not None]
    local = [name for name in names if (found := catalog.get(name)) and found.nvme_gb]
    if local and "VolumeKmsKeyId" in resources:
        yield (
            f"{local[0]} has local disks, which the hardware encrypts: a volume key is refused",
            _BUG,
        )
    if local and len(local) < len(known):
        yield (
            f"{', '.join(names)} can't be combined: some have local disks, others need a volume",
            _BUG,
        )


def _time(request: Mapping[str, Any]) -> Iterator[Fault]:
    limits = request["StoppingCondition"]
    max_runtime_s, max_wait_s = limits["MaxRuntimeInSeconds"], limits.get("MaxWaitTimeInSeconds")
    if not 1 <= max_runtime_s <= _MONTH_S:
        yield (
            f"a training job can run for at most 28 days ({_MONTH_S:,} s), not {max_runtime_s:,} s",
            "shorten the timeouts of its steps, or the setting sagemaker_max_runtime_s",
        )
    if max_wait_s is not None and max_wait_s < max_runtime_s:
        yield (
            f"its limit for waiting and running on spot capacity, {max_wait_s:,} s, is less than "
            f"its maximum runtime, {max_runtime_s:,} s",
            "raise the setting sagemaker_max_wait_s, or shorten the timeouts of its steps",
        )
    if max_wait_s is not None and "CheckpointConfig" not in request and max_runtime_s > 3600:
        yield (
            "on spot capacity, a job without checkpoints can run for at most an hour",
            _BUG,
        )


def _keys(request: Mapping[str, Any]) -> Iterator[Fault]:
    for key, setting in (
        (request["OutputDataConfig"].get("KmsKeyId"), "sagemaker_output_kms_key"),
        (request["ResourceConfig"].get("VolumeKmsKeyId"), "sagemaker_volume_kms_key"),
    ):
        if key is not None and not _KEY.fullmatch(key):
            yield f"{key!r} is not a valid KMS key id or ARN", f"correct the setting {setting}"


def _labels(request: Mapping[str, Any]) -> Iterator[Fault]:
    return tag_faults({tag["Key"]: tag["Value"] for tag in request["Tags"]})
