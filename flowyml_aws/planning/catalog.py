"""The instance types of one region: what they have and what they cost.

The facts stand in `instances.json`, one type per line; its header says where each comes from.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.gpus import gpu_models

__all__ = ["Arch", "Catalog", "InstanceType", "InvalidCatalogError", "load_catalog", "read_catalog"]

Arch = Literal["x86_64", "arm64"]

_ESTIMATE = "estimate"
_GENERATION = re.compile(r"[a-z]+(\d*)")


class InvalidCatalogError(FlowymlError, ValueError):
    """A catalog has a line that cannot be true or cannot be read."""


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One EC2 instance type, and the SageMaker type of the same machine if the service has it.

    Attributes:
        name: EC2's name, such as `g4dn.xlarge`.
        memory_mib: As the vendor names it.
        usable_memory_mib: What ECS registers for jobs.
        usable_memory_estimated: Whether nobody has measured it on this type.
        gpu_model: A model of `core/gpus.json`, or None without GPUs.
        gpu_memory_gb: Per GPU, as the vendor names it.
        gpu_fraction: 1 for whole GPUs, 0.125 for an eighth of one.
        accelerator: What else it computes with (`trainium2`, `inferentia2`), or None.
        nvme_gb: Local disks, in GB (10**9 bytes).
        burstable: Its vCPUs are shares of one (`t3`, `m7i-flex`).
        price_usd_hour: On demand, or None where unknown.
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
    gpu_fraction: float = 1
    accelerator: str | None = None
    nvme_gb: int = 0
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
    """

    region: str
    specifications_date: date
    prices_date: date
    types: tuple[InstanceType, ...]
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    _by_name: Mapping[str, InstanceType] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = {t.sagemaker_name: t for t in self.types if t.sagemaker_name}
        object.__setattr__(self, "_by_name", {**names, **{t.name: t for t in self.types}})

    def get(self, name: str) -> InstanceType | None:
        """The type with this name of EC2's or SageMaker's, or None."""
        return self._by_name.get(name)


@lru_cache(maxsize=1)
def load_catalog() -> Catalog:
    """The catalog that comes with the package."""
    path = files(__package__).joinpath("instances.json")
    return read_catalog(path.read_text("utf-8"), path.name)


