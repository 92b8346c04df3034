"""The instance types of one region: what they have and what they cost.

The figures stand in the files under `data/`; `catalog_files.py` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

__all__ = ["Arch", "Catalog", "InstanceType"]

Arch = Literal["x86_64", "arm64"]

_ESTIMATE = "estimate"
_GENERATION = re.compile(r"[a-z]+(\d*)")
_OLD_DAYS = 90
_REFRESH = "flowyml-aws catalog refresh"


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One EC2 instance type, and the SageMaker type of the same machine if the service has it.

    Attributes:
        name: EC2's name, such as `g4dn.xlarge`.
        memory_mib: As the vendor names it.
        usable_memory_mib: What ECS registers for jobs.
        usable_memory_estimated: Whether nobody has measured it on this type.
        gpu_model: A model of `core/gpus.json`, or None without GPUs.
        gpu_memory_gb: Per GPU, as the vendor names it; of a fraction, its share.
        gpu_memory_mib: Per GPU, as EC2 reports it; of a fraction, its share.
        gpu_fraction: 1 for whole GPUs, 0.125 for an eighth of one.
        accelerator: What else it computes with (`trainium2`, `inferentia2`), or None.
        nvme_gb: Local disks, in GB (10**9 bytes).
        network_gbps: Gbit/s at its best, or None where EC2 gives words ("Moderate").
        burstable: Its vCPUs are shares of one (`t3`, `m7i-flex`).
        price_usd_hour: On demand, or None where unknown.
        spot_usd_hour: On spot, the mean over the region's zones, or None where unknown.
        sagemaker_name: The service's own name, or None where it lacks the machine.
        sagemaker_price_usd_hour: Of a training job, or None where unknown.
        sagemaker_price_source: A key of the catalog's sources; "estimate" if calculated.
        offered: False if only other regions have it.
        retired_after: AWS has withdrawn the type, and still described it on this day.
    """

    name: str
    vcpus: int
    memory_mib: int
    usable_memory_mib: int
    usable_memory_estimated: bool = False
    arch: Arch = "x86_64"
    gpu_model: str | None = None
    gpu_count: int = 0
    gpu_memory_gb: int = 0
    gpu_memory_mib: int = 0
    gpu_fraction: float = 1
    accelerator: str | None = None
    nvme_gb: int = 0
    network_gbps: float | None = None
    burstable: bool = False
    bare_metal: bool = False
    price_usd_hour: float | None = None
    spot_usd_hour: float | None = None
    sagemaker_name: str | None = None
    sagemaker_price_usd_hour: float | None = None
    sagemaker_price_source: str | None = None
    offered: bool = True
    retired_after: str | None = None

    @property
    def family(self) -> str:
        """The part before the dot: `p4d`, `m7i-flex`."""
        return self.name.partition(".")[0]

    @property
    def generation(self) -> int:
        """The first number of the family: 7 for `m7i`, 4 for `p4d`."""
        found = _GENERATION.match(self.name)
        return int(found[1]) if found and found[1] else 0

    @property
    def sagemaker_price_estimated(self) -> bool:
        """Whether SageMaker's price is calculated from EC2's."""
        return self.sagemaker_price_source == _ESTIMATE


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """All instance types of a region, in the file's order.

    Equal only to itself, so that it is a cheap key of a cache.

    Attributes:
        specifications_date: When EC2 told the types.
        prices_date: The oldest day of its EC2 prices, on demand and on spot.
        sources: Where figures come from, each with its date.
        prices_region: The region whose prices these are; `region` if empty.
    """

    region: str
    specifications_date: date
    prices_date: date
    types: tuple[InstanceType, ...]
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    prices_region: str = ""
    _by_name: Mapping[str, InstanceType] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = {t.sagemaker_name: t for t in self.types if t.sagemaker_name}
        object.__setattr__(self, "_by_name", {**names, **{t.name: t for t in self.types}})
        object.__setattr__(self, "prices_region", self.prices_region or self.region)

    def get(self, name: str) -> InstanceType | None:
        """The type with this name of EC2's or SageMaker's, or None."""
        return self._by_name.get(name)

    def notes(self, today: date) -> tuple[str, ...]:
        """What to know about its figures: that they are old, or prices of another region."""
        notes = []
        dates = {"specifications": self.specifications_date, "prices": self.prices_date}
        old = [
            f"its {what} are of {day}"
            for what, day in dates.items()
            if (today - day).days > _OLD_DAYS
        ]
        if old:
            notes.append(
                f"the catalog is older than {_OLD_DAYS} days ({', '.join(old)}): "
                f"`{_REFRESH} --region {self.region}` reads today's"
            )
        if self.prices_region != self.region:
            notes.append(
                f"prices are those of {self.prices_region}, not of {self.region}: "
                f"`{_REFRESH} --region {self.region}` reads the region's own"
            )
        return tuple(notes)
