"""The instance types behind a target's words: families, Batch's words for several, and limits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.targets import not_offered

__all__ = ["expanded", "given"]

# https://docs.aws.amazon.com/batch/latest/userguide/instance-type-compute-table.html
_CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "optimal": ("m4", "c4", "r4", "m5", "c5", "r5"),
    "default_x86_64": ("m6i", "c6i", "r6i", "c7i"),
    "default_arm64": ("m6g", "c6g", "r6g", "c7g"),
}


def expanded(words: Iterable[str], catalog: Catalog) -> Iterator[str]:
    """Families, and Batch's words for several of them, as the types that they stand for."""
    for word in words:
        families = _CATEGORIES.get(word, (word,))
        if "." in word:
            yield word
        else:
            yield from (t.name for t in catalog.types if t.family in families)


def given(
    most_vcpus: Mapping[str, int | None], offered: Collection[str] | None, catalog: Catalog
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The types that a target can give, and those it can't with the reason.

    Args:
        most_vcpus: Of each type that the target names, the vCPUs that it may have, or None.
        offered: Types that the region offers; None where nobody could ask.
        catalog: Knows the types. One that it does not know is kept: the planner says so.
    """
    types, closed = [], {}
    for name, most in most_vcpus.items():
        instance = catalog.get(name)
        if instance is None:
            types.append(name)
        elif instance.name not in offered if offered is not None else instance.retired_after:
            closed[name] = not_offered(instance, catalog.region)
        elif most is not None and instance.vcpus > most:
            closed[name] = f"it has {instance.vcpus} vCPUs, the target at most {most} in all"
        else:
            types.append(name)
    return tuple(types), closed
