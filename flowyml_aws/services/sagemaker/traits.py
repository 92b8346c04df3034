"""Traits of SageMaker training jobs."""

from __future__ import annotations

from flowyml_aws.catalog.types import InstanceType
from flowyml_aws.planning.services import HostedInstance, ServiceTraits

__all__ = ["TRAITS"]

_MAX_VOLUME_GIB = 16 * 1024  # of gp2 volumes (SageMaker developer guide)


def hosted(instance: InstanceType) -> HostedInstance | None:
    """Return an instance type as SageMaker offers it: under its own name, at its own price."""
    if instance.sagemaker_name is None:
        return None
    storage_gib = _MAX_VOLUME_GIB
    if instance.nvme_gb:
        storage_gib = instance.nvme_gb * 10**9 // 2**30  # no EBS volume in addition to local disks
    return HostedInstance(
        name=instance.sagemaker_name,
        memory_mib=instance.memory_mib,  # the service's own share comes on top
        storage_gib=storage_gib,
        price_usd_hour=instance.sagemaker_price_usd_hour,
        is_estimated=instance.sagemaker_price_estimated,
    )


# CreateTrainingJob in the API reference of SageMaker; FileSystemDataSource for the folders of file
# systems.
_REFUSED = {
    "queue": "a training job starts without a queue",
    "priority": "a training job starts without a queue",
    "shared_memory": "SageMaker decides about /dev/shm of training jobs",
    "ulimits": "a request for a training job has no ulimits",
    "mounts": "training jobs get file systems only as input channels in a VPC, in folders below "
    "/opt/ml/input/data",
    "job_definition": "job definitions are for jobs of AWS Batch",
}

TRAITS = ServiceTraits(
    name="sagemaker",
    title="SageMaker",
    host="account",
    startup_s=240,  # an instance starts and pulls the image
    hosted=hosted,
    keep_alive_setting="sagemaker_keep_alive_s",
    has_job_volumes=True,
    runs_nodes_on_spot=True,
    mounts_prefixes=True,
    refused_options=_REFUSED,
    on_departure="submitted jobs continue, later jobs wait for a client",
)
