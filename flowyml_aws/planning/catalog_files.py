"""Reads the catalog's files: those of the package, and over them those of the user's cache."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.core.errors import FlowymlError, UnknownGpuError
from flowyml_aws.core.gpus import gpu_models, nominal_memory_gb
from flowyml_aws.planning.catalog import Catalog, InstanceType
from flowyml_aws.planning.catalog_documents import (
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

__all__ = ["InvalidCatalogError", "cache_folder", "load_catalog", "usable_memory_mib"]

SPECIFICATIONS = "specifications.json"
PRICES = "prices.json"
PACKAGED_REGION = "us-east-1"

_DATA = Path(__file__).with_name("data")
_INSTALL = "install flowyml-aws again: its own files are damaged"
_REFRESH = "run `flowyml-aws catalog refresh` again, or delete that file"
_SYSTEM_MIB = 32
# Up to this much nominal memory, the operating system reports this share of it.
_REPORTED_SHARES = ((512, 0.78), (2048, 0.87), (4096, 0.91))
_REPORTED_SHARE = 0.94

HardwareClass = TypeVar("HardwareClass", bound=Document)


class InvalidCatalogError(FlowymlError, ValueError):
    """A file of the catalog can't be read, or says what cannot be true."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    data: bytes
    fix: str

    def wrong(self, row: str, name: str, why: str) -> InvalidCatalogError:
        where = ", ".join(filter(None, [str(self.path), row, name and f"field {name!r}"]))
        return InvalidCatalogError(
            what=f"The catalog of instance types is wrong: {where}", why=why, fix=self.fix
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known beside specifications, by name."""

    os_memory_mib: Mapping[str, int]
    sagemaker_names: frozenset[str]
    prices: Prices


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where refreshed catalogs lie, a folder per region."""
    base = environment.get("XDG_CACHE_HOME", "")
    # The specification of XDG has a relative path ignored.
    folder = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return folder / "flowyml-aws"


def usable_memory_mib(nominal_mib: int, os_memory_mib: int | None = None) -> int:
    """What ECS registers for jobs.

    It is what the operating system reports, less 1 % for what differs between images and the
    32 MiB that AWS advises to keep for the system (Developer Guide of Amazon ECS, "Reserving
    memory"). Where nobody has measured it, the system reports about 94 % of the nominal memory, and
    less on types of up to 4 GiB. Nearly all measurements in `memory.json` are above that.
    """
    if os_memory_mib is not None:
        return os_memory_mib * 99 // 100 - _SYSTEM_MIB
    shares = (share for limit_mib, share in _REPORTED_SHARES if nominal_mib <= limit_mib)
    return int(nominal_mib * next(shares, _REPORTED_SHARE)) - _SYSTEM_MIB


def load_catalog(region: str | None = None, cache: Path | None = None) -> Catalog:
    """The catalog of a region: its refreshed files, and the packaged ones where there are none.

    The same files give the same object.

    Args:
        region: us-east-1, the packaged one, if None. Of a region without refreshed files, the
            types and prices are those of the packaged one; `Catalog.notes` says so.
        cache: `cache_folder()`; if None, only the packaged files are read.

    Raises:
        InvalidCatalogError: A file is damaged; the error names the file, the row and the field.
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
        raise _File(path, b"", _REFRESH).wrong("", "", f"it can't be read: {error}") from error


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
    for file, told in ((new_specifications, specifications), (new_prices, prices)):
        if file is not None and told.region != region:
            raise file.wrong("", "region", f"it is of {told.region}, and stands for {region}")
    _check_prices(prices_file, prices)
    facts = _Facts(memory.os_memory_mib, frozenset(sagemaker.names), prices)
    types = _joined(specifications_file, specifications.types, facts)
    listed = {one.name for one in types}
    withdrawn = [one for one in retired.types if one.name not in listed]
    if new_specifications is not None:
        withdrawn = [one.model_copy(update={"offered": False}) for one in withdrawn]
    types += _joined(retired_file, withdrawn, facts)
    days = [source.day for name, source in prices.sources.items() if name in ("on_demand", "spot")]
    return Catalog(
        region=region,
        specifications_date=specifications.source.day,
        prices_date=min(days),
        types=types,
        sources={
            "specifications": _told(specifications.source),
            "memory": _told(memory.source),
            "memory (~)": "94 % of the nominal memory, 91 % and less up to 4 GiB: estimated",
            "gpu_memory": "vendor's data sheet, by core/gpus.json; of a fraction its share",
            "sagemaker_names": _told(sagemaker.source),
            **{f"retired ({n})": _told(source) for n, source in retired.sources.items()},
            **{name: _told(source) for name, source in prices.sources.items()},
        },
        prices_region=prices.region,
    )


def _told(source: Source) -> str:
    return f"{source.what} ({source.day})"


def _read(file: _File, kind: type[HardwareClass]) -> HardwareClass:
    try:
        return kind.model_validate_json(file.data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        row, name = _place(file.data, first["loc"])
        raise file.wrong(row, name, first["msg"]) from error


def _place(data: bytes, loc: tuple[int | str, ...]) -> tuple[str, str]:
    """The row and the field that pydantic's location means."""
    if len(loc) < 2 or loc[0] == "source":
        return "", ".".join(map(str, loc))
    table, key, *inner = loc
    if not isinstance(key, int):
        # A table by name: of a price, the table is the field.
        return str(key), ".".join(map(str, [table, *inner]))
    row = json.loads(data)[table][key]
    name = row.get("name") if isinstance(row, dict) else None
    return str(name or f"row {key + 1}"), ".".join(map(str, inner)) or str(table)


def _check_prices(file: _File, prices: Prices) -> None:
    for name in ("on_demand", "spot"):
        if name not in prices.sources:
            raise file.wrong("", "sources", f"{name!r} is missing")
    for name, price in prices.sagemaker.items():
        if price.source not in prices.sources:
            raise file.wrong(name, "sagemaker.source", f"{price.source!r} is not in the sources")


def _joined(
    file: _File, specifications: Iterable[Specification], facts: _Facts
) -> tuple[InstanceType, ...]:
    seen = set[str]()
    types = []
    for one in specifications:
        if one.name in seen:
            raise file.wrong(one.name, "name", "it stands there twice")
        seen.add(one.name)
        types.append(_instance(file, one, facts))
    return tuple(types)


def _instance(file: _File, one: Specification, facts: _Facts) -> InstanceType:
    os_memory_mib = facts.os_memory_mib.get(one.name)
    if os_memory_mib is not None and os_memory_mib > one.memory_mib:
        raise file.wrong(
            one.name, "memory_mib", f"it is less than the measured {os_memory_mib} MiB"
        )
    # Looked up, never taken for granted: SageMaker lacks most of EC2's types.
    twin = f"ml.{one.name}"
    twin_price = facts.prices.sagemaker.get(twin) if twin in facts.sagemaker_names else None
    gpus = one.gpus
    return InstanceType(
        name=one.name,
        vcpus=one.vcpus,
        memory_mib=one.memory_mib,
        usable_memory_mib=usable_memory_mib(one.memory_mib, os_memory_mib),
        usable_memory_estimated=os_memory_mib is None,
        arch=one.arch,
        gpu_model=gpus.model if gpus else None,
        gpu_count=gpus.count if gpus else 0,
        gpu_memory_gb=_gpu_memory_gb(file, one.name, gpus) if gpus else 0,
        gpu_memory_mib=gpus.memory_mib if gpus else 0,
        gpu_fraction=gpus.fraction if gpus else 1,
        accelerator=one.accelerator,
        nvme_gb=one.nvme_gb,
        network_gbps=one.network_gbps,
        burstable=one.burstable,
        bare_metal=one.bare_metal,
        price_usd_hour=facts.prices.on_demand.get(one.name),
        spot_usd_hour=facts.prices.spot.get(one.name),
        sagemaker_name=twin if twin in facts.sagemaker_names else None,
        sagemaker_price_usd_hour=twin_price.usd_hour if twin_price else None,
        sagemaker_price_source=twin_price.source if twin_price else None,
        offered=one.offered,
        retired_after=one.last_listed.isoformat() if isinstance(one, RetiredType) else None,
    )


def _gpu_memory_gb(file: _File, name: str, gpus: Gpus) -> int:
    if gpus.model not in _canonical_models():
        raise file.wrong(name, "gpus.model", f"{gpus.model!r} is not in core/gpus.json")
    try:
        whole_gb = nominal_memory_gb(gpus.model, round(gpus.memory_mib / gpus.fraction))
    except UnknownGpuError as error:
        raise file.wrong(name, "gpus.memory_mib", error.why) from error
    return round(whole_gb * gpus.fraction)


@lru_cache(maxsize=1)
def _canonical_models() -> frozenset[str]:
    return frozenset(model.name for model in gpu_models().values())
