"""The emulated EC2 instances of Batch's compute environments, and the jobs that share them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from flowyml_aws.testing.account import REGION
from flowyml_aws.testing.batch.instance_choice import Offer, Pool, choose_type
from flowyml_aws.testing.capacity import Capacity
from flowyml_aws.testing.clock import Clock, Timer
from flowyml_aws.testing.deviations import Deviations
from flowyml_aws.testing.quotas import AccountQuotas

__all__ = ["Fleet", "Instance"]

_ZONES = ("a", "b", "c")
_IDLE_S = 120.0  # AWS documents no figure; idle instances end after a few minutes


@dataclass(slots=True, eq=False)
class Instance:
    """A running instance.

    Attributes:
        environment: Name of its compute environment.
        offer: Instance type with its price.
        pool: Pool of the compute environment.
        free: Capacity that no job uses.
        jobs: Number of running jobs.
    """

    instance_id: str
    environment: str
    offer: Offer
    zone: str
    pool: Pool
    free: Capacity
    jobs: int = 0
    _end: Timer | None = None

    @property
    def instance_type(self) -> str:
        """EC2 name of its type."""
        return self.offer.instance_type


class Fleet:
    """All running instances of the account. Callers of its methods hold the lock.

    Args:
        clock: Clock of the account, which ends instances that are idle.
        random: Decides between types of about the same cost, and the zones.
        quotas: Quotas of the account, which limit the vCPUs of instances.
        deviations: Deviations from AWS.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        quotas: AccountQuotas,
        deviations: Deviations,
    ) -> None:
        self._clock = clock
        self._random = random
        self._quotas = quotas
        self._deviations = deviations
        self._instances: dict[str, Instance] = {}

    def get(self, instance_id: str) -> Instance | None:
        """Return a running instance, or None."""
        return self._instances.get(instance_id)

    def vcpus(self, environment: str) -> int:
        """Return the vCPUs of all running instances of a compute environment."""
        return _vcpus(self._of(environment))

    def has_room(self, environment: str, pool: Pool, needs: Capacity) -> bool:
        """Return True if a job fits on a running instance, or on one that can be started."""
        if any(i.free.covers(needs) for i in self._of(environment)):
            return True
        return any(self._has_quota(offer) for offer in self._allowed(environment, pool, needs))

    def has_room_for_nodes(self, environment: str, pool: Pool, needs: Capacity, nodes: int) -> bool:
        """Return True if the nodes of a job fit on instances of their own."""
        return bool(self._node_types(environment, pool, needs, nodes))

    def refused_by_quota(
        self, environment: str, pool: Pool, needs: Capacity, machines: int = 1
    ) -> Offer | None:
        """Return the smallest type that only EC2's quota keeps from being started, or None."""
        allowed = self._allowed(environment, pool, needs, machines)
        refused = [offer for offer in allowed if not self._has_quota(offer, machines)]
        return min(refused, key=lambda o: (o.capacity.vcpus, o.instance_type), default=None)

    def place(self, environment: str, pool: Pool, waiting: Sequence[Capacity]) -> Instance:
        """Return the instance of the first waiting job, which `has_room` has confirmed."""
        needs = waiting[0]
        shared = [i for i in self._of(environment) if i.free.covers(needs)]
        if shared:
            instance = min(shared, key=lambda i: (i.free.vcpus, i.free.memory_mib))
        else:
            instance = self._start(environment, pool, waiting)
        return _taken(instance, needs)

    def place_nodes(
        self, environment: str, pool: Pool, needs: Capacity, nodes: int
    ) -> list[Instance]:
        """Return an instance for each node of a job: of one type, and shared with no other job.

        Args:
            environment: Name of the compute environment.
            pool: Its pool.
            needs: Capacity that each node needs.
            nodes: Number of nodes for which `has_room_for_nodes` is True.
        """
        types = self._node_types(environment, pool, needs, nodes)
        busy = _vcpus(i for i in self._of(environment) if i.jobs)
        offer = choose_type(replace(pool, offers=types), [needs], busy, self._random)
        assert offer is not None  # the caller has asked has_room_for_nodes
        name = self._deviations.instance_type(offer.instance_type)
        idle = [i for i in self._of(environment) if not i.jobs and i.instance_type == name]
        taken = [_taken(instance, instance.free) for instance in idle[:nodes]]
        while len(taken) < nodes:
            instance = self._start_type(environment, pool, offer)
            taken.append(_taken(instance, instance.free))
        return taken

    def release(self, instance: Instance, needs: Capacity) -> None:
        """Return the capacity of a job that has ended. An instance without jobs ends later."""
        instance.free += needs
        instance.jobs -= 1
        if instance.jobs == 0 and instance.instance_id in self._instances:
            instance._end = self._clock.after(_IDLE_S, lambda: self.remove(instance))

    def remove(self, instance: Instance) -> None:
        """End an instance; no-op if it has already ended."""
        self._instances.pop(instance.instance_id, None)

    def _of(self, environment: str) -> list[Instance]:
        return [i for i in self._instances.values() if i.environment == environment]

    def _allowed(
        self, environment: str, pool: Pool, needs: Capacity, machines: int = 1
    ) -> list[Offer]:
        """Return the types for a job within the limit of the environment. Idle ones may end."""
        used = _vcpus(i for i in self._of(environment) if i.jobs)
        return [
            offer
            for offer in pool.offers
            if offer.capacity.covers(needs)
            and pool.allows(offer, used + (machines - 1) * offer.capacity.vcpus)
        ]

    def _node_types(
        self, environment: str, pool: Pool, needs: Capacity, nodes: int
    ) -> tuple[Offer, ...]:
        """Return the types of which as many instances can be started as a job has nodes."""
        allowed = self._allowed(environment, pool, needs, nodes)
        return tuple(offer for offer in allowed if self._has_quota(offer, nodes))

    def _has_quota(self, offer: Offer, machines: int = 1) -> bool:
        """Return True if EC2's quota allows more instances. Idle ones may end."""
        if offer.quota is None:
            return True
        used = _vcpus(i for i in self._counted(offer.quota) if i.jobs)
        return used + machines * offer.capacity.vcpus <= self._quotas.vcpus(offer.quota)

    def _counted(self, quota: str) -> list[Instance]:
        return [i for i in self._instances.values() if i.offer.quota == quota]

    def _start(self, environment: str, pool: Pool, waiting: Sequence[Capacity]) -> Instance:
        # For Batch, a quota is one of the reasons why EC2 has no capacity: it takes other types.
        available = replace(pool, offers=tuple(o for o in pool.offers if self._has_quota(o)))
        used = _vcpus(i for i in self._of(environment) if i.jobs)
        offer = choose_type(available, waiting, used, self._random)
        assert offer is not None  # the caller has asked has_room
        return self._start_type(environment, pool, offer)

    def _start_type(self, environment: str, pool: Pool, offer: Offer) -> Instance:
        self._end_idle(environment, pool, offer)
        instance = Instance(
            instance_id=f"i-{self._random.getrandbits(68):017x}",
            environment=environment,
            offer=replace(offer, instance_type=self._deviations.instance_type(offer.instance_type)),
            zone=REGION + self._random.choice(_ZONES),
            pool=pool,
            free=offer.capacity,
        )
        self._instances[instance.instance_id] = instance
        return instance

    def _end_idle(self, environment: str, pool: Pool, offer: Offer) -> None:
        """End the idle instances that keep a limit or quota from allowing one more instance."""
        for idle in [i for i in self._of(environment) if not i.jobs]:
            if not pool.allows(offer, self.vcpus(environment)):
                self.remove(idle)
        if offer.quota is None:
            return
        most = self._quotas.vcpus(offer.quota) - offer.capacity.vcpus
        for idle in [i for i in self._counted(offer.quota) if not i.jobs]:
            if _vcpus(self._counted(offer.quota)) > most:
                self.remove(idle)


def _taken(instance: Instance, needs: Capacity) -> Instance:
    """Give a part of an instance to a job."""
    if instance._end is not None:
        instance._end.cancel()
    instance.free -= needs
    instance.jobs += 1
    return instance


def _vcpus(instances: Iterable[Instance]) -> int:
    return sum(instance.offer.capacity.vcpus for instance in instances)
