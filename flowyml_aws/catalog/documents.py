"""Documents of the catalog's data files, validated when they are read.

Every figure has a source with a date. Each instance type is on a line of its own, so that people
can read and compare the files.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from flowyml_aws.artifacts.documents import Document

__all__ = [
    "Gpus",
    "MeasuredMemory",
    "Prices",
    "RetiredType",
    "Retirements",
    "SageMakerPrice",
    "SageMakerTypes",
    "Source",
    "Specification",
    "Specifications",
    "as_rows",
]

Count = Annotated[int, Field(gt=0)]
UsdHour = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Source(Document):
    """The source of figures.

    Attributes:
        what: Service and API call, document, or formula.
        day: Day on which the figures were retrieved.
        estimate: Whether the figures are calculated instead of published.
    """

    what: str
    day: date
    estimate: bool = False


class Gpus(Document):
    """The GPUs of an instance type.

    Attributes:
        model: Canonical name in `core/gpus.json`.
        count: Devices that a job sees; 1 for a fraction of a GPU.
        memory_mib: Memory per device, as EC2 reports it.
        fraction: 1 for whole GPUs, 0.125 for an eighth of one.
    """

    model: str
    count: Count
    memory_mib: Count
    fraction: Annotated[float, Field(gt=0, le=1)] = 1


class Specification(Document):
    """The EC2 description of one instance type.

    Attributes:
        memory_mib: Nominal memory.
        accelerator: Accelerator that is not a GPU (`trainium2`, `inferentia2`), or None.
        accelerator_count: Number of these accelerators.
        nvme_gb: Total size of the local disks, in GB (10**9 bytes).
        network_gbps: Peak bandwidth in Gbit/s, or None if EC2 gives a word ("Moderate").
        efa: Whether it supports the Elastic Fabric Adapter; False also in older files.
        burstable: Whether a vCPU is only a share of a CPU (`t3`, `m7i-flex`).
        offered: Whether the region offers the type; False if only other regions do.
    """

    name: str
    vcpus: Count
    memory_mib: Count
    arch: Literal["x86_64", "arm64"] = "x86_64"
    gpus: Gpus | None = None
    accelerator: str | None = None
    accelerator_count: int = 0
    nvme_gb: int = 0
    network_gbps: float | None = None
    efa: bool = False
    burstable: bool = False
    bare_metal: bool = False
    offered: bool = True


class Specifications(Document):
    """The instance types of a region (`specifications.json`), as EC2 describes them."""

    version: Literal[1] = 1
    region: str
    source: Source
    types: Annotated[tuple[Specification, ...], Field(min_length=1)]


class RetiredType(Specification):
    """A type that AWS has withdrawn.

    Attributes:
        last_listed: Last day on which EC2 described the type.
        source: Key of the document's sources.
    """

    last_listed: date
    source: str


class Retirements(Document):
    """Withdrawn instance types (`retired.json`), from the last snapshot that contained them."""

    version: Literal[1] = 1
    sources: dict[str, Source]
    types: tuple[RetiredType, ...]

    @model_validator(mode="after")
    def _check_sources(self) -> Retirements:
        for retired in self.types:
            if retired.source not in self.sources:
                raise ValueError(f"{retired.name}: source {retired.source!r} is not in the sources")
        return self


class MeasuredMemory(Document):
    """Memory that the operating system reports (`memory.json`), in MiB, by instance type."""

    version: Literal[1] = 1
    source: Source
    os_memory_mib: dict[str, Count]


class SageMakerTypes(Document):
    """The names of SageMaker's training instance types (`sagemaker.json`)."""

    version: Literal[1] = 1
    source: Source
    names: tuple[str, ...]


class SageMakerPrice(Document):
    """Price of a training instance; `source` is a key of the document's sources."""

    usd_hour: UsdHour
    source: str


class Prices(Document):
    """Linux prices of one region (`prices.json`), in USD per hour; a type may have no price.

    Attributes:
        sources: Sources of the prices: `on_demand`, `spot`, and those that `sagemaker` names.
        on_demand: Price by EC2 name.
        spot: Mean of the zones' latest prices, by EC2 name.
        sagemaker: Price by SageMaker name.
    """

    version: Literal[1] = 1
    region: str
    sources: dict[str, Source]
    on_demand: dict[str, UsdHour]
    spot: dict[str, UsdHour]
    sagemaker: dict[str, SageMakerPrice]


def as_rows(document: Document) -> bytes:
    """Return a document as JSON without defaults, one entry of a list or mapping on each line."""
    fields = document.model_dump(mode="json", exclude_defaults=True)
    # The version is a default, but readers need it.
    fields = {"version": document.model_dump()["version"], **fields}
    parts = [f" {_compact(name)}: {_listed(value)}" for name, value in fields.items()]
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def _listed(value: Any) -> str:
    if isinstance(value, dict) and value:
        rows = [f"{_compact(name)}: {_compact(entry)}" for name, entry in value.items()]
        return "{\n  " + ",\n  ".join(rows) + "\n }"
    if isinstance(value, list) and value:
        return "[\n  " + ",\n  ".join(map(_compact, value)) + "\n ]"
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
