"""CreateTrainingJob requests for the jobs of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.aws.names import training_name
from flowyml_aws.aws.sagemaker.options import TrainingOptions
from flowyml_aws.aws.tags import run_tags
from flowyml_aws.planning.cost_shares import attempt_limit_s
from flowyml_aws.planning.data import channel_names
from flowyml_aws.planning.environment import container_environment
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker.type_defs import (
        ChannelTypeDef,
        CreateTrainingJobRequestTypeDef,
        ResourceConfigTypeDef,
    )

__all__ = ["knows_preferences", "requires_volume", "time_limit_s", "training_request"]

_SPOT_WAIT_S = 24 * 3600  # for capacity, in addition to the maximum runtime
# NVIDIA's container runtime shows no GPU to an image that does not ask for one. On Batch, ECS sets
# the variable to the GPUs of the job; SageMaker leaves it to the image.
_GPU_ENVIRONMENT = {"NVIDIA_VISIBLE_DEVICES": "all"}
# SageMaker creates no volume for a type with local disks, if the size is not above theirs.
_UNUSED_VOLUME_GIB = 30
_ENTRYPOINT = ("python", "-m", "flowyml_aws.job")


def training_request(
    job: PlannedJob, attempt: int, record: RunRecord, store: str, options: TrainingOptions
) -> CreateTrainingJobRequestTypeDef:
    """Return the arguments of CreateTrainingJob.

    Args:
        job: Job to run.
        attempt: Number of the attempt, from 1; each attempt is a separate training job.
        record: Record of the run.
        store: URI of the run's store.
        options: Options of the run's training jobs.
    """
    layout = RunLayout(record.run_id)
    request: CreateTrainingJobRequestTypeDef = {
        "TrainingJobName": training_name(record.run_id, job.name, attempt),
        "AlgorithmSpecification": {
            "TrainingImage": job.options.image or options.image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": list(_ENTRYPOINT),
            "ContainerArguments": [record.spec_argument(job.name, store)],
        },
        "RoleArn": job.options.role or options.role,
        "OutputDataConfig": {"S3OutputPath": f"{store}/{layout.outputs(job.name)}"},
        "ResourceConfig": _resources(job, options),
        "StoppingCondition": {"MaxRuntimeInSeconds": _max_runtime_s(job, options)},
        "Environment": {
            **(_GPU_ENVIRONMENT if job.needs.gpu_count else {}),
            **container_environment(job, options.region),
            "FLOWYML_ATTEMPT": str(attempt),
        },
        "Tags": [
            {"Key": key, "Value": value}
            for key, value in {**options.tags, **run_tags(record, job.name)}.items()
        ],
    }
    if job.mounts:
        request["InputDataConfig"] = [
            _channel(name, job.mounts[asset]) for asset, name in channel_names(job.mounts).items()
        ]
    if options.output_kms_key:
        request["OutputDataConfig"]["KmsKeyId"] = options.output_kms_key
    if options.subnets or options.security_groups:
        request["VpcConfig"] = {
            "Subnets": list(options.subnets),
            "SecurityGroupIds": list(options.security_groups),
        }
    if options.debug_shell:
        request["RemoteDebugConfig"] = {"EnableRemoteDebug": True}
    if job.capacity == "spot":
        request["EnableManagedSpotTraining"] = True
        request["CheckpointConfig"] = {"S3Uri": f"{store}/{layout.checkpoints(job.name)}"}
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = time_limit_s(job, options)
    return request


def _channel(name: str, uri: str) -> ChannelTypeDef:
    """Return a channel whose objects are read while the container reads the files.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-access-training-data.html
    """
    return {
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


def time_limit_s(job: PlannedJob, options: TrainingOptions) -> int:
    """Return the seconds after which SageMaker ends a job, with its wait for spot capacity."""
    if job.capacity != "spot":
        return _max_runtime_s(job, options)
    return options.max_wait_s or _max_runtime_s(job, options) + _SPOT_WAIT_S


def knows_preferences(client: SageMakerClient) -> bool:
    """Return whether boto3 can request several instance types for a job: from 1.43.90 on."""
    return "InstancePreferences" in _resource_shape(client).members


def requires_volume(client: SageMakerClient) -> bool:
    """Return whether boto3 requires a volume size for every type, as older versions do."""
    return "VolumeSizeInGB" in _resource_shape(client).required_members


def _resource_shape(client: SageMakerClient) -> Any:  # a structure, unlike the stubs say
    return client.meta.service_model.shape_for("ResourceConfig")


def _resources(job: PlannedJob, options: TrainingOptions) -> ResourceConfigTypeDef:
    # AWS refuses several types on spot capacity, and a warm pool has a single type.
    is_warm = options.keep_alive_s > 0 and job.capacity != "spot"
    types: list[Any] = [offer.instance_type for offer in job.offers]  # any name in the catalog
    resources: ResourceConfigTypeDef = {"InstanceCount": job.needs.nodes}
    if len(types) == 1 or is_warm or job.capacity == "spot" or not options.has_preferences:
        resources["InstanceType"] = types[0]
    else:
        resources["InstancePreferences"] = [{"InstanceType": name} for name in types]
    if is_warm:
        resources["KeepAlivePeriodInSeconds"] = options.keep_alive_s
    if job.volume_gib is not None:
        resources["VolumeSizeInGB"] = max(job.volume_gib, options.volume_gib)
        # Instance store volumes are encrypted by the hardware, and AWS refuses a key for them.
        if options.volume_kms_key:
            resources["VolumeKmsKeyId"] = options.volume_kms_key
    elif options.needs_volume:
        resources["VolumeSizeInGB"] = _UNUSED_VOLUME_GIB
    return resources


def _max_runtime_s(job: PlannedJob, options: TrainingOptions) -> int:
    limit_s = attempt_limit_s(job)
    if limit_s is None:
        return options.max_runtime_s
    return limit_s if job.timeout_s is not None else min(limit_s, options.max_runtime_s)
