"""What SageMaker does with training jobs: finds instances, runs, stops, restarts and ends them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import RLock
from typing import Any

from flowyml_aws.testing.container import Container
from flowyml_aws.testing.machine import Ending, Machine, Task
from flowyml_aws.testing.sagemaker.containers import (
    failure_of,
    keep_output,
    make_container,
    start_failure,
)
from flowyml_aws.testing.sagemaker.errors import ResourceInUse, ValidationException
from flowyml_aws.testing.sagemaker.stock import Stock, Usage
from flowyml_aws.testing.sagemaker.training_job import LOG_GROUP, Launch, TrainingJob
from flowyml_aws.testing.sagemaker.warm_pools import WarmPools

__all__ = ["TrainingService"]

_NO_CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a "
    "different ML instance type."
)
_LAUNCHING = "Preparing the instances for training"
_RETRYING = "Insufficient capacity error from EC2 while launching instances, retrying!"
_HOST_LOST = "InternalServerError: We encountered an internal error. Please try again."
# What somebody ended a launch for; a later word counts only if it is stronger.
_STRENGTH = {"Interrupted": 0, "Lost": 0, "MaxRuntimeExceeded": 1, "MaxWaitTimeExceeded": 1}
_STOPPED = 2


class TrainingService:
    """Runs training jobs on a machine. All its methods are called with the lock.

    Args:
        lock: Guards all state, and moto.
        machine: Where the containers run.
        stock: How many instances there are.
        at_once: How many containers run at a time on this machine; the others are `Pending`.
        stop_grace_s: From SIGTERM to SIGKILL.
    """

    def __init__(
        self,
        lock: RLock,
        machine: Machine,
        *,
        stock: Stock,
        at_once: int,
        stop_grace_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lock = lock
        self._machine = machine
        self._stock = stock
        self._at_once = at_once
        self._stop_grace_s = stop_grace_s
        self._clock = clock
        self._pools = WarmPools(stock, machine.timers, clock)
        self._jobs: dict[str, TrainingJob] = {}
        self._waiting: dict[str, TrainingJob] = {}
        self._running: dict[str, TrainingJob] = {}
        self._streams: set[str] = set()

    @property
    def jobs(self) -> Mapping[str, TrainingJob]:
        """All jobs by name, in the order of their creation."""
        return self._jobs

    def create(self, request: Mapping[str, Any], arn: str) -> TrainingJob:
        """Take a (checked) job in.

        Raises:
            ResourceInUse: The name is taken.
            ResourceLimitExceeded: It would exceed the account's quota.
        """
        job = TrainingJob(
            request=request,
            arn=arn,
            number=len(self._jobs),
            created=self._clock(),
            tags={tag["Key"]: tag["Value"] for tag in request.get("Tags") or ()},
        )
        if taken := self._jobs.get(job.name):
            raise ResourceInUse(
                "Training job names must be unique within an AWS account and region, and a "
                f"training job with this name already exists ({taken.arn})"
            )
        self._check_quotas(job)
        job.enter("Starting", job.created)
        if job.max_wait_s is not None:
            job.wait = self._machine.timers.after(
                job.max_wait_s, lambda: self._end(job, "MaxWaitTimeExceeded")
            )
        self._jobs[job.name] = self._waiting[job.name] = job
        self.place()
        return job

    def stop(self, job: TrainingJob) -> None:
        """End a job as its user wants.

        Raises:
            ValidationException: It has ended.
        """
        if job.is_final:
            raise ValidationException(
                f"The request was rejected because the training job is in status {job.status}."
            )
        self._end(job, "Stopped")

    def keep_alive(self, job: TrainingJob, keep_alive_s: int) -> None:
        """Change how long the instance of a completed job is kept.

        Raises:
            ValidationException: It is not kept.
        """
        if not self._pools.keep_until(job, keep_alive_s):
            raise ValidationException(f"Training job {job.name} has no warm pool that is available")

    def lose_host(self, job: TrainingJob) -> None:
        """Take away the instance that a job runs on: a spot interruption, or a broken machine."""
        if job.name not in self._running:
            raise ValueError(f"training job {job.name} is {job.secondary}: it has no host to lose")
        self._end_launch(job, "Interrupted" if job.is_spot else "Lost")

    def processes(self) -> dict[str, int]:
        """The running processes: job name to process id."""
        launches = {name: job.launch for name, job in self._running.items()}
        return {
            name: launch.task.running.pid
            for name, launch in launches.items()
            if launch is not None and launch.task.running is not None
        }

    def place(self) -> None:
        """Start what there are instances for."""
        for job in list(self._waiting.values()):
            if len(self._running) >= self._at_once:
                job.enter("Pending", self._clock())
            elif (instance_type := self._instance_for(job)) is not None:
                self._launch(job, instance_type)
            elif job.is_spot:
                job.enter(job.secondary, self._clock(), _RETRYING)
            else:
                self._finish(job)
                job.fail(_NO_CAPACITY, self._clock())

    def _check_quotas(self, job: TrainingJob) -> None:
        going = [other for other in self._jobs.values() if not other.is_final]
        used = Counter(_charged(other) for other in going if other.is_spot == job.is_spot)
        usage: Usage = "spot training job" if job.is_spot else "training job"
        self._stock.check_quota(_charged(job), usage, used)
        if job.keep_alive_s:
            kept = Counter(_charged(other) for other in going if other.keep_alive_s)
            pools = Counter(self._pools.used)
            self._stock.check_quota(_charged(job), "training warm pool", kept + pools)

    def _instance_for(self, job: TrainingJob) -> str | None:
        if not job.is_spot and (kept := self._pools.take_over(job)) is not None:
            return kept
        return next((name for name in job.instance_types if self._stock.take(name)), None)

    def _launch(self, job: TrainingJob, instance_type: str) -> None:
        del self._waiting[job.name]
        self._running[job.name] = job
        if job.launches:
            job.enter("Restarting", self._clock())
        else:
            job.enter("Starting", self._clock(), _LAUNCHING)
        if job.keep_alive_s:
            job.pool_status = {"Status": "InUse"}
        launch = Launch(
            instance_type,
            Task(
                name=f"{job.name}-{len(job.launches) + 1}",
                log_group=LOG_GROUP,
                log_stream=self._new_stream(job),
                prepare=lambda folder: self._prepare(job, folder),
                on_start=lambda: self._note_start(job, launch),
                finish=lambda folder, exit_code: self._collect(job, launch, folder, exit_code),
                on_end=lambda ending: self._end_of_launch(job, launch, ending),
            ),
        )
        job.launches.append(launch)
        self._machine.start(launch.task)

    def _new_stream(self, job: TrainingJob) -> str:
        second = int(self._clock())
        while (stream := f"{job.name}/algo-1-{second}") in self._streams:
            second += 1
        self._streams.add(stream)
        return stream

    def _prepare(self, job: TrainingJob, folder: Path) -> Container:
        with self._lock:
            if job.launch is not None and job.launch.end is None:
                job.enter("Downloading", self._clock())
        return make_container(job, folder, self._lock)

    def _note_start(self, job: TrainingJob, launch: Launch) -> None:
        launch.started = self._clock()
        if job.training_start is None:
            job.training_start = launch.started
        if launch.end is None:
            job.enter("Training", launch.started)
        left_s = job.max_runtime_s - job.trained_s / self._machine.time_scale
        launch.limit = self._machine.timers.after(
            left_s, lambda: self._end(job, "MaxRuntimeExceeded")
        )

    def _collect(self, job: TrainingJob, launch: Launch, folder: Path, exit_code: int) -> None:
        with self._lock:
            if launch.end not in ("Interrupted", "Lost"):
                job.enter("Uploading", self._clock())
            if exit_code and launch.end is None:
                job.failure_reason = failure_of(folder, exit_code)
        keep_output(job, folder, self._lock)

    def _end(self, job: TrainingJob, secondary: str) -> None:
        if job.is_final:
            return
        if job.name in self._waiting:
            self._finish(job)
            job.enter("Stopping", self._clock())
            job.enter(secondary, self._clock())
            self.place()
        else:
            job.enter("Stopping", self._clock())
            self._end_launch(job, secondary)

    def _end_launch(self, job: TrainingJob, end: str) -> None:
        if (launch := job.launch) is None:
            return
        # Whoever stops a job that is just interrupted does not want it restarted.
        if launch.end is None or _strength(end) > _strength(launch.end):
            launch.end = end
        self._machine.end(launch.task, self._stop_grace_s)

    def _end_of_launch(self, job: TrainingJob, launch: Launch, ending: Ending) -> None:
        now = self._clock()
        if launch.limit is not None:
            launch.limit.cancel()
        if launch.started is not None:
            job.trained_s += now - launch.started
            job.training_end = now
        del self._running[job.name]
        failure, job.failure_reason = job.failure_reason, None
        is_completed = launch.end is None and ending.error is None and ending.exit_code == 0
        if is_completed and job.keep_alive_s:
            self._pools.keep(job, launch.instance_type)
        else:
            self._stock.give_back(launch.instance_type)
            if job.pool_status is not None:
                job.pool_status = {"Status": "Terminated"}
        if launch.end == "Interrupted" or (launch.end == "Lost" and job.retries < job.max_retries):
            job.retries += launch.end == "Lost"
            if launch.end == "Interrupted":
                job.enter("Interrupted", now)
            job.enter("Restarting", now)
            self._waiting[job.name] = job
        else:
            self._finish(job)
            if is_completed:
                job.enter("Completed", now)
            elif launch.end == "Lost":
                job.fail(_HOST_LOST, now)
            elif launch.end is not None:
                job.enter(launch.end, now)
            elif ending.error is not None:
                job.fail(start_failure(ending.error), now)
            else:
                job.fail(failure or "", now)
        self.place()

    def _finish(self, job: TrainingJob) -> None:
        self._waiting.pop(job.name, None)
        if job.wait is not None:
            job.wait.cancel()


def _charged(job: TrainingJob) -> str:
    """The instance type whose quota a job uses."""
    return job.launch.instance_type if job.launch else job.instance_types[0]


def _strength(end: str) -> int:
    return _STRENGTH.get(end, _STOPPED)
