"""State of an AWS Batch job, and its form in the responses of DescribeJobs and ListJobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from flowyml_aws.testing.batch.fleet import Instance
from flowyml_aws.testing.batch.retry import Outcome
from flowyml_aws.testing.capacity import Capacity, needs, resource_requirements
from flowyml_aws.testing.clock import Timer
from flowyml_aws.testing.machines.machine import Task

__all__ = ["Attempt", "Children", "Job", "Nodes", "Status"]

_DEFAULT_LOG_GROUP = "/aws/batch/job"


class Status(str, Enum):
    """States of an AWS Batch job, in order."""

    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def is_before_starting(self) -> bool:
        """Return True while CancelJob has an effect."""
        return self in (Status.SUBMITTED, Status.PENDING, Status.RUNNABLE)

    @property
    def is_final(self) -> bool:
        """Return True if the job has ended."""
        return self in (Status.SUCCEEDED, Status.FAILED)


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt of a job, from STARTING to its end.

    Attributes:
        task_arn: ARN of the ECS task; its id is the last part of the log stream's name.
        instance: EC2 instance that it runs on, possibly with other jobs.
        task: Container run of the attempt.
        started_ms: Unix time of the start; None before it.
        timeout: Timer that stops the attempt when its timeout is exceeded.
        stopped: Outcome if the attempt was stopped; replaces the outcome of the container.
        is_host_lost: Whether the instance was lost.
        is_exit_reported: Whether the container's own end is reported if its host is lost.
    """

    number: int
    task_arn: str
    instance: Instance
    task: Task
    started_ms: int | None = None
    timeout: Timer | None = None
    stopped: Outcome | None = None
    is_host_lost: bool = False
    is_exit_reported: bool = False


