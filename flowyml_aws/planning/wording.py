"""Formatting of amounts, prices and durations in notes and errors."""

from __future__ import annotations

from collections.abc import Sequence

from flowyml_aws.core.amounts import usd
from flowyml_aws.planning.needs import Amounts, Needs, mib_text
from flowyml_aws.planning.targets import Candidate

__all__ = ["amounts_text", "hourly_price", "lacking", "price_text", "time_text"]


def lacking(needs: Needs, candidate: Candidate) -> tuple[str, ...]:
    """Return the names of the amounts of which a type provides less than the job requests."""
    pairs = zip(Amounts._fields, needs.amounts, candidate.gives, strict=True)
    return tuple(name for name, requested, provided in pairs if requested > provided)


def amounts_text(amounts: Amounts, names: Sequence[str], gpu_model: str | None) -> str:
    """Format some of the amounts: `8 vCPUs and 32Gi memory`."""
    texts = {
        "vcpus": f"{amounts.vcpus} vCPUs",
        "memory_mib": f"{mib_text(amounts.memory_mib)} memory",
        "storage_gib": f"{amounts.storage_gib}Gi storage",
        "gpu_count": f"{amounts.gpu_count} x {gpu_model or 'GPU'}",
        "gpu_memory_gb": f"{amounts.gpu_memory_gb} GB of GPU memory",
    }
    return " and ".join(texts[name] for name in names)


def price_text(needs: Needs, candidate: Candidate) -> str:
    """Format the price of all nodes after a name: ` for $0.5260 an hour`; empty if unknown."""
    usd_hour = needs.price_of_nodes(candidate.price_usd_hour)
    return "" if usd_hour is None else f" for ${usd_hour:.{2 if usd_hour >= 1 else 4}f} an hour"


def hourly_price(usd_hour: float | None) -> str:
    """Format a price that follows a name: ` at $0.526/h`; empty if unknown."""
    return "" if usd_hour is None else f" at {usd(usd_hour)}/h"


def time_text(seconds: float) -> str:
    """Format a duration: `12.5 s`, `45 min`, `3 h 05 min`, `7 d 0 h`."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60:02} min"
    return f"{hours // 24} d {hours % 24} h"
