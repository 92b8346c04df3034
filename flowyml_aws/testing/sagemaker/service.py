"""Life cycle of training jobs: instances, launches, stops, restarts and ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import RLock
from typing import Any

from flowyml_aws.testing.consistency import Listing
from flowyml_aws.testing.deviations import Deviations
from flowyml_aws.testing.iam.service_roles import ServiceRoles
from flowyml_aws.testing.machines.addresses import Addresses
from flowyml_aws.testing.machines.container import Container
from flowyml_aws.testing.machines.machine import Ending, Machine, Task
from flowyml_aws.testing.quotas import Usage
from flowyml_aws.testing.sagemaker.containers import (
    algorithm_failure,
    make_container,
    start_failure,
    upload_output,
)
from flowyml_aws.testing.sagemaker.errors import ResourceInUse, ValidationException
from flowyml_aws.testing.sagemaker.stock import Stock
from flowyml_aws.testing.sagemaker.training_job import LOG_GROUP, Host, Launch, TrainingJob
from flowyml_aws.testing.sagemaker.warm_pools import WarmPools

__all__ = ["TrainingService"]

_NO_CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a "
    "different ML instance type."
)
_LAUNCHING = "Preparing the instances for training"
_RETRYING = "Insufficient capacity error from EC2 while launching instances, retrying!"
_HOST_LOST = "InternalServerError: We encountered an internal error. Please try again."
# Priorities of the reasons to end a launch: a later reason replaces only a lower priority.
_PRIORITY = {"Interrupted": 0, "Lost": 0, "MaxRuntimeExceeded": 1, "MaxWaitTimeExceeded": 1}
_STOPPED_PRIORITY = 2


class TrainingService:
    """Runs training jobs on a machine. Callers of its methods hold the lock.

    Args:
        lock: Guards all state, and moto.
        machine: Machine that runs the containers.
        roles: Use of the account's roles.
        stock: Quotas and available instances.
        addresses: Addresses of hosts, shared with Batch.
        at_once: Maximum number of running containers; further jobs are `Pending`.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        listing: Summaries of the jobs, as ListTrainingJobs shows them.
        deviations: Deviations from AWS.
        on_end: Callback for the end of each job; called with the lock.
    """

    def __init__(
        self,
        lock: RLock,
        machine: Machine,
        roles: ServiceRoles,
        *,
        stock: Stock,
        addresses: Addresses,
        at_once: int,
        stop_grace_s: float,
        listing: Listing[dict[str, Any]],
        deviations: Deviations,
        on_end: Callable[[TrainingJob], None] = lambda job: None,
    ) -> None:
        self._lock = lock
        self._machine = machine
        self._roles = roles
        self._stock = stock
        self._at_once = at_once
        self._stop_grace_s = stop_grace_s
        self._on_end = on_end
        self._deviations = deviations
        self._listing = listing
        self._clock = machine.clock
        self._pools = WarmPools(stock, machine.clock)
        self._addresses = addresses
        self._jobs: dict[str, TrainingJob] = {}
        self._waiting: dict[str, TrainingJob] = {}
        self._running: dict[str, TrainingJob] = {}
        self._streams: set[str] = set()
        self._is_spot_withheld = False
        self._refusals = 0

    @property
    def jobs(self) -> Mapping[str, TrainingJob]:
        """All jobs by name, in creation order."""
        return self._jobs

    @property
    def listed(self) -> list[dict[str, Any]]:
        """Jobs as ListTrainingJobs shows them, in creation order."""
        return self._listing.entries()

    def create(self, request: Mapping[str, Any], arn: str) -> TrainingJob:
        """Create a job from a (validated) request.

        Raises:
            ResourceInUse: The name is already in use.
            ResourceLimitExceeded: The job would exceed the account's quota.
            ValidationException: SageMaker can't assume the job's role.
        """
        job = TrainingJob(
            request=request,
            arn=arn,
            number=len(self._jobs),
            created=self._clock.now(),
            tags={tag["Key"]: tag["Value"] for tag in request.get("Tags") or ()},
            on_end=self._on_end,
        )
        if existing := self._jobs.get(job.name):
            raise ResourceInUse(
                "Training job names must be unique within an AWS account and region, and a "
                f"training job with this name already exists ({existing.arn})"
            )
        if refusal := self._roles.check_training(request["RoleArn"]):
            raise ValidationException(refusal)
        self._check_quotas(job)
        job.on_change = lambda: self._listing.record(job.name, job.summary())
        job.enter("Starting", job.created)
        if job.max_wait_s is not None:
            job.wait = self._clock.after(
                job.max_wait_s, lambda: self._end(job, "MaxWaitTimeExceeded")
            )
        self._jobs[job.name] = self._waiting[job.name] = job
        self.place()
        return job

    def stop(self, job: TrainingJob) -> None:
        """Stop a job on request of its user.

        Raises:
            ValidationException: The job has already ended.
        """
        if job.is_final:
            raise ValidationException(
                f"The request was rejected because the training job is in status {job.status}."
            )
        self._end(job, "Stopped")

    def keep_alive(self, job: TrainingJob, keep_alive_s: int) -> None:
        """Change how long the warm pool of a completed job is kept.

        Raises:
            ValidationException: The job has no warm pool.
        """
        if not self._pools.keep_until(job, keep_alive_s):
            raise ValidationException(f"Training job {job.name} has no available warm pool")

    def lose_host(self, job: TrainingJob, *, is_exit_reported: bool) -> None:
        """Remove the instance that a job runs on: a spot interruption, or a hardware failure.

        Args:
            job: Job with a running container.
            is_exit_reported: Whether only the end of the container is noticed: it fails.
        """
        if job.name not in self._running:
            raise ValueError(f"Training job {job.name} has no host to lose: it is {job.secondary}")
        if is_exit_reported and job.launch is not None:
            self._machine.end(job.launch.hosts[0].task, self._stop_grace_s)
        else:
            self._end_launch(job, "Interrupted" if job.is_spot else "Lost")

    def exceed_memory(self, name: str) -> None:
        """Kill the container of a running job, or its first one, because of its memory.

        Raises:
            LookupError: No such job.
            ValueError: The job has no container.
        """
        launch = self.jobs[name].launch
        if launch is None or launch.hosts[0].task.running is None:
            raise ValueError(
                f"Training job {name} has no container: it is {self.jobs[name].secondary}"
            )
        self._machine.exceed_memory(launch.hosts[0].task)

    def withhold_spot(self, is_withheld: bool) -> None:
        """Let no job on spot capacity have an instance, or let them have some again."""
        self._is_spot_withheld = is_withheld
        self.place()

    def refuse(self, times: int) -> None:
        """Refuse an instance to the next jobs on demand that need one; 0 ends it."""
        self._refusals = times

    def processes(self) -> dict[str, int]:
        """Return the running process ids by job name; of further hosts, by `JOB/algo-2`."""
        pids = {}
        for name, job in self._running.items():
            for number, host in enumerate(job.launch.hosts if job.launch else ()):
                if host.task.running is not None:
                    pids[f"{name}/{host.name}" if number else name] = host.task.running.pid
        return pids

    def place(self) -> None:
        """Start the waiting jobs for which there are instances."""
        for job in list(self._waiting.values()):
            running = sum(other.instances for other in self._running.values())
            # A job with more containers than the limit runs alone.
            if running + max(1, min(job.instances, self._at_once)) > self._at_once:
                job.enter("Pending", self._clock.now())
            elif (instance_type := self._instance_for(job)) is not None:
                self._launch(job, self._deviations.instance_type(instance_type))
            elif job.is_spot:
                job.enter(job.secondary, self._clock.now(), _RETRYING)
            else:
                self._finish(job)
                job.fail(_NO_CAPACITY, self._clock.now())

    def _check_quotas(self, job: TrainingJob) -> None:
        """Check the quotas of every type that a job may run on.

        AWS does not document whether one exceeded quota refuses a request with several types; this
        is the stricter of the two possible behaviors.
        """
        active = [other for other in self._jobs.values() if not other.is_final]
        used = _instances(other for other in active if other.is_spot == job.is_spot)
        usage: Usage = "spot training job" if job.is_spot else "training job"
        for instance_type in job.instance_types:
            self._stock.check_quota(instance_type, usage, used, job.instances)
        if job.keep_alive_s:
            kept = _instances(other for other in active if other.keep_alive_s)
            kept.update(self._pools.used)
            for instance_type in job.instance_types:
                self._stock.check_quota(instance_type, "training warm pool", kept, job.instances)

    def _instance_for(self, job: TrainingJob) -> str | None:
        if job.is_spot and self._is_spot_withheld:
            return None
        if not job.is_spot and (reused := self._pools.take_over(job)) is not None:
            return reused
        if not job.is_spot and self._refusals:
            self._refusals -= 1
            return None
        types = job.instance_types
        return next((name for name in types if self._stock.take(name, job.instances)), None)

    def _launch(self, job: TrainingJob, instance_type: str) -> None:
        del self._waiting[job.name]
        self._running[job.name] = job
        if job.launches:
            job.enter("Restarting", self._clock.now())
        else:
            job.enter("Starting", self._clock.now(), _LAUNCHING)
        if job.keep_alive_s:
            job.set_pool(Status="InUse")
        launch = Launch(instance_type)
        job.launches.append(launch)
        for name in job.host_names:
            launch.hosts.append(self._host(job, launch, name))
        for host in launch.hosts:
            self._machine.start(host.task)

    def _host(self, job: TrainingJob, launch: Launch, name: str) -> Host:
        suffix = "" if job.instances == 1 else f"-{name}"
        task = Task(
            name=f"{job.name}-{len(job.launches)}{suffix}",
            log_group=LOG_GROUP,
            log_stream=self._new_stream(job, name),
            prepare=lambda folder: self._prepare(job, launch, host, folder),
            on_start=lambda: self._record_start(job, launch),
            finish=lambda folder, exit_code: self._collect(job, launch, host, folder, exit_code),
            on_end=lambda ending: self._end_of_host(job, launch, host, ending),
        )
        host = Host(name, self._addresses.take(), task)
        return host

    def _new_stream(self, job: TrainingJob, host: str) -> str:
        second = int(self._clock.now())
        while (stream := f"{job.name}/{host}-{second}") in self._streams:
            second += 1
        self._streams.add(stream)
        return stream

    def _prepare(self, job: TrainingJob, launch: Launch, host: Host, folder: Path) -> Container:
        with self._lock:
            if launch.end is None and launch.started is None:
                job.enter("Downloading", self._clock.now())
        return make_container(job, host, folder, self._lock, self._roles, self._deviations)

    def _record_start(self, job: TrainingJob, launch: Launch) -> None:
        if launch.started is not None:
            return
        launch.started = self._clock.now()
        if job.training_start is None:
            job.training_start = launch.started
        if launch.end is None:
            job.enter("Training", launch.started)
        remaining_s = job.max_runtime_s - job.trained_s
        launch.limit = self._clock.after(remaining_s, lambda: self._end(job, "MaxRuntimeExceeded"))

    def _collect(
        self, job: TrainingJob, launch: Launch, host: Host, folder: Path, exit_code: int
    ) -> None:
        """Record the end of a container. Only the output of the first host is uploaded."""
        with self._lock:
            launch.exited += 1
            is_last = launch.exited == len(launch.hosts)
            if is_last and launch.end not in ("Interrupted", "Lost"):
                job.enter("Uploading", self._clock.now())
            if exit_code:
                self._fail_launch(launch, host, algorithm_failure(folder, exit_code))
        if host is launch.hosts[0]:
            upload_output(job, folder, self._lock, self._roles)

    def _fail_launch(self, launch: Launch, failed: Host, reason: str) -> None:
        """Record the failure of a host, which ends the others, unless the launch was ended."""
        if launch.end is None and launch.failure is None:
            launch.failure = reason
            for host in launch.hosts:
                if host is not failed:
                    self._machine.end(host.task, self._stop_grace_s)

    def _end(self, job: TrainingJob, secondary: str) -> None:
        if job.is_final:
            return
        if job.name in self._waiting:
            self._finish(job)
            job.enter("Stopping", self._clock.now())
            job.enter(secondary, self._clock.now())
            self.place()
        else:
            job.enter("Stopping", self._clock.now())
            self._end_launch(job, secondary)

    def _end_launch(self, job: TrainingJob, end: str) -> None:
        if (launch := job.launch) is None:
            return
        # A job that is stopped while it is being interrupted must not be restarted.
        if launch.end is None or _priority(end) > _priority(launch.end):
            launch.end = end
        for host in launch.hosts:
            self._machine.end(host.task, self._stop_grace_s)

    def _end_of_host(self, job: TrainingJob, launch: Launch, host: Host, ending: Ending) -> None:
        launch.ended += 1
        if ending.error is not None:
            self._fail_launch(launch, host, start_failure(ending.error))
        if launch.ended == len(launch.hosts):
            self._end_of_launch(job, launch)

    def _end_of_launch(self, job: TrainingJob, launch: Launch) -> None:
        now = self._clock.now()
        if launch.limit is not None:
            launch.limit.cancel()
        if launch.started is not None:
            job.trained_s += now - launch.started
            job.training_end = now
        del self._running[job.name]
        is_completed = launch.end is None and launch.failure is None
        if is_completed and job.keep_alive_s:
            self._pools.keep(job, launch.instance_type)
        else:
            self._stock.give_back(launch.instance_type, job.instances)
            if job.pool_status is not None:
                job.set_pool(Status="Terminated")
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
            else:
                job.fail(launch.failure or "", now)
        self.place()

    def _finish(self, job: TrainingJob) -> None:
        self._waiting.pop(job.name, None)
        if job.wait is not None:
            job.wait.cancel()


def _instances(jobs: Iterable[TrainingJob]) -> Counter[str]:
    """Return the number of instances of jobs, by the type whose quota they use."""
    used: Counter[str] = Counter()
    for job in jobs:
        used[_quota_type(job)] += job.instances
    return used


def _quota_type(job: TrainingJob) -> str:
    """Return the instance type whose quota a job uses."""
    return job.launch.instance_type if job.launch else job.instance_types[0]


def _priority(end: str) -> int:
    return _PRIORITY.get(end, _STOPPED_PRIORITY)