class Children:
    """The children of an array job.

    Args:
        jobs: The children, in the order of their indexes.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self._states = [Status.SUBMITTED] * len(jobs)
        self._counts = Counter(self._states)
        self._updated_ms: int | None = None

    def update(self, child: Job, now_ms: int) -> bool:
        """Count the state of a child. Return False if it has not changed."""
        before = self._states[child.index]
        if before is child.status:
            return False
        self._states[child.index] = child.status
        self._counts[before] -= 1
        self._counts[child.status] += 1
        self._updated_ms = now_ms
        return True

    @property
    def status(self) -> Status:
        """Status of the array job: PENDING from the first child that is until the last one ends."""
        ended = self._counts[Status.SUCCEEDED] + self._counts[Status.FAILED]
        if ended == len(self.jobs):
            return Status.FAILED if self._counts[Status.FAILED] else Status.SUCCEEDED
        is_new = self._counts[Status.SUBMITTED] == len(self.jobs)
        return Status.SUBMITTED if is_new else Status.PENDING

    def properties(self) -> dict[str, Any]:
        """Return the array properties in the form of DescribeJobs."""
        return _present(
            size=len(self.jobs),
            statusSummary={status.value: self._counts[status] for status in Status},
            statusSummaryLastUpdatedAt=self._updated_ms,
        )


class Nodes:
    """The nodes of a multi-node job.

    Args:
        jobs: The nodes, in the order of their indexes.
        main: Index of the main node.
        properties: Node properties of the job definition, with the number of nodes of the job.

    Attributes:
        reserved: Instances of the nodes that have not started yet, by index.
    """

    def __init__(self, jobs: Sequence[Job], main: int, properties: Mapping[str, Any]) -> None:
        self.jobs = jobs
        self.main = jobs[main]
        self.properties = properties
        self.reserved: dict[int, Instance] = {}

    @property
    def others(self) -> Sequence[Job]:
        """All nodes but the main node."""
        return [node for node in self.jobs if node is not self.main]


@dataclass(slots=True, eq=False)
class Job:
    """A submitted job.

    Attributes:
        queue_arn, queue_name, priority: Queue that it was submitted to.
        definition_arn, definition_name, properties: Job definition and its container properties.
        overrides: Container overrides of the submission.
        retry_strategy, timeout_s, propagates_tags: Values of the submission; default to the
            definition's.
        scheduling_priority: Priority among the jobs of its queue.
        attempts: Ended attempts, in the form of DescribeJobs.
        attempt: Latest attempt, running or ended.
        array: Children of an array job, by their states; None for other jobs.
        nodes: Nodes of a multi-node job; None for other jobs.
        parent: Array job of a child, or multi-node job of a node; None for other jobs.
        index: Position of a child in its array, or of a node in its job.
        address: Address of a node; empty for other jobs.
    """

    arn: str
    job_id: str
    name: str
    queue_arn: str
    queue_name: str
    priority: int
    definition_arn: str
    definition_name: str
    properties: Mapping[str, Any]
    overrides: Mapping[str, Any]
    parameters: Mapping[str, str]
    depends_on: Sequence[Mapping[str, str]]
    retry_strategy: Mapping[str, Any]
    timeout_s: int | None
    tags: Mapping[str, str]
    created_ms: int
    propagates_tags: bool = False
    scheduling_priority: int = 0
    status: Status = Status.SUBMITTED
    status_reason: str | None = None
    stopped_ms: int | None = None
    is_cancelled: bool = False
    is_terminated: bool = False
    attempt: Attempt | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    outcome: Outcome | None = None
    array: Children | None = None
    nodes: Nodes | None = None
    parent: Job | None = None
    index: int = 0
    address: str = ""

    @property
    def group(self) -> Nodes | None:
        """Nodes of the job of which this is a node; None for other jobs."""
        return None if self.parent is None else self.parent.nodes

    @property
    def is_child(self) -> bool:
        """True for a child of an array job."""
        return self.parent is not None and self.group is None

    @property
    def machines(self) -> int:
        """Number of instances that it needs at once."""
        return 1 if self.nodes is None else len(self.nodes.jobs)

    @property
    def attempts_made(self) -> int:
        """Number of attempts that have ended; of a node, those of its job."""
        return len(self.attempts if self.group is None else self.group.main.attempts)

    @property
    def children(self) -> Sequence[Job]:
        """Children of an array job; empty for other jobs."""
        return () if self.array is None else self.array.jobs

    @property
    def requirements(self) -> list[dict[str, str]]:
        """Resource requirements with the overrides applied."""
        return resource_requirements(self.properties, self.overrides)

    @property
    def needs(self) -> Capacity:
        """Capacity that the job uses while it runs."""
        return needs(self.requirements)

    @property
    def command(self) -> list[str]:
        """Command with the parameters (`Ref::name`) substituted."""
        parts = self.overrides.get("command") or self.properties.get("command") or ()
        filled = []
        for part in parts:
            for name, value in self.parameters.items():
                part = part.replace(f"Ref::{name}", value)
            filled.append(part)
        return filled

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the definition with the overrides applied."""
        entries = (
            *(self.properties.get("environment") or ()),
            *(self.overrides.get("environment") or ()),
        )
        return {entry["name"]: entry.get("value", "") for entry in entries}

    @property
    def log_group(self) -> str:
        """Log group of the job's output."""
        return str(self._log_options.get("awslogs-group", _DEFAULT_LOG_GROUP))

    @property
    def log_stream_prefix(self) -> str:
        """Prefix of the names of the job's log streams."""
        return str(self._log_options.get("awslogs-stream-prefix", self.definition_name))

    @property
    def _log_options(self) -> Mapping[str, str]:
        options: Mapping[str, str] | None
        options = (self.properties.get("logConfiguration") or {}).get("options")
        return options or {}

    def summary(self) -> dict[str, Any]:
        """Return the job in the form of ListJobs."""
        container = {"exitCode": self._exit_code, "reason": self._reason}
        if self.nodes is not None:
            container = {}  # only its nodes have one
        return _present(
            jobArn=self.arn,
            jobId=self.job_id,
            jobName=self.name,
            createdAt=self.created_ms,
            status=self.status.value,
            statusReason=self.status_reason,
            startedAt=self.attempt.started_ms if self.attempt else None,
            stoppedAt=self.stopped_ms,
            container=_present(**container) or None,
            jobDefinition=self.definition_arn,
            arrayProperties=self._array_properties(),
            nodeProperties=self._node_properties(),
        )

    def _array_properties(self) -> dict[str, Any] | None:
        if self.array is not None:
            return self.array.properties()
        return {"index": self.index} if self.is_child else None

    def _node_properties(self) -> dict[str, Any] | None:
        if self.nodes is not None:
            return {"numNodes": len(self.nodes.jobs)}
        if self.group is None:
            return None
        return {"numNodes": len(self.group.jobs), **self._place_among(self.group)}

    def _place_among(self, group: Nodes) -> dict[str, Any]:
        return {"nodeIndex": self.index, "isMainNode": self is group.main}

    def detail(self) -> dict[str, Any]:
        """Return the job in the form of DescribeJobs."""
        shown = self.summary()
        if self.nodes is not None:
            shown["nodeProperties"] = self.nodes.properties
        elif self.group is not None:
            del shown["nodeProperties"]
            shown["nodeDetails"] = self._place_among(self.group)
        return shown | _present(
            jobQueue=self.queue_arn,
            attempts=list(self.attempts),
            retryStrategy={"attempts": 1, "evaluateOnExit": [], **self.retry_strategy},
            dependsOn=list(self.depends_on),
            parameters=dict(self.parameters),
            timeout={"attemptDurationSeconds": self.timeout_s} if self.timeout_s else None,
            tags=dict(self.tags),
            platformCapabilities=["EC2"],
            propagateTags=self.propagates_tags,
            isCancelled=self.is_cancelled,
            isTerminated=self.is_terminated,
            container=self._container() if self.nodes is None else None,
        )

    def _container(self) -> dict[str, Any]:
        merged = {**self.properties}
        for deprecated in ("vcpus", "memory"):
            merged.pop(deprecated, None)
        if "command" in self.overrides:
            merged["command"] = self.overrides["command"]
        merged["environment"] = [
            {"name": name, "value": value} for name, value in self.environment.items()
        ]
        merged["resourceRequirements"] = self.requirements
        placed = self._attempt_container(self.attempt) if self.attempt else {}
        return merged | placed | _present(exitCode=self._exit_code, reason=self._reason)

    @property
    def _exit_code(self) -> int | None:
        return self.outcome.exit_code if self.outcome else None

    @property
    def _reason(self) -> str | None:
        return self.outcome.reason if self.outcome else None

    def record(self, attempt: Attempt, outcome: Outcome, stopped_ms: int) -> None:
        """Record the outcome of an attempt."""
        self.outcome, self.status_reason = outcome, outcome.status_reason
        self.attempts.append(
            _present(
                container=(self._attempt_container(attempt) if self.nodes is None else {})
                | _present(exitCode=outcome.exit_code, reason=outcome.reason),
                startedAt=attempt.started_ms,
                stoppedAt=stopped_ms,
                statusReason=outcome.status_reason,
            )
        )

    def _attempt_container(self, attempt: Attempt) -> dict[str, Any]:
        arn = attempt.task_arn.replace(":task/", ":container-instance/").rpartition("/")[0]
        return _present(
            containerInstanceArn=f"{arn}/{attempt.instance.instance_id.removeprefix('i-')}",
            taskArn=attempt.task_arn,
            logStreamName=attempt.task.log_stream if attempt.started_ms else None,
            networkInterfaces=[{"privateIpv4Address": self.address}] if self.address else [],
        )


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
