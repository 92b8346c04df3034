"""Reading of the catalog's files: those in the user's cache, or else the packaged ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.catalog.documents import (
    Gpus,
    MeasuredMemory,
    Prices,
    RetiredType,
    Retirements,
    SageMakerTypes,
    Source,
    Specification,
    Specifications,
)
from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.errors import DataError, UnknownGpuError
from flowyml_aws.core.gpus import gpu_models, nominal_memory_gb

__all__ = ["InvalidCatalogError", "load_catalog", "usable_memory_mib"]

SPECIFICATIONS = "specifications.json"
PRICES = "prices.json"
PACKAGED_REGION = "us-east-1"

_DATA = Path(__file__).with_name("data")
_INSTALL = "reinstall flowyml-aws: its own files are damaged"
_REFRESH = "run `flowyml-aws catalog refresh` again, or delete this file"
_SYSTEM_MIB = 32
# Up to this nominal memory in MiB, the operating system reports this share of it.
_REPORTED_SHARES = ((512, 0.78), (2048, 0.87), (4096, 0.91))
_REPORTED_SHARE = 0.94

AnyDocument = TypeVar("AnyDocument", bound=Document)


class InvalidCatalogError(DataError, ValueError):
    """A file of the catalog can't be read, or is invalid."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    data: bytes
    fix: str

    def error(self, row: str, name: str, why: str) -> InvalidCatalogError:
        location = ", ".join(filter(None, [str(self.path), row, name and f"field {name!r}"]))
        return InvalidCatalogError(
            what=f"Invalid catalog of instance types: {location}", why=why, fix=self.fix
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    """Facts in addition to the specifications, by name of the instance type."""

    os_memory_mib: Mapping[str, int]
    sagemaker_names: frozenset[str]
    prices: Prices


def usable_memory_mib(nominal_mib: int, os_memory_mib: int | None = None) -> int:
    """Return the memory that ECS registers for jobs.

    This is the memory that the operating system reports, minus 1 % for differences between images
    and the 32 MiB that AWS recommends to reserve for the system (Amazon ECS Developer Guide,
    "Reserving memory"). Without a measurement, the system is assumed to report 94 % of the nominal
    memory, and less on types of up to 4 GiB. Nearly all measurements in `memory.json` are higher.
    """
    if os_memory_mib is not None:
        return os_memory_mib * 99 // 100 - _SYSTEM_MIB
    shares = (share for limit_mib, share in _REPORTED_SHARES if nominal_mib <= limit_mib)
    return int(nominal_mib * next(shares, _REPORTED_SHARE)) - _SYSTEM_MIB


def load_catalog(region: str | None = None, cache: Path | None = None) -> Catalog:
    """Return the catalog of a region, from its refreshed files or else the packaged ones.

    Equal files return the same object.

    Args:
        region: AWS region; None for us-east-1, the packaged one. A region without refreshed files
            has the types and prices of the packaged one; `Catalog.notes` reports this.
        cache: Folder of refreshed catalogs (`cache_folder()`); None to read only packaged files.

    Raises:
        InvalidCatalogError: A file is invalid; the error names the file, the row and the field.
    """
    region = region or PACKAGED_REGION
    folder = None if cache is None else cache / region
    return _load(region, _refreshed(folder, SPECIFICATIONS), _refreshed(folder, PRICES))


def _packaged(name: str) -> _File:
    path = _DATA / name
    return _File(path, path.read_bytes(), _INSTALL)


def _refreshed(folder: Path | None, name: str) -> _File | None:
    if folder is None:
        return None
    path = folder / name
    try:
        return _File(path, path.read_bytes(), _REFRESH)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _File(path, b"", _REFRESH).error("", "", f"it can't be read: {error}") from error


@lru_cache(maxsize=4)
def _load(region: str, new_specifications: _File | None, new_prices: _File | None) -> Catalog:
    specifications_file = new_specifications or _packaged(SPECIFICATIONS)
    prices_file = new_prices or _packaged(PRICES)
    retired_file = _packaged("retired.json")
    specifications = _read(specifications_file, Specifications)
    prices = _read(prices_file, Prices)
    retired = _read(retired_file, Retirements)
    memory = _read(_packaged("memory.json"), MeasuredMemory)
    sagemaker = _read(_packaged("sagemaker.json"), SageMakerTypes)
    for file, document in ((new_specifications, specifications), (new_prices, prices)):
        if file is not None and document.region != region:
            raise file.error("", "region", f"expected {region}, got {document.region}")
    _check_prices(prices_file, prices)
    facts = _Facts(memory.os_memory_mib, frozenset(sagemaker.names), prices)
    types = _joined(specifications_file, specifications.types, facts)
    listed = {instance.name for instance in types}
    withdrawn = [row for row in retired.types if row.name not in listed]
    if new_specifications is not None:
        withdrawn = [row.model_copy(update={"offered": False}) for row in withdrawn]
    types += _joined(retired_file, withdrawn, facts)
    days = [source.day for name, source in prices.sources.items() if name in ("on_demand", "spot")]
    return Catalog(
        region=region,
        specifications_date=specifications.source.day,
        prices_date=min(days),
        types=types,
        sources={
            "specifications": _describe(specifications.source),
            "memory": _describe(memory.source),
            "memory (~)": "estimated: 94 % of the nominal memory, at most 91 % up to 4 GiB",
            "gpu_memory": "vendor's data sheet, from core/gpus.json; for a fraction, its share",
            "sagemaker_names": _describe(sagemaker.source),
            **{f"retired ({n})": _describe(source) for n, source in retired.sources.items()},
            **{name: _describe(source) for name, source in prices.sources.items()},
        },
        prices_region=prices.region,
    )


def _describe(source: Source) -> str:
    return f"{source.what} ({source.day})"


def _read(file: _File, document_type: type[AnyDocument]) -> AnyDocument:
    try:
        return document_type.model_validate_json(file.data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        row, name = _row_and_field(file.data, first["loc"])
        raise file.error(row, name, first["msg"]) from error


def _row_and_field(data: bytes, loc: tuple[int | str, ...]) -> tuple[str, str]:
    """Return the row and the field of a location from pydantic."""
    if len(loc) < 2 or loc[0] == "source":
        return "", ".".join(map(str, loc))
    table, key, *inner = loc
    if not isinstance(key, int):
        # A mapping by name: the mapping is the field of a price.
        return str(key), ".".join(map(str, [table, *inner]))
    row = json.loads(data)[table][key]
    name = row.get("name") if isinstance(row, dict) else None
    return str(name or f"row {key + 1}"), ".".join(map(str, inner)) or str(table)


def _check_prices(file: _File, prices: Prices) -> None:
    for name in ("on_demand", "spot"):
        if name not in prices.sources:
            raise file.error("", "sources", f"{name!r} is missing")
    for name, price in prices.sagemaker.items():
        if price.source not in prices.sources:
            raise file.error(name, "sagemaker.source", f"{price.source!r} is not in the sources")


def _joined(
    file: _File, specifications: Iterable[Specification], facts: _Facts
) -> tuple[InstanceType, ...]:
    seen = set[str]()
    types = []
    for specification in specifications:
        if specification.name in seen:
            raise file.error(specification.name, "name", "the name is not unique")
        seen.add(specification.name)
        types.append(_instance(file, specification, facts))
    return tuple(types)


def _instance(file: _File, row: Specification, facts: _Facts) -> InstanceType:
    os_memory_mib = facts.os_memory_mib.get(row.name)
    if os_memory_mib is not None and os_memory_mib > row.memory_mib:
        raise file.error(
            row.name, "memory_mib", f"it is less than the measured {os_memory_mib} MiB"
        )
    # Looked up, never derived: SageMaker lacks most EC2 types.
    twin = f"ml.{row.name}"
    sagemaker_name = twin if twin in facts.sagemaker_names else None
    sagemaker_price = facts.prices.sagemaker.get(twin) if sagemaker_name else None
    gpus = row.gpus
    return InstanceType(
        name=row.name,
        vcpus=row.vcpus,
        memory_mib=row.memory_mib,
        usable_memory_mib=usable_memory_mib(row.memory_mib, os_memory_mib),
        usable_memory_estimated=os_memory_mib is None,
        arch=row.arch,
        gpu_model=gpus.model if gpus else None,
        gpu_count=gpus.count if gpus else 0,
        gpu_memory_gb=_gpu_memory_gb(file, row.name, gpus) if gpus else 0,
        gpu_memory_mib=gpus.memory_mib if gpus else 0,
        gpu_fraction=gpus.fraction if gpus else 1,
        accelerator=row.accelerator,
        nvme_gb=row.nvme_gb,
        network_gbps=row.network_gbps,
        efa=row.efa,
        burstable=row.burstable,
        bare_metal=row.bare_metal,
        price_usd_hour=facts.prices.on_demand.get(row.name),
        spot_usd_hour=facts.prices.spot.get(row.name),
        sagemaker_name=sagemaker_name,
        sagemaker_price_usd_hour=sagemaker_price.usd_hour if sagemaker_price else None,
        sagemaker_price_source=sagemaker_price.source if sagemaker_price else None,
        offered=row.offered,
        retired_after=row.last_listed.isoformat() if isinstance(row, RetiredType) else None,
    )


def _gpu_memory_gb(file: _File, name: str, gpus: Gpus) -> int:
    if gpus.model not in _canonical_models():
        raise file.error(name, "gpus.model", f"{gpus.model!r} is not in core/gpus.json")
    try:
        whole_gb = nominal_memory_gb(gpus.model, round(gpus.memory_mib / gpus.fraction))
    except UnknownGpuError as error:
        raise file.error(name, "gpus.memory_mib", error.why) from error
    return round(whole_gb * gpus.fraction)


@lru_cache(maxsize=1)
def _canonical_models() -> frozenset[str]:
    return frozenset(model.name for model in gpu_models().values())
