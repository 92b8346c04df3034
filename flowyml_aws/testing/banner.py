"""Description of an emulator for its users: how jobs run, and what differs from AWS."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence

from flowyml_aws.testing.quotas import QuotaLevel

__all__ = ["describe"]

_SERVICES = (
    "S3, Batch, SageMaker training jobs, shells in jobs, CloudWatch Logs, IAM, STS, EC2, ECR, SSM, "
    "Secrets Manager, Service Quotas and the Price List API"
)
_QUOTAS: Mapping[QuotaLevel, str] = {
    "new-account": "those of a new account, without GPUs and with 5 vCPUs at a time on Batch "
    "(--quotas raised for more)",
    "raised": "raised; a real account must request them (Service Quotas)",
}


def describe(
    engine: str | None,
    image: str | None,
    quotas: QuotaLevel,
    disks: str,
    lenient: Sequence[str],
    *,
    has_image_user: bool,
    node_families: Sequence[str],
    registry: str,
    is_empty: bool,
    deviations: Sequence[str],
) -> list[str]:
    """Return lines about an emulator.

    Args:
        engine: Name of the container engine that runs the jobs; None if they are processes.
        image: Image of the jobs; None if each job has its own.
        quotas: Quotas of the account.
        disks: Whether the disks of jobs are limited, as a sentence.
        lenient: Switches that allow behavior that AWS does not have, each with its effect.
        has_image_user: Whether jobs run as the user of an image.
        node_families: Families that have a queue for jobs on several nodes.
        registry: Address of the registry.
        is_empty: Whether the account has no resources at the start.
        deviations: Planted deviations from AWS, each with its effect.
    """
    if engine is None:
        jobs = (
            f"processes of Python {platform.python_version()} on this machine "
            "(with --containers IMAGE or --job-images: in containers, with their image, user and "
            "memory limit)"
        )
    else:
        jobs = f"containers of {image or 'the images that they name'}, with {engine}"
    account = "like one from infra/, with the credentials of its user role"
    if node_families:
        account += f"; queues for jobs on several nodes for {', '.join(node_families)}"
    if is_empty:
        account = "empty, with the credentials of an administrator: set it up with infra/"
    return [
        f"account: {account}",
        f"jobs: {jobs}",
        f"emulated: {_SERVICES}, with the limits, states and errors of AWS",
        "not emulated: machines with their GPUs, disks and networks; bills; other services",
        "permissions: those of infra/, checked for every call",
        f"quotas: {_QUOTAS[quotas]}",
        f"registry: {registry}, for images of ECR; `flowyml-aws image push` pushes there",
        disks,
        f"instance metadata: {_metadata(has_image_user)}",
        f"lenient: {'; '.join(lenient) or 'nothing'}",
        *([f"planted deviations: {'; '.join(deviations)}"] if deviations else []),
    ]


def _metadata(has_image_user: bool) -> str:
    """Return whether jobs are kept from the instance metadata, and why not."""
    if not sys.platform.startswith("linux"):
        return "jobs can reach it, because only Linux has the user of a connection"
    if not has_image_user:
        return "jobs can reach it, because they run as the emulator's own user"
    return "out of reach for the user of the images, as in infra/"
