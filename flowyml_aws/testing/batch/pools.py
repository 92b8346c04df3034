"""The instance types that an emulated compute environment can start, with prices and disks."""

from __future__ import annotations

from functools import lru_cache

from moto.batch.models import ComputeEnvironment
from moto.core.exceptions import ServiceException

from flowyml_aws.aws.ec2.quotas import quota_of
from flowyml_aws.catalog.disk import Disk
from flowyml_aws.catalog.families import expand_families
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.testing.batch.instance_choice import Lifecycle, Offer, Pool, Strategy
from flowyml_aws.testing.batch.interfaces import efa_interfaces
from flowyml_aws.testing.capacity import Capacity
from flowyml_aws.testing.machines.disks import free_gib

__all__ = ["pool_of"]

# Assumed for types that the catalog lacks.
_UNKNOWN_CAPACITY = Capacity(vcpus=192, memory_mib=2 * 1024 * 1024, gpus=16)


def pool_of(environment: ComputeEnvironment, region: str, local_data_root: bool) -> Pool | None:
    """Return the pool of a compute environment; None if its launch template does not exist.

    If the template has an Elastic Fabric Adapter, EC2 starts only types that have some.

    Args:
        environment: Managed environment, as moto stores it.
        region: Region of the environment.
        local_data_root: Whether its instances put containers on local disks, if they have some.
    """
    resources = environment.compute_resources or {}
    try:
        volume_gib = free_gib(resources, region)
        needs_efa = efa_interfaces(resources, region) > 0
    except ServiceException:
        return None
    return _make_pool(
        tuple(resources.get("instanceTypes", ())),
        resources.get("allocationStrategy") or "BEST_FIT",
        int(resources.get("maxvCpus", 0)),
        "spot" if resources.get("type") == "SPOT" else "on-demand",
        Disk(volume_gib, local_data_root),
        needs_efa,
    )


@lru_cache(maxsize=256)
def _make_pool(
    entries: tuple[str, ...],
    strategy: Strategy,
    max_vcpus: int,
    lifecycle: Lifecycle,
    disk: Disk,
    needs_efa: bool,
) -> Pool:
    names = dict.fromkeys(expand_families(entries, load_catalog()))
    possible = [name for name in names if not needs_efa or _may_have_efa(name)]
    offers = tuple(_offer(name, lifecycle, disk) for name in possible)
    if not names:
        offers = (Offer("unknown", _UNKNOWN_CAPACITY, disk_gib=disk.free_gib),)
    return Pool(strategy, max_vcpus, offers, lifecycle)


def _may_have_efa(name: str) -> bool:
    known = load_catalog().get(name)
    return known is None or known.efa


def _offer(name: str, lifecycle: Lifecycle, disk: Disk) -> Offer:
    known = load_catalog().get(name)
    if known is None:
        return Offer(name, _UNKNOWN_CAPACITY, disk_gib=disk.free_gib)
    spot_price = known.spot_usd_hour if lifecycle == "spot" else None
    quota = quota_of(known.family, lifecycle)
    return Offer(
        known.name,
        Capacity(known.vcpus, known.usable_memory_mib, known.gpu_count),
        price_usd_hour=known.price_usd_hour if spot_price is None else spot_price,
        quota=None if quota is None else quota.code,
        disk_gib=max(1, disk.free_on(known)),
    )
