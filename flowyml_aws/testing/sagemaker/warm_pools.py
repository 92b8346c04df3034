"""Instances that wait for the next job of the same kind."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flowyml_aws.testing.sagemaker.stock import Stock
from flowyml_aws.testing.sagemaker.training_job import TrainingJob
from flowyml_aws.testing.timers import Timer, Timers

__all__ = ["WarmPools"]


@dataclass(slots=True, eq=False)
class _Pool:
    """An instance, kept after its job.

    Attributes:
        kind: What a job must have in common with the last one.
        since: Unix time.
        expiry: Ends it.
    """

    job: TrainingJob
    instance_type: str
    kind: str
    since: float
    expiry: Timer


class WarmPools:
    """Keeps instances of completed jobs for a while.

    A job takes over an instance of the same type, role, volume, network and encryption (Amazon
    SageMaker developer guide, "Train using managed warm pools").
    """

    def __init__(self, stock: Stock, timers: Timers, clock: Callable[[], float]) -> None:
        self._stock = stock
        self._timers = timers
        self._clock = clock
        self._pools: list[_Pool] = []

    @property
    def used(self) -> Mapping[str, int]:
        """How many there are of each instance type."""
        return Counter(pool.instance_type for pool in self._pools)

    def keep(self, job: TrainingJob, instance_type: str) -> None:
        """Keep the instance of a completed job for as long as the job says."""
        pool: _Pool
        expiry = self._timers.after(job.keep_alive_s, lambda: self._end(pool, "Terminated"))
        pool = _Pool(job, instance_type, _kind(job), self._clock(), expiry)
        self._pools.append(pool)
        job.pool_status = {"Status": "Available", "ResourceRetainedBillableTimeInSeconds": 0}

    def take_over(self, job: TrainingJob) -> str | None:
        """The instance type that a job gets from a pool, or None."""
        for wanted in job.instance_types:
            for pool in self._pools:
                if (pool.instance_type, pool.kind) == (wanted, _kind(job)):
                    self._end(pool, "Reused", ReusedByJob=job.name)
                    return wanted
        return None

    def keep_until(self, job: TrainingJob, keep_alive_s: int) -> bool:
        """Change how long from now the instance of a job is kept; False if none is."""
        pool = next((pool for pool in self._pools if pool.job is job), None)
        if pool is None:
            return False
        pool.expiry.cancel()
        pool.expiry = self._timers.after(keep_alive_s, lambda: self._end(pool, "Terminated"))
        return True

    def _end(self, pool: _Pool, status: str, **more: str) -> None:
        pool.expiry.cancel()
        self._pools.remove(pool)
        if status == "Terminated":
            self._stock.give_back(pool.instance_type)
        kept_s = math.ceil(self._clock() - pool.since)
        pool.job.pool_status = {
            "Status": status,
            "ResourceRetainedBillableTimeInSeconds": kept_s,
            **more,
        }


def _kind(job: TrainingJob) -> str:
    request, resources = job.request, job.resources
    members = (
        *(request["RoleArn"], request.get("VpcConfig")),
        bool(request.get("EnableNetworkIsolation")),
        bool(request.get("EnableInterContainerTrafficEncryption")),
        *(resources.get("VolumeSizeInGB"), resources.get("VolumeKmsKeyId")),
    )
    return json.dumps(members, sort_keys=True)
