"""A run's driver as a small job on AWS Batch, so that the laptop can leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.batch_definition import JobImage, ensure_definition, ensure_on_fargate
from flowyml_aws.aws.batch_requests import BatchJob, submit_request
from flowyml_aws.aws.errors import refused
from flowyml_aws.aws.names import batch_name
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.needs import Needs
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

__all__ = ["DRIVER", "driver_problem", "start_driver"]

DRIVER = "driver of the run"
"""What the tag of a driver says, where that of another job says its name."""

# A size that Fargate has, too.
_NEEDS = Needs(vcpus=1, memory_mib=2048)


def driver_problem(batch: BatchClient, queue: str | None) -> FlowymlError | None:
    """Why no driver can be started on a queue, or None.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    if queue is None:
        return SettingsError(
            what="Setting `driver_queue` is missing",
            why="SageMaker starts no job after another: without this machine, a small job on a "
            "Batch queue has to drive the run",
            fix="set driver_queue (FLOWYML_AWS_DRIVER_QUEUE) to a queue with CPUs or on Fargate, "
            "or run without --detach and leave this machine on",
        )
    found = _queues(batch)
    if queue not in found:
        return SettingsError(
            what=f"The driver's queue {queue!r} does not exist",
            why=f"the account's queues are {', '.join(sorted(found)) or '(none)'}",
            fix=did_you_mean(queue, found, "correct the setting driver_queue"),
        )
    if (state := found[queue]["state"]) != "ENABLED":
        return SettingsError(
            what=f"The driver's queue {queue!r} takes no jobs",
            why=f"it is {state}",
            fix="enable it, or correct the setting driver_queue",
        )
    return None


def start_driver(
    batch: BatchClient,
    queue: str,
    image: JobImage,
    record: RunRecord,
    environment: Mapping[str, str],
    tags: Mapping[str, str],
) -> str:
    """Start the driver of a run, and return its job's id.

    A second one does no harm: what a run has started is found by any of them.

    Args:
        batch: Client.
        queue: Where it runs.
        image: Has this package.
        record: Of the run.
        environment: Settings, as variables.
        tags: Beside those that name the run.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    if _is_on_fargate(batch, queue):
        definition = ensure_on_fargate(batch, image)
    else:
        definition = ensure_definition(batch, image, 64)
    job = BatchJob(
        # No job of a plan has a dot in its name: so this one's is its own.
        name=batch_name(record.run_id, "driver."),
        planned=DRIVER,
        is_join=False,
        queue=queue,
        after=(),
        command=("python", "-m", "flowyml_aws", "attach", record.run_id),
        needs=_NEEDS,
        timeout_s=None,
    )
    region = {"AWS_DEFAULT_REGION": batch.meta.region_name, "PYTHONUNBUFFERED": "1"}
    request = submit_request(job, record, definition, [], {**region, **environment}, tags)
    try:
        return batch.submit_job(**request)["jobId"]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"submit the driver of the run to queue {queue!r}") from error


def _queues(batch: BatchClient) -> dict[str, Any]:
    try:
        pages = batch.get_paginator("describe_job_queues").paginate()
        return {queue["jobQueueName"]: queue for page in pages for queue in page["jobQueues"]}
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "list the queues of the account") from error


def _is_on_fargate(batch: BatchClient, queue: str) -> bool:
    order = _queues(batch)[queue]["computeEnvironmentOrder"]
    names = [entry["computeEnvironment"] for entry in order]
    try:
        told = batch.describe_compute_environments(computeEnvironments=names)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"look at the compute environments of queue {queue!r}") from error
    kinds = [e.get("computeResources", {}).get("type", "") for e in told["computeEnvironments"]]
    return any(kind.startswith("FARGATE") for kind in kinds)
