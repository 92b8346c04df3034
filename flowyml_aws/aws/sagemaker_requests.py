"""What SageMaker is asked to run for a job of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.aws.names import training_name
from flowyml_aws.aws.sagemaker_terms import TrainingTerms
from flowyml_aws.aws.tags import run_tags
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import (
        CreateTrainingJobRequestTypeDef,
        ResourceConfigTypeDef,
    )

__all__ = ["training_request"]

_SPOT_WAIT_S = 24 * 3600  # for capacity, beside the time that the job may run
_ENTRYPOINT = ("python", "-m", "flowyml_aws.runtime")


def training_request(
    job: PlannedJob, attempt: int, record: RunRecord, store: str, terms: TrainingTerms
) -> CreateTrainingJobRequestTypeDef:
    """The arguments of CreateTrainingJob.

    Args:
        job: What to run.
        attempt: From 1; each has a training job of its own.
        record: Of its run.
        store: URI of the run's store.
        terms: What the run's training jobs have in common.
    """
    layout = RunLayout(record.run_id)
    spec = f"{store}/{layout.spec(job.name)}#sha256={record.specs[job.name]}"
    request: CreateTrainingJobRequestTypeDef = {
        "TrainingJobName": training_name(record.run_id, job.name, attempt),
        "AlgorithmSpecification": {
            "TrainingImage": terms.image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": list(_ENTRYPOINT),
            "ContainerArguments": [spec],
        },
        "RoleArn": terms.role,
        "OutputDataConfig": {"S3OutputPath": f"{store}/{layout.outputs(job.name)}"},
        "ResourceConfig": _resources(job, terms),
        "StoppingCondition": {"MaxRuntimeInSeconds": _max_runtime_s(job, terms)},
        "Environment": {
            "AWS_DEFAULT_REGION": terms.region,
            "FLOWYML_ATTEMPT": str(attempt),
            "PYTHONUNBUFFERED": "1",
        },
        "Tags": [
            {"Key": key, "Value": value}
            for key, value in {**terms.tags, **run_tags(record, job.name)}.items()
        ],
    }
    if terms.output_kms_key:
        request["OutputDataConfig"]["KmsKeyId"] = terms.output_kms_key
    if terms.subnets or terms.security_groups:
        request["VpcConfig"] = {
            "Subnets": list(terms.subnets),
            "SecurityGroupIds": list(terms.security_groups),
        }
    if job.capacity == "spot":
        request["EnableManagedSpotTraining"] = True
        request["CheckpointConfig"] = {"S3Uri": f"{store}/{layout.checkpoints(job.name)}"}
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = (
            terms.max_wait_s or _max_runtime_s(job, terms) + _SPOT_WAIT_S
        )
    return request


def _resources(job: PlannedJob, terms: TrainingTerms) -> ResourceConfigTypeDef:
    # AWS refuses several types together with spot, and a warm pool is of one type.
    is_warm = terms.keep_alive_s > 0 and job.capacity != "spot"
    types: list[Any] = [offer.instance_type for offer in job.offers]  # texts of the catalog
    resources: ResourceConfigTypeDef = {"InstanceCount": 1}
    if len(types) == 1 or is_warm or job.capacity == "spot":
        resources["InstanceType"] = types[0]
    else:
        resources["InstancePreferences"] = [{"InstanceType": name} for name in types]
    if is_warm:
        resources["KeepAlivePeriodInSeconds"] = terms.keep_alive_s
    if job.volume_gib is not None:
        resources["VolumeSizeInGB"] = max(job.volume_gib, terms.volume_gib)
        # Disks of an instance's own are encrypted by its hardware, and AWS refuses a key for them.
        if terms.volume_kms_key:
            resources["VolumeKmsKeyId"] = terms.volume_kms_key
    return resources


def _max_runtime_s(job: PlannedJob, terms: TrainingTerms) -> int:
    return terms.max_runtime_s if job.timeout_s is None else job.timeout_s