def read_catalog(text: str, origin: str) -> Catalog:
    """A catalog from its JSON document, where each type stands on a line of its own.

    Args:
        text: The document.
        origin: What errors call the document, such as a file's name.

    Raises:
        InvalidCatalogError: A value is missing, unknown, of the wrong kind or impossible; the
            error names the line and the field.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise _invalid(f"{origin}, line {error.lineno}", "JSON", error.msg) from error
    if not isinstance(document, dict):
        raise _invalid(origin, "types", "the document is no object")
    known = ("version", *_HEADER, "sources", "sagemaker_price_sources", "types")
    for name in (*(name for name in known if name not in document), *document.keys() - {*known}):
        raise _invalid(origin, name, "it is unknown" if name in document else "it is missing")
    if document["version"] != 1:
        raise _invalid(origin, "version", f"this release reads 1, not {document['version']!r}")
    for name in ("sources", "sagemaker_price_sources"):
        if not isinstance(document[name], dict):
            raise _invalid(origin, name, "it is no object of texts")
    if not isinstance(rows := document["types"], list) or not rows:
        raise _invalid(origin, "types", "it is no list of instance types")
    types, names = [], set[str]()
    for index, row in enumerate(rows):
        fault = _fault(row, document["sagemaker_price_sources"])
        if fault is None and row["name"] in names:
            fault = ("name", f"{row['name']!r} stands there twice")
        if fault is not None:
            raise _invalid(f"{origin}, line {_line_of(text, index)}", *fault)
        names.add(row["name"])
        types.append(InstanceType(**row))
    header = {name: _read_header(document[name], name, origin) for name in _HEADER}
    sources = {**document["sources"], **document["sagemaker_price_sources"]}
    return Catalog(**header, types=tuple(types), sources=sources)


_HEADER = {"region": str, "specifications_date": date, "prices_date": date}
_REQUIRED = ("name", "vcpus", "memory_mib", "usable_memory_mib")
_KINDS: dict[str, type] = {
    "name": str,
    "vcpus": int,
    "memory_mib": int,
    "usable_memory_mib": int,
    "usable_memory_estimated": bool,
    "arch": str,
    "gpu_model": str,
    "gpu_count": int,
    "gpu_memory_gb": int,
    "gpu_fraction": float,
    "accelerator": str,
    "nvme_gb": int,
    "burstable": bool,
    "bare_metal": bool,
    "price_usd_hour": float,
    "sagemaker_name": str,
    "sagemaker_price_usd_hour": float,
    "sagemaker_price_source": str,
    "offered": bool,
    "retired_after": str,
}


def _read_header(value: object, name: str, origin: str) -> Any:
    if not isinstance(value, str):
        raise _invalid(origin, name, f"{value!r} is no text")
    if _HEADER[name] is not date:
        return value
    if not _is_date(value):
        raise _invalid(origin, name, f"{value!r} is no date (YYYY-MM-DD)")
    return date.fromisoformat(value)


def _is_date(text: str) -> bool:
    # Not left to `fromisoformat`, which reads more spellings from Python 3.11 on.
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _fault(row: Any, price_sources: Mapping[str, str]) -> tuple[str, str] | None:
    """The first field of a type that cannot be, with the reason."""
    if not isinstance(row, dict):
        return "types", f"{row!r} is no object"
    for name in _REQUIRED:
        if name not in row:
            return name, "it is missing"
    for name, value in row.items():
        kind = _KINDS.get(name)
        if kind is None:
            return name, "it is unknown"
        # `bool` is an `int` to Python, and JSON writes a whole float as an int.
        actual = type(value)
        if actual is not kind and (kind, actual) != (float, int):
            return name, f"{value!r} is no {kind.__name__}"
        if kind in (int, float) and not 0 < value < math.inf:
            return name, f"{value!r} is no number above zero"
    if row["usable_memory_mib"] > row["memory_mib"]:
        return "usable_memory_mib", "it is more than memory_mib"
    if row.get("arch", "x86_64") not in ("x86_64", "arm64"):
        return "arch", f"{row['arch']!r} is neither x86_64 nor arm64"
    if "retired_after" in row and not _is_date(row["retired_after"]):
        return "retired_after", f"{row['retired_after']!r} is no date (YYYY-MM-DD)"
    return _gpu_fault(row) or _sagemaker_fault(row, price_sources)


def _gpu_fault(row: Mapping[str, Any]) -> tuple[str, str] | None:
    together = ("gpu_model", "gpu_count", "gpu_memory_gb")
    if len(missing := [name for name in together if name not in row]) not in (0, 3):
        return missing[0], "it is missing, and other facts about GPUs are there"
    if "gpu_model" in row and row["gpu_model"] not in {m.name for m in gpu_models().values()}:
        return "gpu_model", f"{row['gpu_model']!r} is not in gpus.json"
    if not 0 < row.get("gpu_fraction", 1) <= 1:
        return "gpu_fraction", f"{row['gpu_fraction']!r} is no part of 1"
    return None


def _sagemaker_fault(
    row: Mapping[str, Any], price_sources: Mapping[str, str]
) -> tuple[str, str] | None:
    together = ("sagemaker_price_usd_hour", "sagemaker_price_source")
    if len(missing := [name for name in together if name not in row]) == 1:
        return missing[0], "a price and its source stand together"
    if not missing and "sagemaker_name" not in row:
        return "sagemaker_name", "it is missing, and a price is there"
    if not missing and row["sagemaker_price_source"] not in price_sources:
        return "sagemaker_price_source", f"{row['sagemaker_price_source']!r} is not in the header"
    return None


def _line_of(text: str, index: int) -> int:
    """The line of the type at an index, counting from 1."""
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines, 1) if line.lstrip().startswith('"types"')]
    return starts[0] + 1 + index if starts else 1


def _invalid(where: str, name: str, why: str) -> InvalidCatalogError:
    return InvalidCatalogError(
        what=f"The catalog of instance types is wrong: {where}, field {name!r}",
        why=why,
        fix="correct that line, or build the catalog anew",
    )
