"""The instance types of one region, with their hardware and prices.

The figures are in the files under `data/`; `catalog_files.py` reads them.
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
    """One EC2 instance type, with the SageMaker type of the same machine if there is one.

    Attributes:
        name: EC2 name, such as `g4dn.xlarge`.
        memory_mib: Nominal memory.
        usable_memory_mib: Memory that ECS registers for jobs.
        usable_memory_estimated: Whether the usable memory is estimated, not measured.
        gpu_model: Canonical name in `core/gpus.json`, or None without GPUs.
        gpu_memory_gb: Nominal memory per GPU; for a fraction of a GPU, its share.
        gpu_memory_mib: Memory per GPU as EC2 reports it; for a fraction, its share.
        gpu_fraction: 1 for whole GPUs, 0.125 for an eighth of one.
        accelerator: Accelerator that is not a GPU (`trainium2`, `inferentia2`), or None.
        nvme_gb: Total size of the local disks, in GB (10**9 bytes).
        network_gbps: Peak bandwidth in Gbit/s, or None if EC2 gives a word ("Moderate").
        efa: Whether it supports the Elastic Fabric Adapter, a faster network between nodes.
        burstable: Whether a vCPU is only a share of a CPU (`t3`, `m7i-flex`).
        price_usd_hour: On-demand price, or None if unknown.
        spot_usd_hour: Spot price, as the mean of the region's zones, or None if unknown.
        sagemaker_name: SageMaker name, or None if SageMaker does not offer the machine.
        sagemaker_price_usd_hour: Price in a training job, or None if unknown.
        sagemaker_price_source: Key of the catalog's sources; "estimate" if calculated.
        offered: Whether the region offers the type; False if only other regions do.
        retired_after: Last day on which EC2 described a type that AWS has since withdrawn, or
            None.
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
    efa: bool = False
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
        """Part of the name before the dot: `p4d`, `m7i-flex`."""
        return self.name.partition(".")[0]

    @property
    def generation(self) -> int:
        """First number in the family: 7 for `m7i`, 4 for `p4d`."""
        match = _GENERATION.match(self.name)
        return int(match[1]) if match and match[1] else 0

    @property
    def sagemaker_price_estimated(self) -> bool:
        """True if the SageMaker price is calculated from the EC2 price."""
        return self.sagemaker_price_source == _ESTIMATE


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """All instance types of a region, in the file's order.

    A catalog equals only itself, so that it is a cheap cache key.

    Attributes:
        specifications_date: Day on which EC2 described the types.
        prices_date: Date of the EC2 prices; the earlier one of on-demand and spot.
        sources: Sources of the figures, each with its date.
        prices_region: Region of the prices; `region` if empty.
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
        """Return the type with this EC2 or SageMaker name, or None."""
        return self._by_name.get(name)

    def notes(self, today: date) -> tuple[str, ...]:
        """Return notes on old figures, and on prices from another region."""
        notes = []
        dates = {"specifications": self.specifications_date, "prices": self.prices_date}
        old = [
            f"its {figures} are from {day}"
            for figures, day in dates.items()
            if (today - day).days > _OLD_DAYS
        ]
        if old:
            notes.append(
                f"the catalog is older than {_OLD_DAYS} days ({', '.join(old)}): "
                f"`{_REFRESH} --region {self.region}` fetches current figures"
            )
        if self.prices_region != self.region:
            notes.append(
                f"prices are from {self.prices_region}, not from {self.region}: "
                f"`{_REFRESH} --region {self.region}` fetches prices of the region"
            )
        return tuple(notes)
