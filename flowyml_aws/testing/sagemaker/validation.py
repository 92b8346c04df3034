"""Rules of CreateTrainingJob that the service model does not contain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.testing.sagemaker.constraints import check_constraints, operation_input
from flowyml_aws.testing.sagemaker.errors import ValidationException

__all__ = [
    "DEFAULT_MAX_RUNTIME_S",
    "check_creation",
    "check_request",
    "instance_count",
    "instance_types",
]

DEFAULT_MAX_RUNTIME_S = 24 * 3600
_MAX_RUNTIME_S = 28 * 24 * 3600
_NOT_EMULATED = (
    *("ServerlessJobConfig", "ModelPackageConfig", "MlflowConfig", "ExperimentConfig"),
    *("SessionChainingConfig", "InfraCheckConfig", "TensorBoardOutputConfig"),
)


def check_request(operation: str, request: Mapping[str, Any]) -> None:
    """Check each member of a request against the service model.

    Raises:
        ValidationException: AWS would reject the request.
    """
    check_constraints(operation_input("sagemaker", operation), request)


def check_creation(request: Mapping[str, Any]) -> None:
    """Check a CreateTrainingJob request.

    Raises:
        ValidationException: AWS would reject the request, or the emulator can't run the job.
    """
    check_request("CreateTrainingJob", request)
    for member in _NOT_EMULATED:
        if request.get(member):
            raise ValidationException(f"flowyml_aws.testing does not emulate {member}")
    for member in ("AlgorithmSpecification", "ResourceConfig"):
        if not request.get(member):
            raise ValidationException(f"{member} is required for a training job on instances")
    algorithm = request["AlgorithmSpecification"]
    if algorithm.get("AlgorithmName") or not algorithm.get("TrainingImage"):
        raise ValidationException("flowyml_aws.testing supports images only: set TrainingImage")
    _check_tags(request.get("Tags") or ())
    is_spot = bool(request.get("EnableManagedSpotTraining"))
    _check_times(request.get("StoppingCondition") or {}, is_spot)
    _check_resources(request["ResourceConfig"], is_spot)


def instance_types(resources: Mapping[str, Any]) -> list[str]:
    """Return the instance types that a job may run on, in order of preference."""
    if preferences := resources.get("InstancePreferences"):
        return [preference["InstanceType"] for preference in preferences]
    return [resources["InstanceType"]]


def instance_count(resources: Mapping[str, Any]) -> int:
    """Return the number of instances of a job: the same for each type that it may run on."""
    preferences: Sequence[Mapping[str, Any]] = resources.get("InstancePreferences") or ()
    counts = [each["InstanceCount"] for each in preferences if "InstanceCount" in each]
    return int(resources.get("InstanceCount") or max(counts))


def _check_tags(tags: Sequence[Mapping[str, str]]) -> None:
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) < len(keys):
        raise ValidationException("Duplicate tag keys found")
    if any(key.lower().startswith("aws:") for key in keys):
        raise ValidationException("aws: prefixed tag key names are not allowed for external use")


def _check_times(times: Mapping[str, int], is_spot: bool) -> None:
    runtime_s = times.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_S)
    wait_s = times.get("MaxWaitTimeInSeconds")
    if runtime_s > _MAX_RUNTIME_S:
        raise ValidationException(
            f"Invalid MaxRuntimeInSeconds. It must be at most {_MAX_RUNTIME_S}"
        )
    if is_spot and (wait_s is None or wait_s < runtime_s):
        raise ValidationException(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds"
        )
    if wait_s is not None and not is_spot:
        raise ValidationException(
            "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is "
            "set to true"
        )


def _check_resources(resources: Mapping[str, Any], is_spot: bool) -> None:
    for member in ("InstanceGroups", "TrainingPlanArn", "InstancePlacementConfig"):
        if resources.get(member):
            raise ValidationException(f"flowyml_aws.testing does not emulate {member}")
    for member in ("SelectedInstanceType", "SelectedInstanceCount"):
        if member in resources:
            raise ValidationException(f"{member} is read-only")
    _check_types(resources, is_spot)
    if resources.get("KeepAlivePeriodInSeconds") and is_spot:
        raise ValidationException(
            "KeepAlivePeriodInSeconds is not supported when EnableManagedSpotTraining is set to "
            "true"
        )
    volume_gb = resources.get("VolumeSizeInGB")
    for name in instance_types(resources):
        instance_type = load_catalog().get(name)
        disk_gb = instance_type.nvme_gb if instance_type else 0
        if not volume_gb and not disk_gb:
            raise ValidationException(f"VolumeSizeInGB is required for instance type {name}")
        if disk_gb and resources.get("VolumeKmsKeyId"):
            raise ValidationException(
                f"VolumeKmsKeyId is not supported for instance type {name} with local storage"
            )
        if volume_gb and disk_gb and volume_gb > disk_gb:
            raise ValidationException(
                f"VolumeSizeInGB {volume_gb} is larger than the {disk_gb} GB of local storage that "
                f"instance type {name} has"
            )


def _check_types(resources: Mapping[str, Any], is_spot: bool) -> None:
    preferences: Sequence[Mapping[str, Any]] = resources.get("InstancePreferences") or ()
    count: int | None = resources.get("InstanceCount")
    if not preferences:
        if not resources.get("InstanceType"):
            raise ValidationException("ResourceConfig needs InstanceType or InstancePreferences")
        if not count:
            raise ValidationException("InstanceCount must be at least 1")
        return
    if resources.get("InstanceType") or is_spot:
        raise ValidationException(
            "InstancePreferences is mutually exclusive with InstanceType, InstanceGroups, "
            "InstancePlacementConfig and EnableManagedSpotTraining"
        )
    names = instance_types(resources)
    if len(set(names)) < len(names):
        raise ValidationException("An instance type can appear only once in InstancePreferences")
    counts = [p["InstanceCount"] for p in preferences if p.get("InstanceCount") is not None]
    if len(counts) != (len(preferences) if count is None else 0):
        raise ValidationException(
            "InstanceCount must be set on every one of InstancePreferences, or in ResourceConfig"
        )
    if len(set(counts)) > 1:
        raise ValidationException(
            "flowyml_aws.testing emulates the same InstanceCount for all InstancePreferences only"
        )
    if 0 in (count, *counts):
        raise ValidationException("InstanceCount must be at least 1")
