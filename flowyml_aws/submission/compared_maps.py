"""Facts of mapped steps for comparisons of runs: one value instead of one for each item."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from flowyml_aws.core.maps import declared_name
from flowyml_aws.planning.plan import PlannedMap

__all__ = ["fold_items", "joined_digest", "joined_number", "joined_range", "joined_text"]

Value = TypeVar("Value")


def fold_items(
    values: Mapping[str, Value],
    maps: Mapping[str, PlannedMap],
    fold: Callable[[Sequence[Value]], Value],
) -> dict[str, Value]:
    """Return values with one for all items of a mapped step, or of an asset of one.

    Args:
        values: Values by the name of a step or an asset.
        maps: Mapped steps.
        fold: Returns the value for all items from theirs, in order.
    """
    declared = {*maps, *(asset for planned in maps.values() for asset in planned.outputs)}
    items: dict[str, list[Value]] = {}
    for name, value in values.items():
        stem = declared_name(name)
        items.setdefault(stem if stem in declared else name, []).append(value)
    return {name: fold(found) if name in declared else found[0] for name, found in items.items()}


def joined_text(values: Sequence[str]) -> str:
    """Return the different strings of items, in order."""
    return ", ".join(dict.fromkeys(values))


def joined_number(values: Sequence[float]) -> float:
    """Return the sum of the numbers of items."""
    return float(sum(values))


def joined_digest(values: Sequence[str]) -> str:
    """Return the digest of a list from those of its items."""
    return hashlib.sha256(" ".join(values).encode()).hexdigest()


def joined_range(values: Sequence[float | str]) -> float | str:
    """Return the smallest and the largest metric of the items as text."""
    numbers = [value for value in values if isinstance(value, (int, float))]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    return f"{low:.6g} to {high:.6g} in {len(numbers):,} items"
