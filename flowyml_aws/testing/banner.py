"""Description of an emulator for its users: how jobs run, and what differs from AWS."""

from __future__ import annotations

import platform
from collections.abc import Sequence

__all__ = ["describe"]

_SERVICES = (
    "S3, Batch, SageMaker training jobs, CloudWatch Logs, IAM, STS, EC2, ECR, SSM, Service Quotas "
    "and the Price List API"
)


def describe(engine: str | None, image: str, lenient: Sequence[str]) -> list[str]:
    """Return lines about an emulator.

    Args:
        engine: Name of the container engine that runs the jobs; None if they are processes.
        image: Image of the jobs.
        lenient: Switches that allow behavior that AWS does not have, each with its effect.
    """
    if engine is None:
        jobs = (
            f"processes of Python {platform.python_version()} on this machine "
            "(with --containers IMAGE: in containers, with their image, user and memory limit)"
        )
    else:
        jobs = f"containers of {image}, with {engine}"
    return [
        f"jobs: {jobs}",
        f"emulated: {_SERVICES}, with the limits, states and errors of AWS",
        "not emulated: machines with their GPUs, disks and networks; bills; other services",
        f"lenient: {'; '.join(lenient) or 'nothing'}",
    ]
