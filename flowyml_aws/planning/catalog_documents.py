"""The catalog's data files: what each of them says, checked where it is read.

Every figure has a source with a date. Instance types are listed one per line, so that the files
can be read and compared by people.
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
    """Where figures come from.

    Attributes:
        what: The service and its call, the document, or the formula.
        day: When they were taken from there.
        estimate: They are calculated, not told.
    """

    what: str
    day: date
    estimate: bool = False


class Gpus(Document):
    """The GPUs of an instance type.

    Attributes:
        model: Canonical name in `core/gpus.json`.
        count: Devices that a job sees; of a fraction, 1.
        memory_mib: Per device, as EC2 reports it.
        fraction: 1 for whole GPUs, 0.125 for an eighth of one.
    """

    model: str
    count: Count
    memory_mib: Count
    fraction: Annotated[float, Field(gt=0, le=1)] = 1


class Specification(Document):
    """What EC2 says of one instance type.

    Attributes:
        memory_mib: Nominal.
        accelerator: What else it computes with (`trainium2`, `inferentia2`), or None.
        accelerator_count: Devices of that kind.
        nvme_gb: Local disks in all, in GB (10**9 bytes).
        network_gbps: Gbit/s at its best, or None where EC2 gives words ("Moderate").
        burstable: Its vCPUs are shares of one (`t3`, `m7i-flex`).
        offered: False where only other regions have it.
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
    burstable: bool = False
    bare_metal: bool = False
    offered: bool = True


class Specifications(Document):
    """The instance types of a region (`specifications.json`), as EC2 tells them."""

    version: Literal[1] = 1
    region: str
    source: Source
    types: Annotated[tuple[Specification, ...], Field(min_length=1)]


class RetiredType(Specification):
    """A type that AWS has withdrawn.

    Attributes:
        last_listed: EC2 still described it on this day.
        source: Key of the document's sources.
    """

    last_listed: date
    source: str


class Retirements(Document):
    """Withdrawn instance types (`retired.json`), from the last snapshot that had them."""

    version: Literal[1] = 1
    sources: dict[str, Source]
    types: tuple[RetiredType, ...]

    @model_validator(mode="after")
    def _sources_are_told(self) -> Retirements:
        for one in self.types:
            if one.source not in self.sources:
                raise ValueError(f"{one.name}: source {one.source!r} is not in the sources")
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
    """Prices of one region (`prices.json`), Linux, in USD per hour; a type may have none.

    Attributes:
        sources: Of the three, by name: `on_demand`, `spot`, and those that `sagemaker` names.
        on_demand: By EC2's name.
        spot: By EC2's name: the mean over the zones of the latest price.
        sagemaker: By SageMaker's name.
    """

    version: Literal[1] = 1
    region: str
    sources: dict[str, Source]
    on_demand: dict[str, UsdHour]
    spot: dict[str, UsdHour]
    sagemaker: dict[str, SageMakerPrice]


def as_rows(document: Document) -> bytes:
    """Its JSON with each entry of a list or table on a line of its own, without defaults."""
    fields = document.model_dump(mode="json", exclude_defaults=True)
    # The version is a default, and must be told all the same.
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
