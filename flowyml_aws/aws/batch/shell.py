"""A shell in a job of AWS Batch: ECS Exec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.shell_sessions import (
    no_session,
    not_requested,
    not_running,
    plugin_session,
    require_plugin,
)
from flowyml_aws.submission.backend import ShellSession

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

__all__ = ["knows_shells", "open_batch_session", "open_batch_shell"]


def knows_shells(client: BatchClient) -> bool:
    """Return whether boto3 can request shells in jobs of Batch."""
    shape: Any = client.meta.service_model.shape_for("ContainerProperties")
    return "enableExecuteCommand" in shape.members


def open_batch_shell(ecs: Any, detail: Any, job: str, shell: str) -> ShellSession:
    """Open a shell in the container of a job, for the Session Manager plugin of this machine.

    Args and errors: same as in `open_batch_session`.

    Raises:
        StepUnavailableError: The plugin is not installed.
    """
    _task_of(detail, job)
    require_plugin()
    return open_batch_session(ecs, detail, job, shell)


def open_batch_session(ecs: Any, detail: Any, job: str, shell: str) -> ShellSession:
    """Open a session in the container of a job. The plugin need not be installed.

    Batch's containers are alone in their tasks, so that ECS needs no name of one.

    Args:
        ecs: ECS client.
        detail: The job, or a node of one, as DescribeJobs returns it.
        job: Name of the job, for errors.
        shell: Program to start in the container.

    Raises:
        StepUnavailableError: The job does not run, or was submitted without a shell.
        AwsRefusedError: AWS denied the call, or can't connect to the container.
    """
    task = _task_of(detail, job)
    # arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID
    _, cluster, task_id = task.rpartition(":")[2].split("/")
    try:
        described = ecs.describe_tasks(cluster=cluster, tasks=[task])["tasks"]
        answer = ecs.execute_command(cluster=cluster, task=task, interactive=True, command=shell)
    except (ClientError, BotoCoreError) as error:
        raise no_session(job, error) from error
    runtimes = [container["runtimeId"] for each in described for container in each["containers"]]
    target = f"ecs:{cluster}_{task_id}_{next(iter(runtimes), '')}"
    return plugin_session(answer["session"], ecs, target)


def _task_of(detail: Any, job: str) -> str:
    """Return the ARN of the task of a job in which a shell can be opened.

    Raises:
        StepUnavailableError: The job does not run, or was submitted without a shell.
    """
    container = detail.get("container", {})
    if detail["status"] != "RUNNING" or "taskArn" not in container:
        raise not_running(job, f"AWS Batch reports {detail['status']}")
    if not container.get("enableExecuteCommand"):
        raise not_requested(job)
    return str(container["taskArn"])
