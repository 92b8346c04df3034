"""The choice of instance types for waiting jobs, as AWS Batch makes it.

AWS documents the preferences, not the exact choice: types with a low cost per vCPU come first, and
a limit may be exceeded by one instance. Among types with about the same cost, a seed decides here.

Source: https://docs.aws.amazon.com/batch/latest/userguide/allocation-strategies.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from flowyml_aws.testing.capacity import Capacity

__all__ = ["Lifecycle", "Offer", "Pool", "Strategy", "choose_type"]

Lifecycle = Literal["on-demand", "spot"]
"""Capacity type, as the instance metadata names it."""
Strategy = Literal[
    "BEST_FIT",
    "BEST_FIT_PROGRESSIVE",
    "SPOT_CAPACITY_OPTIMIZED",
    "SPOT_PRICE_CAPACITY_OPTIMIZED",
]

# Prices per vCPU up to this multiple of the lowest one are about the same. Spot strategies look at
# the free capacity as well, so they accept higher prices.
_CLOSE: dict[Strategy, float] = {
    "BEST_FIT_PROGRESSIVE": 1.15,
    "SPOT_PRICE_CAPACITY_OPTIMIZED": 1.5,
    "SPOT_CAPACITY_OPTIMIZED": float("inf"),
}


@dataclass(frozen=True, slots=True)
class Offer:
    """An instance type that a compute environment can start.

    Attributes:
        capacity: Capacity of one instance.
        price_usd_hour: Price for the environment's capacity type; None if unknown.
        quota: Code of EC2's quota that its vCPUs count towards; None if unknown.
        disk_gib: Disk for the jobs on one instance.
    """

    instance_type: str
    capacity: Capacity
    price_usd_hour: float | None = None
    quota: str | None = None
    disk_gib: int = 1

    @property
    def _price(self) -> float:
        return float("inf") if self.price_usd_hour is None else self.price_usd_hour

    @property
    def _price_per_vcpu(self) -> float:
        return self._price / max(1, self.capacity.vcpus)


@dataclass(frozen=True, slots=True)
class Pool:
    """The instances that a compute environment can start.

    Attributes:
        max_vcpus: Limit of the vCPUs of all its instances together.
        offers: All types of the environment.
        lifecycle: Capacity type of the instances.
    """

    strategy: Strategy
    max_vcpus: int
    offers: tuple[Offer, ...]
    lifecycle: Lifecycle = "on-demand"

    def allows(self, offer: Offer, used_vcpus: int) -> bool:
        """Return True if one more instance may be started.

        All strategies except BEST_FIT may exceed the limit, by one instance (AWS Batch API
        reference, ComputeResource.maxvCpus).
        """
        if self.strategy == "BEST_FIT":
            return used_vcpus + offer.capacity.vcpus <= self.max_vcpus
        return used_vcpus < self.max_vcpus


def choose_type(
    pool: Pool, waiting: Sequence[Capacity], used_vcpus: int, random: Random
) -> Offer | None:
    """Return the type of the next instance, or None if no instance can be started.

    Args:
        pool: Types, strategy and limit of the compute environment.
        waiting: Requirements of the waiting jobs, in order. The instance is for the first of them;
            a large one may be started for all of them together.
        used_vcpus: vCPUs of the environment's running instances.
        random: Decides between types of about the same cost.
    """
    fitting = [
        offer
        for offer in pool.offers
        if offer.capacity.covers(waiting[0]) and pool.allows(offer, used_vcpus)
    ]
    if not fitting:
        return None
    if pool.strategy == "BEST_FIT":
        return min(fitting, key=lambda o: (o._price, o.capacity.vcpus, o.instance_type))
    lowest = min(offer._price_per_vcpu for offer in fitting)
    close = [o for o in fitting if o._price_per_vcpu <= lowest * _CLOSE[pool.strategy]]
    if len(waiting) > 1:
        wanted = sum(needs.vcpus for needs in waiting)
        filled = [offer for offer in close if offer.capacity.vcpus <= wanted]
        if filled:
            largest = max(offer.capacity.vcpus for offer in filled)
            close = [offer for offer in filled if offer.capacity.vcpus == largest]
    return random.choice(sorted(close, key=lambda offer: offer.instance_type))
