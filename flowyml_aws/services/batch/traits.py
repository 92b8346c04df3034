"""Traits of AWS Batch."""

from __future__ import annotations

from flowyml_aws.catalog.types import InstanceType
from flowyml_aws.planning.services import HostedInstance, ServiceTraits

__all__ = ["TRAITS"]

_ARRAY_SIZE = 10_000  # https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
_MAX_VOLUME_GIB = 64 * 1024  # of io2 and gp3 volumes (EBS user guide)


def hosted(instance: InstanceType) -> HostedInstance:
    """Return an instance type as Batch offers it: under EC2's name, at EC2's price."""
    return HostedInstance(
        name=instance.name,
        memory_mib=instance.usable_memory_mib,
        storage_gib=_MAX_VOLUME_GIB,
        price_usd_hour=instance.price_usd_hour,
        spot_usd_hour=instance.spot_usd_hour,
    )


TRAITS = ServiceTraits(
    name="batch",
    title="AWS Batch",
    host="account",
    startup_s=180,  # an instance starts, joins its cluster and pulls the image: 2 to 5 minutes
    hosted=hosted,
    placed_by="queue",
    runs_on_queues=True,
    array_size=_ARRAY_SIZE,
    starts_after_parents=True,
    on_departure="its jobs continue without this client",
)
