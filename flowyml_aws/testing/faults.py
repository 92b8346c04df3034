"""What can go wrong with an account, made to order."""

from __future__ import annotations

from threading import RLock

from flowyml_aws.testing.queues import Queues
from flowyml_aws.testing.quotas_api import QuotasApi
from flowyml_aws.testing.scheduler import Scheduler

__all__ = ["Faults"]

_NO_CAPACITY = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested "
    "for instance type [g4dn.xlarge]"
)


class Faults:
    """Breaks parts of the emulated account, to see what its users are told.

    What Batch's own API can do is left to it: `update_job_queue` and `update_compute_environment`
    disable, and lower maxvCpus.

    Attributes:
        clock_skew_s: By how much the services' clocks are ahead of this machine's.
    """

    def __init__(
        self, lock: RLock, scheduler: Scheduler, queues: Queues, quotas: QuotasApi
    ) -> None:
        self.clock_skew_s = 0.0
        self._lock = lock
        self._scheduler = scheduler
        self._queues = queues
        self._quotas = quotas

    def invalidate(self, environment: str, reason: str | None) -> None:
        """Make a compute environment INVALID, or with None valid again."""
        with self._lock:
            _set(self._queues.broken, environment, reason)
            self._scheduler.wake()

    def withhold(self, queue: str, reason: str | None = _NO_CAPACITY) -> None:
        """Let no job of a queue start, with what Batch says of it; with None they start again."""
        with self._lock:
            _set(self._queues.withheld, queue, reason)
            self._scheduler.wake()

    def set_quota(self, code: str, vcpus: float) -> None:
        """Set one of EC2's quotas of vCPUs: what the account is told, jobs start all the same."""
        with self._lock:
            self._quotas.limits[code] = vcpus

    def age(self, job_id: str, seconds: float) -> None:
        """Let a job have been submitted so much earlier."""
        with self._lock:
            self._scheduler.jobs[job_id].created_ms -= int(seconds * 1000)


def _set(reasons: dict[str, str], name: str, reason: str | None) -> None:
    if reason is None:
        reasons.pop(name, None)
    else:
        reasons[name] = reason
