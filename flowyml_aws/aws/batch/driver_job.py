"""The driver of a run as a small AWS Batch job, so that the client can exit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.batch import submission as batch_submission
from flowyml_aws.aws.batch.batch_job import BatchJob
from flowyml_aws.aws.batch.calls import (
    UnclearAnswerError,
    never_repeat_submissions,
    submit_job,
)
from flowyml_aws.aws.batch.copies import preferred_copy
from flowyml_aws.aws.batch.definition import JobImage, ensure_definition, ensure_on_fargate
from flowyml_aws.aws.batch.jobs import ListedJob, list_jobs, terminate_job, unended_names
from flowyml_aws.aws.batch.requests import submit_request
from flowyml_aws.aws.errors import refused
from flowyml_aws.aws.names import batch_name
from flowyml_aws.core.clock import uptime_s
from flowyml_aws.core.errors import ArtifactNotFoundError, FlowymlError, SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.environment import RUNNER
from flowyml_aws.planning.needs import Needs
from flowyml_aws.submission.record import DriverRecord, RunRecord

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import SubmitJobRequestTypeDef

__all__ = [
    "DRIVER",
    "DRIVER_NEEDS",
    "driver_problem",
    "driver_request",
    "driver_timeout_s",
    "end_driver",
    "is_on_fargate",
    "start_driver",
]

DRIVER = "driver of the run"
"""Value of a driver's job tag; for other jobs it is the job name."""

_DAY_S = 24 * 3600
_SLACK_S = _DAY_S  # for starts of instances, and waits for quotas
_MAX_S = 14 * _DAY_S  # of a job on Fargate (AWS Batch user guide, "Job timeouts")
# Also a valid Fargate size.
DRIVER_NEEDS = Needs(vcpus=1, memory_mib=2048)
_CALLS = 5  # of SubmitJob that end without an answer


def driver_problem(batch: BatchClient, queue: str | None) -> FlowymlError | None:
    """Return the error that keeps a driver from being started on a queue, or None.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    if queue is None:
        return SettingsError(
            what="Setting `driver_queue` is missing",
            why="jobs on SageMaker, and jobs that wait for decisions, are submitted while the run "
            "continues: without this machine, a small job on a Batch queue has to do so",
            fix="set driver_queue (FLOWYML_AWS_DRIVER_QUEUE) to a queue with CPUs or on Fargate, "
            "or run without --detach and leave this machine on",
        )
    queues = _queues(batch)
    if queue not in queues:
        return SettingsError(
            what=f"Driver queue {queue!r} does not exist",
            why=f"the account's queues are {', '.join(sorted(queues)) or '(none)'}",
            fix=did_you_mean(queue, queues, "correct the setting driver_queue"),
        )
    if (state := queues[queue]["state"]) != "ENABLED":
        return SettingsError(
            what=f"Driver queue {queue!r} accepts no jobs",
            why=f"it is {state}",
            fix="enable it, or correct the setting driver_queue",
        )
    if (status := queues[queue]["status"]) not in ("VALID", "UPDATING"):
        return SettingsError(
            what=f"Driver queue {queue!r} accepts no jobs",
            why=f"it is {status}",
            fix="try again in a minute if it is new; otherwise, create it again with infra/",
        )
    return None


def driver_timeout_s(jobs_s: int | None) -> int:
    """Return the time limit of a driver, so that it costs nothing after it.

    Args:
        jobs_s: Longest time that the jobs of the run can take; None for no limit.
    """
    return _MAX_S if jobs_s is None else min(_MAX_S, jobs_s + _SLACK_S)


def start_driver(
    batch: BatchClient,
    store: ArtifactStore,
    queue: str,
    image: JobImage,
    record: RunRecord,
    environment: Mapping[str, str],
    tags: Mapping[str, str],
    timeout_s: int,
    pause: Callable[[], None],
    clock: Callable[[], float] = uptime_s,
    price_usd_hour: float | None = None,
    options: Sequence[str] = (),
) -> str:
    """Start the driver of a run, and return its job's id.

    A second driver does no harm: each driver finds what the run has already started. Still, if
    Batch does not answer, the job is looked up before Batch is asked again. A driver that is
    started after another one uses its queue.

    Args:
        batch: Batch client.
        store: Store of the run.
        queue: Name of the queue for the driver's job.
        image: Container settings; the image must contain this package.
        record: Record of the run.
        environment: Settings, as environment variables.
        tags: Extra tags, in addition to the run tags.
        timeout_s: Time limit of the driver.
        pause: Function that waits until the next poll.
        clock: Seconds that pass also while this machine is suspended.
        price_usd_hour: Price of the driver's machine, for the costs of the account.
        options: Options of the command that drives the run, `attach`.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    never_repeat_submissions(batch)
    key = RunLayout(record.run_id).driver
    if not store.create(key, DriverRecord(queue=queue, price_usd_hour=price_usd_hour).to_json()):
        queue = _recorded_queue(store, key)
    command = ("python", "-m", "flowyml_aws", "attach", record.run_id, *options)
    name = _job_name(record.run_id)
    request = driver_request(
        batch, queue, image, record, name, command, environment, tags, timeout_s
    )
    doing = f"submit the driver of the run to queue {queue!r}"
    for _ in range(_CALLS - 1):
        try:
            return submit_job(batch, request, doing)
        except UnclearAnswerError:
            asked_at = clock()
            if found := _look_up(batch, queue, record.run_id, asked_at, pause, clock):
                return preferred_copy(found).job_id
    return submit_job(batch, request, doing)


