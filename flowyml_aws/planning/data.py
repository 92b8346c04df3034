"""Folders that the jobs of a plan read: downloaded to their disks, or mounted by the service."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from flowyml_aws.core.errors import InvalidDataError
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.services import SERVICES, service_traits

__all__ = ["DataReads", "PlannedData", "channel_names", "data_reads", "with_data"]

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class PlannedData:
    """A folder among the external inputs.

    Attributes:
        size_bytes: Bytes that a job writes to its disk if it downloads the folder.
        mount_uri: URI of S3 that the service of a job mounts instead, if it can; None for a folder
            that is always downloaded.
        must_mount: Whether downloading is not allowed.
    """

    size_bytes: int = 0
    mount_uri: str | None = None
    must_mount: bool = False


@dataclass(frozen=True, slots=True)
class DataReads:
    """The folders that a job reads.

    Attributes:
        downloaded_bytes: Bytes that it downloads.
        mounts: URIs that its service mounts, by asset.
    """

    downloaded_bytes: int
    mounts: dict[str, str]


def data_reads(assets: Iterable[str], data: Mapping[str, PlannedData], backend: str) -> DataReads:
    """Return how a job on a service gets the folders among the assets that it reads.

    Raises:
        InvalidDataError: A folder must be mounted, and the service can't do that.
    """
    traits = service_traits(backend)
    folders = {asset: data[asset] for asset in assets if asset in data}
    mounts: dict[str, str] = {}
    downloaded_bytes = 0
    for asset, folder in folders.items():
        if folder.mount_uri is not None and traits.mounts_prefixes:
            mounts[asset] = folder.mount_uri
        elif folder.must_mount:
            able = [name for name in SERVICES if service_traits(name).mounts_prefixes]
            raise InvalidDataError(
                what=f"Input {asset!r} can't be mounted: {folder.mount_uri}",
                why=f"{traits.title} can't mount prefixes of S3",
                fix=f'omit mode="mount" to download it, or run the step on {" or ".join(able)}',
            )
        else:
            downloaded_bytes += folder.size_bytes
    return DataReads(downloaded_bytes, mounts)


def channel_names(mounts: Iterable[str]) -> dict[str, str]:
    """Return the names under which a service mounts the prefixes of some assets, by asset."""
    return {asset: f"data-{number}" for number, asset in enumerate(sorted(mounts))}


def with_data(needs: Needs, data_bytes: int) -> tuple[Needs, tuple[str, ...]]:
    """Return the needs of a job with at least the disk for its folders, and a note if it grew.

    Less than 1 GiB is not counted: every machine has room for it.

    Args:
        needs: Needs that the steps of the job declare.
        data_bytes: Bytes of the folders that the job downloads.
    """
    data_gib = math.ceil(data_bytes / _GIB) if data_bytes >= _GIB else 0
    if needs.storage_gib >= data_gib:
        return needs, ()
    note = f"needs {data_gib}Gi storage, because it downloads {data_bytes / _GIB:.1f} GiB of inputs"
    declared = f" (the steps request {needs.storage_gib}Gi)" if needs.storage_gib else ""
    return replace(needs, storage_gib=data_gib), (f"{note}{declared}",)
