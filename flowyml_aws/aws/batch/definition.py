"""Job definitions, named by the hash of their content: few, and reused by every run.

They contain only what a submission cannot override; CPU, memory, GPUs and the command are
overrides. They belong to the client, not to the infrastructure code: infrastructure tools
deregister old revisions on update, which breaks running clients.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.batch.batch_job import BatchJob
from flowyml_aws.aws.batch.container_options import with_job_options
from flowyml_aws.aws.batch.efa import with_efa
from flowyml_aws.aws.batch.nodes import ALL_NODES, MAIN_NODE
from flowyml_aws.aws.errors import refused
from flowyml_aws.core.job_options import NO_OPTIONS, JobOptions

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

__all__ = [
    "DEFINITION_TAGS",
    "DefinitionKind",
    "JobImage",
    "ensure_definition",
    "ensure_kind",
    "ensure_on_fargate",
    "shared_memory_mib",
]

DEFINITION_TAGS = {"flowyml-aws": "job-definition"}
"""Tags of every job definition, which Batch adds to those of the containers of its jobs."""

_MIN_SHARED_MIB = 64  # Docker's default


@dataclass(frozen=True, slots=True)
class JobImage:
    """Container settings that all jobs of a run share.

    Attributes:
        image: URI of the container image.
        job_role: ARN of the role that the job's code uses, or None.
        execution_role: ARN of the role that pulls the image and its secrets, or None.
        log_group: Name of the CloudWatch log group.
        debug_shell: Whether shells can be opened in the jobs.
    """

    image: str
    job_role: str | None
    execution_role: str | None
    log_group: str
    debug_shell: bool = False


class DefinitionKind(NamedTuple):
    """The properties of a job that its job definition contains.

    Attributes:
        shared_mib: Size of /dev/shm in MiB.
        secrets: References to secrets, by environment variable.
        has_nodes: Whether the job has several nodes.
        efa_interfaces: Elastic Fabric Adapters of the container of each node.
        options: Its other options, without those that a submission contains.
    """

    shared_mib: int
    secrets: tuple[tuple[str, str], ...]
    has_nodes: bool
    efa_interfaces: int
    options: JobOptions = NO_OPTIONS

    @classmethod
    def of(cls, job: BatchJob) -> DefinitionKind:
        """Return the kind of definition that a job needs."""
        return cls(
            job.options.shared_memory_mib or shared_memory_mib(job.needs.memory_mib),
            tuple(sorted(job.secrets.items())),
            job.needs.nodes > 1,
            job.efa_interfaces,
            replace(job.options, queue=None, priority=None, shared_memory_mib=None),
        )


def shared_memory_mib(memory_mib: int) -> int:
    """Return the size of /dev/shm for a job: half its memory, rounded down to a power of two.

    Powers of two keep the number of definitions low. With Docker's default of 64 MiB, PyTorch's
    data loaders crash with a bus error.
    """
    half = max(_MIN_SHARED_MIB, memory_mib // 2)
    return 1 << (half.bit_length() - 1)


def ensure_kind(client: BatchClient, image: JobImage, kind: DefinitionKind) -> str:
    """Return the name of an active definition of a kind; register it if it does not exist.

    A definition that the user names is not looked up: its jobs are submitted with it as it is.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    if kind.options.job_definition is not None:
        return kind.options.job_definition
    container = _on_ec2(image, kind.shared_mib, dict(kind.secrets))
    container = with_job_options(with_efa(container, kind.efa_interfaces), kind.options)
    return _ensure(client, *(_multinode(container) if kind.has_nodes else _on_one(container)))


def ensure_definition(client: BatchClient, image: JobImage, shared_mib: int) -> str:
    """Return the name of an active definition without options; register it if it does not exist.

    Args:
        client: Batch client.
        image: Container settings of the jobs.
        shared_mib: Size of /dev/shm in MiB.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    return ensure_kind(client, image, DefinitionKind(shared_mib, (), False, 0))


def ensure_on_fargate(client: BatchClient, image: JobImage) -> str:
    """Return the name of an active Fargate definition; register it if it does not exist.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    return _ensure(client, *_on_one(_on_fargate(image), "FARGATE"))


def _on_one(
    container: dict[str, Any], platform: str = "EC2"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of a definition for jobs on one machine, and its members."""
    members = {
        "type": "container",
        "platformCapabilities": [platform],
        "containerProperties": container,
    }
    return container, members


def _multinode(container: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of a definition for jobs on any number of equal nodes, and its members."""
    properties = {
        "numNodes": 2,  # required, but overridden by every submission
        "mainNode": MAIN_NODE,
        "nodeRangeProperties": [{"targetNodes": ALL_NODES, "container": container}],
    }
    members = {
        "type": "multinode",
        "platformCapabilities": ["EC2"],
        "nodeProperties": properties,
    }
    return properties, members


def _ensure(client: BatchClient, properties: dict[str, Any], members: dict[str, Any]) -> str:
    """Return the name of an active definition; register it if it does not exist.

    Args:
        client: Batch client.
        properties: Content of the definition, whose hash is its name.
        members: Members of RegisterJobDefinition with this content.
    """
    content = json.dumps(properties, sort_keys=True)
    name = f"flowyml-aws-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    try:
        existing = client.describe_job_definitions(
            jobDefinitionName=name, status="ACTIVE", maxResults=1
        )
        if not existing["jobDefinitions"]:
            client.register_job_definition(jobDefinitionName=name, tags=DEFINITION_TAGS, **members)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"register job definition {name}") from error
    return name


def _on_ec2(image: JobImage, shared_mib: int, secrets: Mapping[str, str]) -> dict[str, Any]:
    listed = [{"name": name, "valueFrom": secrets[name]} for name in sorted(secrets)]
    return {
        **_common(image),
        **({"secrets": listed} if listed else {}),
        **({"enableExecuteCommand": True} if image.debug_shell else {}),
        # An init process forwards signals and reaps orphans of the user's code.
        "linuxParameters": {"sharedMemorySize": shared_mib, "initProcessEnabled": True},
    }


def _on_fargate(image: JobImage) -> dict[str, Any]:
    return {
        **_common(image),
        "linuxParameters": {"initProcessEnabled": True},
        # Required for internet access in a public subnet; no effect in a private one.
        "networkConfiguration": {"assignPublicIp": "ENABLED"},
    }


def _common(image: JobImage) -> dict[str, Any]:
    roles = {"jobRoleArn": image.job_role, "executionRoleArn": image.execution_role}
    return {
        "image": image.image,
        # Required in a definition, but overridden by every submission.
        "resourceRequirements": [
            {"type": "VCPU", "value": "1"},
            {"type": "MEMORY", "value": "2048"},
        ],
        "command": ["true"],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": image.log_group},
        },
        **{key: role for key, role in roles.items() if role},
    }
