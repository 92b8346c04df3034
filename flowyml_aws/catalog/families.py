"""Instance types of a target: expansion of families and Batch categories, and limits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from flowyml_aws.catalog.types import Catalog, InstanceType

__all__ = ["available_types", "expand_families", "not_offered"]

# https://docs.aws.amazon.com/batch/latest/userguide/instance-type-compute-table.html
_CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "optimal": ("m4", "c4", "r4", "m5", "c5", "r5"),
    "default_x86_64": ("m6i", "c6i", "r6i", "c7i"),
    "default_arm64": ("m6g", "c6g", "r6g", "c7g"),
}


def expand_families(names: Iterable[str], catalog: Catalog) -> Iterator[str]:
    """Yield the types of families and Batch categories; types are yielded as they are."""
    for name in names:
        families = _CATEGORIES.get(name, (name,))
        if "." in name:
            yield name
        else:
            yield from (t.name for t in catalog.types if t.family in families)


def available_types(
    max_vcpus: Mapping[str, int | None], offered: Collection[str] | None, catalog: Catalog
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the types that a target can provide, and the unavailable ones with the reason.

    Args:
        max_vcpus: For each type that the target names, the most vCPUs that it may have, or None.
        offered: Types that the region offers; None if this is unknown.
        catalog: Catalog of instance types. Types that it lacks are kept: the planner reports them.
    """
    types, closed = [], {}
    for name, limit in max_vcpus.items():
        instance = catalog.get(name)
        if instance is None:
            types.append(name)
        elif instance.name not in offered if offered is not None else instance.retired_after:
            closed[name] = not_offered(instance, catalog.region)
        elif limit is not None and instance.vcpus > limit:
            closed[name] = f"it has {instance.vcpus} vCPUs, the target allows {limit} in all"
        else:
            types.append(name)
    return tuple(types), closed


def not_offered(instance: InstanceType, region: str) -> str:
    """Return the reason why a type is unavailable in a region that does not offer it."""
    last_listed = instance.retired_after
    withdrawn = f", AWS has withdrawn it (last listed on {last_listed})" if last_listed else ""
    return f"{region} does not offer it{withdrawn}"