def driver_request(
    batch: BatchClient,
    queue: str,
    image: JobImage,
    record: RunRecord,
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    tags: Mapping[str, str],
    timeout_s: int,
) -> SubmitJobRequestTypeDef:
    """Return the arguments of SubmitJob for a driver, whose definition is registered.

    Args:
        batch: Batch client.
        queue: Name of the queue.
        image: Container settings; the image must contain this package.
        record: Record of the run, for tags.
        name: Name of the job.
        command: Command of the container.
        environment: Settings, as environment variables.
        tags: Extra tags, in addition to the run tags.
        timeout_s: Time limit of the driver.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    if is_on_fargate(batch, queue):
        definition = ensure_on_fargate(batch, image)
    else:
        definition = ensure_definition(batch, image, 64)
    region = {"AWS_DEFAULT_REGION": batch.meta.region_name}
    job = BatchJob(
        name=name,
        planned=DRIVER,
        is_join=False,
        queue=queue,
        after=(),
        command=tuple(command),
        needs=DRIVER_NEEDS,
        timeout_s=timeout_s,
        environment={**RUNNER, **region, **environment},
    )
    return submit_request(job, record, definition, {}, tags)


def end_driver(
    batch: BatchClient, store: ArtifactStore, run_id: str, own_job: str | None
) -> Sequence[str]:
    """Terminate the jobs that drive a run. Return the names of those that are still ending.

    Args:
        batch: Batch client.
        store: Store of the run.
        run_id: The run.
        own_job: Id of the Batch job that this process is in, which is not terminated; or None.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    try:
        queue = _recorded_queue(store, RunLayout(run_id).driver)
    except ArtifactNotFoundError:
        return ()  # a client drives the run
    jobs = _drivers(batch, queue, run_id)
    ending = [job for job in jobs if not job.has_ended and job.job_id != own_job]
    for job in ending:
        terminate_job(batch, job.job_id, f"terminate the driver of run {run_id}, {job.job_id}")
    return unended_names(batch, [job.job_id for job in ending])


def _recorded_queue(store: ArtifactStore, key: str) -> str:
    return read_document(DriverRecord, store.get(key), f"{store.uri}/{key}").queue


def _look_up(
    batch: BatchClient,
    queue: str,
    run_id: str,
    asked_at: float,
    pause: Callable[[], None],
    clock: Callable[[], float],
) -> Sequence[ListedJob]:
    """Return the drivers of a run, once a listing would show one that Batch was asked for.

    Drivers that have ended were started earlier.
    """
    while True:
        listed_at = clock()
        found = [job for job in _drivers(batch, queue, run_id) if not job.has_ended]
        if found:
            return found
        if listed_at - asked_at >= batch_submission.LISTED_AFTER_S:
            return ()
        pause()


def _drivers(batch: BatchClient, queue: str, run_id: str) -> Sequence[ListedJob]:
    name = _job_name(run_id)
    return list_jobs(batch, run_id, [queue], [name]).get(name, ())


def _job_name(run_id: str) -> str:
    # Job names of a plan contain no dot, so this name is unique.
    return batch_name(run_id, "driver.")


def _queues(batch: BatchClient) -> dict[str, Any]:
    try:
        pages = batch.get_paginator("describe_job_queues").paginate()
        return {queue["jobQueueName"]: queue for page in pages for queue in page["jobQueues"]}
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "list the queues of the account") from error


def is_on_fargate(batch: BatchClient, queue: str) -> bool:
    """Return whether the jobs of a queue run on Fargate.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    order = _queues(batch)[queue]["computeEnvironmentOrder"]
    names = [entry["computeEnvironment"] for entry in order]
    try:
        response = batch.describe_compute_environments(computeEnvironments=names)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"describe the compute environments of queue {queue!r}") from error
    kinds = [e.get("computeResources", {}).get("type", "") for e in response["computeEnvironments"]]
    return any(kind.startswith("FARGATE") for kind in kinds)
