"""Disk of a job for the folders that it downloads before its steps read them."""

from __future__ import annotations

import math
from dataclasses import replace

from flowyml_aws.planning.needs import Needs

__all__ = ["with_data"]

_GIB = 2**30


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
