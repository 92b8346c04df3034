"""Causes of failures. `docs/reliability.md` says what is done about each."""

from __future__ import annotations

from enum import Enum

__all__ = ["GROWABLE", "Cause"]


class Cause(str, Enum):
    """Cause of a failure of a step or a job."""

    STEP = "step"
    """The step raised an exception, for a reason of its own."""
    TIME_LIMIT = "time limit"
    OUT_OF_MEMORY = "out of memory"
    GPU_OUT_OF_MEMORY = "GPU out of memory"
    DISK_FULL = "disk full"
    CAPACITY = "capacity"
    """The job lost its host too often, or got none for too long. No step has failed."""
    DEPENDENCY = "dependency"
    """The service did not start the job, because a job before it was killed after its commit."""
    DAMAGED = "damaged data"
    """A stored value is missing, or differs from its digest."""
    SETUP = "setup"
    """The job cannot do its work on this account or image: denied calls, code that does not load,
    another Python, packages that cannot be installed."""
    STORE_OUTAGE = "store outage"
    """The store did not answer for too long, in the last attempt, too. No step has failed."""
    GPU_IDLE = "GPU idle"
    """The step did not use the GPUs of its job for as long as `stop_idle_gpu` allows."""
    COST_LIMIT = "cost limit"
    """The job used up its share of the run's cost limit, or the run reached the limit."""
    CANCELLED = "cancelled"
    """The run was cancelled, or the job was stopped at its service. No step has failed."""


GROWABLE = (Cause.OUT_OF_MEMORY, Cause.GPU_OUT_OF_MEMORY, Cause.DISK_FULL)
"""Causes that a larger machine removes."""
