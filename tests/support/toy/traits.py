from __future__ import annotations

from flowyml_aws.catalog.types import InstanceType
from flowyml_aws.planning.services import HostedInstance, ServiceTraits

__all__ = ["TRAITS"]


def hosted(instance: InstanceType) -> HostedInstance:
    return HostedInstance(instance.name, instance.memory_mib, 100, price_usd_hour=0.25)


TRAITS = ServiceTraits(
    name="toy",
    title="the toy",
    host="toy box",
    startup_s=7,
    hosted=hosted,
    needs_bundle=False,
    outlives_client=False,
    on_departure="the toys went home",
)
