"""The permissions that SageMaker needs from the role of a training job, depending on its request.

Source: "CreateTrainingJob API: Execution Role Permissions" in
https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flowyml_aws.testing.iam.permissions import Need

__all__ = ["METRICS_NEED", "key_needs", "network_needs"]

METRICS_NEED = Need(
    "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}
)
"""The use of CPUs, GPUs, memory and disks, as CloudWatch metrics of the job."""

_DESCRIBED = ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
_ON_INTERFACES = (
    "CreateNetworkInterfacePermission",
    "DeleteNetworkInterface",
    "DeleteNetworkInterfacePermission",
)
_ON_OUTPUT_KEY = ("Decrypt", "Encrypt", "GenerateDataKey")


def network_needs(request: Mapping[str, Any], place: str) -> Iterator[Need]:
    """Yield the permissions for the network interfaces of a job with subnets.

    Args:
        request: CreateTrainingJob request.
        place: Region and account, separated by a colon.
    """
    network = request.get("VpcConfig")
    if not network:
        return
    interface = f"arn:aws:ec2:{place}:network-interface/*"
    for kind, ids in (
        ("subnet", network.get("Subnets", ())),
        ("security-group", network.get("SecurityGroupIds", ())),
    ):
        for name in ids:
            yield Need("ec2:CreateNetworkInterface", f"arn:aws:ec2:{place}:{kind}/{name}")
    yield Need("ec2:CreateNetworkInterface", interface)
    for action in _ON_INTERFACES:
        yield Need(f"ec2:{action}", interface)
    for kind in _DESCRIBED:
        yield Need(f"ec2:Describe{kind}")


def key_needs(request: Mapping[str, Any], place: str) -> Iterator[Need]:
    """Yield the permissions for the keys of a job's volume and output.

    Args:
        request: CreateTrainingJob request.
        place: Region and account, separated by a colon.
    """
    if volume_key := request["ResourceConfig"].get("VolumeKmsKeyId"):
        yield Need("kms:CreateGrant", _key_arn(volume_key, place))
    if output_key := request["OutputDataConfig"].get("KmsKeyId"):
        for action in _ON_OUTPUT_KEY:
            yield Need(f"kms:{action}", _key_arn(output_key, place))


def _key_arn(key: str, place: str) -> str:
    return key if key.startswith("arn:") else f"arn:aws:kms:{place}:key/{key}"
