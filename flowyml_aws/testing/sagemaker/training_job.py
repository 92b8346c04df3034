"""State of a training job, and its form in the responses of SageMaker's API."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowyml_aws.testing.clock import Timer
from flowyml_aws.testing.machines.machine import Task
from flowyml_aws.testing.sagemaker.validation import (
    DEFAULT_MAX_RUNTIME_S,
    instance_count,
    instance_types,
)

__all__ = ["LOG_GROUP", "Launch", "TrainingJob"]

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
FINAL = ("Completed", "Failed", "Stopped")
# Primary statuses by secondary status; all others are `InProgress`.
_PRIMARY = {
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopping": "Stopping",
    "Stopped": "Stopped",
    "MaxRuntimeExceeded": "Stopped",
    "MaxWaitTimeExceeded": "Stopped",
}
_MESSAGES = {
    "Starting": "Starting the training job",
    "Pending": "Training job waiting for capacity",
    "Downloading": "Downloading the training image",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job interrupted: the spot instance was reclaimed",
    "Restarting": "Restarting the training job",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
}
_FAILURE_REASON_LENGTH = 1024
_ECHOED = (
    *("AlgorithmSpecification", "RoleArn", "HyperParameters", "InputDataConfig"),
    *("OutputDataConfig", "VpcConfig", "CheckpointConfig", "Environment", "RetryStrategy"),
    "RemoteDebugConfig",
)
_FLAGS = (
    *("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption"),
    "EnableManagedSpotTraining",
)


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """A host of a launch, which runs one container.

    Attributes:
        name: Name in the network of the job: `algo-1`.
        address: Address of the host. On AWS, the names resolve to addresses in a network of the
            job; here, all hosts share the network of this machine, and the names do not resolve.
        task: Task that runs the container.
    """

    name: str
    address: str
    task: Task


@dataclass(slots=True, eq=False)
class Launch:
    """A single run of a job's containers; an interrupted job has several.

    Attributes:
        instance_type: Instance type that it runs on.
        hosts: Its hosts, each on an instance.
        started: Unix time of the start of the first container; None before it.
        limit: Timer that ends it when the job exceeds its maximum runtime.
        end: Secondary status that it was ended with, or `Lost` if an instance was lost.
        failure: Failure reason of the first host that failed; None if none has failed.
        exited: Number of containers that have exited.
        ended: Number of hosts that have ended.
    """

    instance_type: str
    hosts: list[Host] = field(default_factory=list)
    started: float | None = None
    limit: Timer | None = None
    end: str | None = None
    failure: str | None = None
    exited: int = 0
    ended: int = 0


@dataclass(slots=True, eq=False)
class TrainingJob:
    """A training job.

    Attributes:
        request: CreateTrainingJob request.
        number: Position in creation order.
        created: Unix time, as all times of the job.
        transitions: Secondary statuses in the form of DescribeTrainingJob, latest last.
        launches: Runs of the containers so far.
        training_start, training_end: First start and last end on an instance.
        trained_s: Duration of all ended launches, in seconds.
        retries: Number of restarts after an error of the service.
        pool_status: Status of its warm pool; None if it has none.
        wait: Timer that ends it when it exceeds MaxWaitTimeInSeconds.
        on_end: Callback for the end, with the job in its final status.
        on_change: Callback for each change that ListTrainingJobs shows.
    """

    request: Mapping[str, Any]
    arn: str
    number: int
    created: float
    tags: dict[str, str]
    transitions: list[dict[str, Any]] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    modified: float = 0.0
    trained_s: float = 0.0
    training_start: float | None = None
    training_end: float | None = None
    failure_reason: str | None = None
    retries: int = 0
    pool_status: dict[str, Any] | None = None
    wait: Timer | None = None
    on_end: Callable[[TrainingJob], None] = lambda job: None
    on_change: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        return str(self.request["TrainingJobName"])

    @property
    def status(self) -> str:
        secondary = [transition["Status"] for transition in self.transitions[-2:]]
        if secondary == ["Stopping", "Uploading"]:
            return "Stopping"
        return _PRIMARY.get(self.secondary, "InProgress")

    @property
    def secondary(self) -> str:
        return str(self.transitions[-1]["Status"])

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def is_spot(self) -> bool:
        return bool(self.request.get("EnableManagedSpotTraining"))

    @property
    def resources(self) -> Mapping[str, Any]:
        return dict(self.request["ResourceConfig"])

    @property
    def instance_types(self) -> list[str]:
        return instance_types(self.resources)

    @property
    def instances(self) -> int:
        """Number of instances."""
        return instance_count(self.resources)

    @property
    def host_names(self) -> list[str]:
        """Names of its hosts: `algo-1`, `algo-2`."""
        return [f"algo-{number}" for number in range(1, self.instances + 1)]

    @property
    def keep_alive_s(self) -> int:
        return int(self.resources.get("KeepAlivePeriodInSeconds") or 0)

    @property
    def max_runtime_s(self) -> int:
        times = self.request.get("StoppingCondition") or {}
        return int(times.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_S))

    @property
    def max_wait_s(self) -> int | None:
        value = (self.request.get("StoppingCondition") or {}).get("MaxWaitTimeInSeconds")
        return None if value is None else int(value)

    @property
    def max_retries(self) -> int:
        return int((self.request.get("RetryStrategy") or {}).get("MaximumRetryAttempts", 0))

    @property
    def launch(self) -> Launch | None:
        """The latest launch, running or ended."""
        return self.launches[-1] if self.launches else None

    def enter(self, secondary: str, now: float, message: str | None = None) -> None:
        """Change to a secondary status. A new message alone is also a transition."""
        message = _MESSAGES[secondary] if message is None else message
        if self.transitions:
            latest = self.transitions[-1]
            if (latest["Status"], latest["StatusMessage"]) == (secondary, message):
                return
            latest["EndTime"] = now
        self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
        self.modified = now
        if self.is_final:
            self.transitions[-1]["EndTime"] = now
            self.on_end(self)
        self.on_change()

    def set_pool(self, **status: Any) -> None:
        """Change the status of its warm pool."""
        self.pool_status = status
        self.on_change()

    def fail(self, reason: str, now: float) -> None:
        """Mark the job as failed."""
        self.failure_reason = reason[:_FAILURE_REASON_LENGTH]
        self.enter("Failed", now)

    def summary(self) -> dict[str, Any]:
        """Return the job in the form of ListTrainingJobs."""
        return _present(
            TrainingJobName=self.name,
            TrainingJobArn=self.arn,
            CreationTime=self.created,
            TrainingEndTime=self.training_end if self.is_final else None,
            LastModifiedTime=self.modified,
            TrainingJobStatus=self.status,
            SecondaryStatus=self.secondary,
            WarmPoolStatus=self.pool_status,
        )

    def detail(self, spot_price_ratio: float) -> dict[str, Any]:
        """Return the job in the form of DescribeTrainingJob.

        Args:
            spot_price_ratio: Spot price as a fraction of the on-demand price.
        """
        output = self.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        trained_s = math.ceil(self.trained_s) if self.is_final and self.training_start else None
        ratio = spot_price_ratio if self.is_spot else 1.0
        return (
            self.summary()
            | {name: self.request[name] for name in _ECHOED if name in self.request}
            | {name: bool(self.request.get(name)) for name in _FLAGS}
            | _present(
                FailureReason=self.failure_reason,
                ModelArtifacts={
                    "S3ModelArtifacts": f"{output}/{self.name}/output/model.tar.gz",
                },
                ResourceConfig=self._resource_config(),
                StoppingCondition={
                    "MaxRuntimeInSeconds": self.max_runtime_s,
                    **(self.request.get("StoppingCondition") or {}),
                },
                TrainingStartTime=self.training_start,
                SecondaryStatusTransitions=[dict(transition) for transition in self.transitions],
                TrainingTimeInSeconds=trained_s,
                BillableTimeInSeconds=None if trained_s is None else math.ceil(trained_s * ratio),
            )
        )

    def _resource_config(self) -> dict[str, Any]:
        selected: dict[str, Any] = {}
        if self.launch is not None and "InstancePreferences" in self.resources:
            selected = {
                "SelectedInstanceType": self.launch.instance_type,
                "SelectedInstanceCount": self.instances,
            }
        return {**self.resources, **selected}


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
