"""Terminal output of the catalog of instance types."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.amounts import usd

__all__ = ["catalog_table"]


def catalog_table(catalog: Catalog, types: Sequence[InstanceType]) -> RenderableType:
    """Return a table of some types in the given order, followed by the catalog's sources.

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
    for instance in types:
        table.add_row(
            Text(instance.name, style="bold"),
            str(instance.vcpus),
            f"{instance.memory_mib / 1024:,g} GiB",
            _usable_memory(instance),
            _devices(instance),
            f"{instance.nvme_gb:,} GB" if instance.nvme_gb else "",
            instance.arch,
            f"{instance.network_gbps:g} Gbit/s" if instance.network_gbps else "",
            _price(instance.price_usd_hour),
            _price(instance.spot_usd_hour),
            instance.sagemaker_name or "",
            _price(instance.sagemaker_price_usd_hour, instance.sagemaker_price_estimated),
            _availability(instance),
        )
    lines = [
        Text.assemble((f"{key}: ", "dim"), source)
        for key, source in sorted(catalog.sources.items())
    ]
    heading = Text.assemble((f"sources ({catalog.region}; ~ is an estimate)", "bold"))
    return Group(table, Text(), heading, *lines)


def _mark(is_estimate: bool) -> str:
    return "~ " if is_estimate else ""


def _usable_memory(instance: InstanceType) -> str:
    mark = _mark(instance.usable_memory_estimated)
    return f"{mark}{instance.usable_memory_mib / 1024:,.1f} GiB"


def _price(usd_hour: float | None, is_estimate: bool = False) -> str:
    return "" if usd_hour is None else f"{_mark(is_estimate)}{usd(usd_hour)}"


def _devices(instance: InstanceType) -> str:
    if instance.gpu_model is None:
        return instance.accelerator or ""
    count = f"{instance.gpu_fraction:g}" if instance.gpu_fraction < 1 else str(instance.gpu_count)
    return f"{count} × {instance.gpu_model} {instance.gpu_memory_gb} GB"


def _availability(instance: InstanceType) -> str:
    if instance.retired_after is not None:
        return f"retired after {instance.retired_after}"
    return "" if instance.offered else "not offered"
