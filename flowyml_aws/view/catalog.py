"""The catalog of instance types as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flowyml_aws.planning.catalog import Catalog, InstanceType

__all__ = ["catalog_table"]


def catalog_table(catalog: Catalog, types: Sequence[InstanceType]) -> RenderableType:
    """Some of a catalog's types, in the given order, then where its figures come from.

    `~` marks estimates.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for title, is_number in (
        ("instance type", False),
        ("vCPUs", True),
        ("memory", True),
        ("usable", True),
        ("GPUs", False),
        ("NVMe", True),
        ("arch", False),
        ("network", True),
        ("per hour", True),
        ("on spot", True),
        ("SageMaker", False),
        ("per hour", True),
        ("", False),
    ):
        table.add_column(title, justify="right" if is_number else "left", no_wrap=True)
    for one in types:
        table.add_row(
            Text(one.name, style="bold"),
            str(one.vcpus),
            f"{one.memory_mib / 1024:,g} GiB",
            f"{_mark(one.usable_memory_estimated)}{one.usable_memory_mib / 1024:,.1f} GiB",
            _devices(one),
            f"{one.nvme_gb:,} GB" if one.nvme_gb else "",
            one.arch,
            f"{one.network_gbps:g} Gbit/s" if one.network_gbps else "",
            _price(one.price_usd_hour),
            _price(one.spot_usd_hour),
            one.sagemaker_name or "",
            _price(one.sagemaker_price_usd_hour, one.sagemaker_price_estimated),
            _standing(one),
        )
    lines = [
        Text.assemble((f"{key}: ", "dim"), told) for key, told in sorted(catalog.sources.items())
    ]
    heading = Text.assemble((f"sources ({catalog.region}; ~ is an estimate)", "bold"))
    return Group(table, Text(), heading, *lines)


def _mark(is_estimate: bool) -> str:
    return "~ " if is_estimate else ""


def _price(usd_hour: float | None, is_estimate: bool = False) -> str:
    return "" if usd_hour is None else f"{_mark(is_estimate)}${usd_hour:,.4g}"


def _devices(one: InstanceType) -> str:
    if one.gpu_model is None:
        return one.accelerator or ""
    count = f"{one.gpu_fraction:g}" if one.gpu_fraction < 1 else str(one.gpu_count)
    return f"{count} × {one.gpu_model} {one.gpu_memory_gb} GB"


def _standing(one: InstanceType) -> str:
    if one.retired_after is not None:
        return f"retired after {one.retired_after}"
    return "" if one.offered else "not offered"
