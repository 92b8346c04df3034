"""AWS Batch's operations on jobs, implemented with the emulator's scheduler.

moto (5.2) stores the account: compute environments, queues, job definitions, log streams, buckets,
roles. Its code is not patched; only the p3 family is added to its list while an emulator runs (see
`account`). This module handles the requests for which moto is not sufficient:

- SubmitJob, DescribeJobs, ListJobs, CancelJob and TerminateJob are handled here. moto needs Docker
  to run a job, and ignores retry strategies, resource overrides, exit codes, capacity, pages and
  request limits.
- RegisterJobDefinition is validated as in AWS. moto validates little, and copies members missing
  from a revision from the previous revision.
- DescribeJobDefinitions also accepts `name:revision`.
- moto is not thread-safe. `server` passes on one request at a time, so a conditional put is atomic
  and a listing never overlaps a put.

Not emulated: nodes of a job that differ, Fargate, EKS, the balance of shares (`shares`), mounts and
ulimits (`mounts`). Images and memory limits are not emulated either when jobs run as processes.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from moto.batch.models import BatchBackend, JobDefinition, JobQueue, batch_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.testing.api import Handler, Rewrite
from flowyml_aws.testing.batch.account import BatchAccount
from flowyml_aws.testing.batch.arrays import add_children, check_dependencies
from flowyml_aws.testing.batch.jobs import Job
from flowyml_aws.testing.batch.listing import list_jobs
from flowyml_aws.testing.batch.nodes import (
    add_nodes,
    check_node_properties,
    main_container,
)
from flowyml_aws.testing.batch.queues import Queues, snapshot
from flowyml_aws.testing.batch.scheduler import Scheduler
from flowyml_aws.testing.batch.shares import check_share
from flowyml_aws.testing.batch.validation import (
    TOO_MANY_TAGS,
    ClientException,
    check_job_definition,
    check_reason,
    check_submission,
    has_too_many_tags,
)
from flowyml_aws.testing.clock import Clock
from flowyml_aws.testing.machines.addresses import Addresses

__all__ = ["BatchApi"]

_MAX_DESCRIBED = 100


class BatchApi:
    """AWS Batch's operations on jobs.

    Args:
        scheduler: Scheduler of the jobs.
        queues: Queues of the account.
        account: Operations on compute environments and queues.
        clock: Clock of the account.
        addresses: Addresses of nodes, shared with SageMaker.

    Attributes:
        handlers: Handlers by operation.
        rewrites: Functions by operation that adapt a request for moto.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        queues: Queues,
        account: BatchAccount,
        clock: Clock,
        addresses: Addresses,
    ) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._queues = queues
        self._account = account
        self._addresses = addresses
        self.handlers: Mapping[str, Handler] = {
            **account.handlers,
            "SubmitJob": self._submit_job,
            "DescribeJobs": self._describe_jobs,
            "ListJobs": self._list_jobs,
            "CancelJob": self._cancel_job,
            "TerminateJob": self._terminate_job,
            "GetJobQueueSnapshot": self._get_job_queue_snapshot,
            "DescribeComputeEnvironments": self._describe_compute_environments,
            "UpdateComputeEnvironment": self._update_compute_environment,
        }
        self.rewrites: Mapping[str, Rewrite] = {
            **account.rewrites,
            "RegisterJobDefinition": _registration,
            "DescribeJobDefinitions": _definitions_query,
        }

    def _submit_job(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        check_submission(request, size)
        backend = batch_backends[DEFAULT_ACCOUNT_ID][region]
        queue = _queue(backend, request.get("jobQueue", ""))
        if queue.state != "ENABLED":
            raise ClientException(f"Job Queue {queue.arn} is not ENABLED")
        if self._account.status(queue.name) == "CREATING":
            raise ClientException(f"Job Queue {queue.arn} is not VALID")
        check_share(request, queue)
        definition = _definition(backend, request.get("jobDefinition", ""))
        properties, overrides = self._container(definition, request, queue)
        check_dependencies(request, self._scheduler.jobs)
        timeout = request.get("timeout") or definition.timeout or {}
        job_id = str(uuid.uuid4())
        job = Job(
            arn=f"{queue.arn.partition(':job-queue/')[0]}:job/{job_id}",
            job_id=job_id,
            name=request["jobName"],
            queue_arn=queue.arn,
            queue_name=queue.name,
            priority=int(queue.priority),
            definition_arn=definition.arn,
            definition_name=definition.name,
            properties=properties,
            overrides=overrides,
            parameters={**definition.parameters, **(request.get("parameters") or {})},
            depends_on=request.get("dependsOn") or (),
            retry_strategy=request.get("retryStrategy") or definition.retry_strategy or {},
            timeout_s=timeout.get("attemptDurationSeconds"),
            tags=request.get("tags") or {},
            created_ms=self._clock.now_ms(),
            scheduling_priority=request.get("schedulingPriorityOverride") or 0,
            propagates_tags=bool(request.get("propagateTags", definition.propagate_tags)),
        )
        if job.tags:
            backend.tag_resource(job.arn, dict(job.tags))
        definition_tags = backend.list_tags_for_resource(definition.arn)
        if job.propagates_tags and has_too_many_tags(job.tags, definition_tags):
            self._scheduler.fail(job, TOO_MANY_TAGS)
        else:
            if definition.node_properties:
                add_nodes(job, definition.node_properties, request, self._addresses)
            elif (array := request.get("arrayProperties") or {}).get("size"):
                add_children(job, array["size"])
            self._scheduler.submit(job)
        return {"jobArn": job.arn, "jobId": job_id, "jobName": job.name}

    def _container(
        self, definition: JobDefinition, request: Mapping[str, Any], queue: JobQueue
    ) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """Return the container of a job or of its nodes, and its overrides.

        Raises:
            ClientException: AWS would reject the request, or nodes would have no way out.
        """
        if definition.node_properties:
            if (reason := self._queues.lack_of_way_out(queue)) is not None:
                raise ClientException(
                    "flowyml_aws.testing refuses this job, whose calls would time out on AWS: the "
                    f"nodes have no way out of compute environment {reason}"
                )
            return main_container(definition.node_properties, request)
        if definition.type != "container" or definition.container_properties is None:
            raise ClientException("flowyml_aws.testing emulates jobs of containers only")
        if request.get("nodeOverrides"):
            raise ClientException("nodeOverrides require a job definition of type multinode")
        return (
            copy.deepcopy(definition.container_properties),
            request.get("containerOverrides") or {},
        )

    def _describe_jobs(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        ids: Sequence[str] = request.get("jobs") or ()
        if len(ids) > _MAX_DESCRIBED:
            raise ClientException(f"At most {_MAX_DESCRIBED} jobs can be described in one call")
        jobs = (self._job(job_id) for job_id in dict.fromkeys(ids))
        return {"jobs": [job.detail() for job in jobs if job is not None]}

    def _list_jobs(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        sources = ("jobQueue", "arrayJobId", "multiNodeJobId")
        if sum(bool(request.get(source)) for source in sources) > 1:
            raise ClientException(f"Only one of {', '.join(sources)} can be given")
        if parent_id := request.get("arrayJobId") or request.get("multiNodeJobId"):
            parent = self._job(parent_id)
            kind = "an array job" if request.get("arrayJobId") else "a multi-node job"
            parts = None
            if parent is not None:
                parts = parent.array if request.get("arrayJobId") else parent.nodes
            if parent is None or parts is None:
                raise ClientException(f"Job {parent_id} is not {kind}")
            # A filter does not apply to children (AWS Batch API reference, ListJobs).
            return list_jobs(self._scheduler.listed(parent.arn), {**request, "filters": ()})
        queue = _queue(batch_backends[DEFAULT_ACCOUNT_ID][region], request.get("jobQueue") or "")
        return list_jobs(self._scheduler.listed(queue.arn), request)

    def _cancel_job(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        check_reason(request)
        if job := self._job(request["jobId"]):
            self._scheduler.cancel(job, request["reason"])
        return {}

    def _terminate_job(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        check_reason(request)
        if job := self._job(request["jobId"]):
            self._scheduler.terminate(job, request["reason"])
        return {}

    def _get_job_queue_snapshot(
        self, request: Mapping[str, Any], region: str, size: int
    ) -> dict[str, Any]:
        queue = _queue(batch_backends[DEFAULT_ACCOUNT_ID][region], request.get("jobQueue") or "")
        return snapshot(queue.arn, self._scheduler.jobs.values(), self._clock.now_ms())

    def _describe_compute_environments(
        self, request: Mapping[str, Any], region: str, size: int
    ) -> dict[str, Any]:
        return self._queues.describe(request, region)

    def _update_compute_environment(
        self, request: Mapping[str, Any], region: str, size: int
    ) -> dict[str, Any]:
        response = self._queues.update(request, region)
        self._scheduler.wake()
        return response

    def _job(self, id_or_arn: str) -> Job | None:
        return self._scheduler.jobs.get(id_or_arn.rpartition(":job/")[2])


def _queue(backend: BatchBackend, name_or_arn: str) -> JobQueue:
    queue = backend.get_job_queue(name_or_arn)
    if queue is None:
        raise ClientException(f"JobQueue {name_or_arn} not found")
    return queue


def _definition(backend: BatchBackend, identifier: str) -> JobDefinition:
    name, _, revision = identifier.rpartition("job-definition/")[2].partition(":")
    active = [d for d in backend.describe_job_definitions(name) if d.status == "ACTIVE"]
    matching = [d for d in active if revision in ("", str(d.revision))]
    if not matching:
        raise ClientException(f"JobDefinition {identifier} not found or not ACTIVE")
    return max(matching, key=lambda d: d.revision)


def _registration(request: Mapping[str, Any], region: str) -> dict[str, Any]:
    check_job_definition(request)
    check_node_properties(request)
    # moto copies missing members from the previous revision.
    return {"parameters": {}, "retryStrategy": {"attempts": 1}, **request}


def _definitions_query(request: Mapping[str, Any], region: str) -> dict[str, Any]:
    prefix = f"arn:aws:batch:{region}:{DEFAULT_ACCOUNT_ID}:job-definition/"
    names = request.get("jobDefinitions") or ()
    arns = [prefix + n if ":" in n and not n.startswith("arn:") else n for n in names]
    return {**request, "jobDefinitions": arns} if arns else dict(request)
