"""Fault injection for the emulated account."""

from __future__ import annotations

from threading import RLock
from typing import Literal

from flowyml_aws.testing.batch.metadata_api import InstanceMetadata
from flowyml_aws.testing.batch.queues import Queues
from flowyml_aws.testing.batch.scheduler import Scheduler
from flowyml_aws.testing.disturbance import CallFault, Disturbance, FaultOfCall
from flowyml_aws.testing.sagemaker.service import TrainingService
from flowyml_aws.testing.starts import TRANSIENT_REASONS, Starts

__all__ = ["Faults"]

_NO_CAPACITY = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested "
    "for instance type [g4dn.xlarge]"
)


class Faults:
    """Breaks parts of the emulated account, to test how their failures are reported.

    Only for faults that Batch's API cannot cause: `update_job_queue` and
    `update_compute_environment` already disable queues and environments and lower `maxvCpus`.

    Attributes:
        clock_skew_s: Seconds by which the services' clocks are ahead of this machine's clock.
    """

    def __init__(
        self,
        lock: RLock,
        scheduler: Scheduler,
        queues: Queues,
        starts: Starts,
        metadata: InstanceMetadata,
        disturbance: Disturbance,
        training: TrainingService,
    ) -> None:
        self.clock_skew_s = 0.0
        self._lock = lock
        self._scheduler = scheduler
        self._queues = queues
        self._starts = starts
        self._metadata = metadata
        self._disturbance = disturbance
        self._training = training

    @property
    def is_metadata_open(self) -> bool:
        """True if instances lack the firewall rule that keeps jobs from the instance metadata."""
        return not self._metadata.has_firewall

    @is_metadata_open.setter
    def is_metadata_open(self, is_open: bool) -> None:
        self._metadata.has_firewall = not is_open

    def invalidate(self, environment: str, reason: str | None) -> None:
        """Make a compute environment INVALID with this reason; None makes it VALID again."""
        with self._lock:
            _set(self._queues.broken, environment, reason)
            self._scheduler.wake()

    def withhold(self, queue: str, reason: str | None = _NO_CAPACITY) -> None:
        """Hold all jobs of a queue, with Batch's status reason; None releases them."""
        with self._lock:
            _set(self._queues.withheld, queue, reason)
            self._scheduler.wake()

    def fail_starts(self, times: int = 1, *, reason: str = TRANSIENT_REASONS[0]) -> None:
        """Make the next starts of Batch jobs or main nodes fail, with the reason of ECS."""
        with self._lock:
            self._starts.fail(times, reason)

    def withhold_spot_training(self, is_withheld: bool = True) -> None:
        """Hold all training jobs on spot capacity that have no instance; False releases them."""
        with self._lock:
            self._training.withhold_spot(is_withheld)

    def fail_launches(self, times: int = 1) -> None:
        """Make the next launches of training jobs on demand fail with a `CapacityError`; 0 ends it.

        AWS reports it after 15 minutes, the emulator at once.
        """
        with self._lock:
            self._training.refuse(times)

    def exceed_memory(self, job: str) -> None:
        """Kill the container of a job as the kernel does if it exceeds its memory limit.

        Args:
            job: Id of a Batch job, or name of a training job.

        Raises:
            LookupError: No such job.
            ValueError: The job has no container at the moment.
        """
        with self._lock:
            if job in self._scheduler.jobs:
                self._scheduler.exceed_memory(self._scheduler.jobs[job])
            else:
                self._training.exceed_memory(job)

    def disturb(self, fault_of: FaultOfCall | None) -> None:
        """Break calls for which a function returns a fault; None ends it.

        The function runs in the thread of each request.
        """
        self._disturbance.fault_of = fault_of

    def lose_answers(
        self, operation: str, times: int = 1, *, when: Literal["before", "after"] = "after"
    ) -> None:
        """Break the connection of the next calls of an operation instead of answering them.

        Args:
            operation: Name as in the API reference, such as `SubmitJob`.
            times: Number of calls.
            when: Whether the connections break before or after the calls have taken effect.
        """
        fault = CallFault.RESET if when == "before" else CallFault.LOST
        with self._lock:
            self._disturbance.next_faults[operation] += [fault] * times

    def age(self, job_id: str, seconds: float) -> None:
        """Move the submission time of a job into the past by `seconds`."""
        with self._lock:
            job = self._scheduler.jobs[job_id]
            job.created_ms -= int(seconds * 1000)
            self._scheduler.note(job)


def _set(reasons: dict[str, str], name: str, reason: str | None) -> None:
    if reason is None:
        reasons.pop(name, None)
    else:
        reasons[name] = reason
