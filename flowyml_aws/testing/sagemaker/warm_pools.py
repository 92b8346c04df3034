"""Warm pools: instances that are kept for the next matching job."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from flowyml_aws.testing.clock import Clock, Timer
from flowyml_aws.testing.sagemaker.stock import Stock
from flowyml_aws.testing.sagemaker.training_job import TrainingJob

__all__ = ["WarmPools"]


@dataclass(slots=True, eq=False)
class _Pool:
    """The instances that are kept after their job.

    Attributes:
        reuse_key: Properties that the next job must share with the last job.
        since: Unix time of the start.
        expiry: Timer that terminates the pool.
    """

    job: TrainingJob
    instance_type: str
    reuse_key: str
    since: float
    expiry: Timer


class WarmPools:
    """Keeps instances of completed jobs for their keep-alive period.

    A job reuses instances of the same type and number, with the same role, volume, network and
    encryption (Amazon SageMaker developer guide, "Train using managed warm pools").
    """

    def __init__(self, stock: Stock, clock: Clock) -> None:
        self._stock = stock
        self._clock = clock
        self._pools: list[_Pool] = []

    @property
    def used(self) -> Mapping[str, int]:
        """Number of kept instances by instance type."""
        used: Counter[str] = Counter()
        for pool in self._pools:
            used[pool.instance_type] += pool.job.instances
        return used

    def keep(self, job: TrainingJob, instance_type: str) -> None:
        """Keep the instances of a completed job for the job's keep-alive period."""
        pool: _Pool
        expiry = self._clock.after(job.keep_alive_s, lambda: self._end(pool, "Terminated"))
        pool = _Pool(job, instance_type, _reuse_key(job), self._clock.now(), expiry)
        self._pools.append(pool)
        job.set_pool(Status="Available", ResourceRetainedBillableTimeInSeconds=0)

    def take_over(self, job: TrainingJob) -> str | None:
        """Take all instances for a job from a pool; return their type, or None."""
        for instance_type in job.instance_types:
            for pool in self._pools:
                if (pool.instance_type, pool.reuse_key) == (instance_type, _reuse_key(job)):
                    self._end(pool, "Reused", ReusedByJob=job.name)
                    return instance_type
        return None

    def keep_until(self, job: TrainingJob, keep_alive_s: int) -> bool:
        """Keep a job's instances for a new period from now. Return False if it has none."""
        pool = next((pool for pool in self._pools if pool.job is job), None)
        if pool is None:
            return False
        pool.expiry.cancel()
        pool.expiry = self._clock.after(keep_alive_s, lambda: self._end(pool, "Terminated"))
        return True

    def _end(self, pool: _Pool, status: str, **details: str) -> None:
        pool.expiry.cancel()
        self._pools.remove(pool)
        if status == "Terminated":
            self._stock.give_back(pool.instance_type, pool.job.instances)
        kept_s = math.ceil(self._clock.now() - pool.since)
        pool.job.set_pool(Status=status, ResourceRetainedBillableTimeInSeconds=kept_s, **details)


def _reuse_key(job: TrainingJob) -> str:
    request, resources = job.request, job.resources
    members = (
        job.instances,
        *(request["RoleArn"], request.get("VpcConfig")),
        bool(request.get("EnableNetworkIsolation")),
        bool(request.get("EnableInterContainerTrafficEncryption")),
        *(resources.get("VolumeSizeInGB"), resources.get("VolumeKmsKeyId")),
    )
    return json.dumps(members, sort_keys=True)
