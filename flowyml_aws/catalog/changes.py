"""Differences between two catalogs of a region."""

from __future__ import annotations

from dataclasses import dataclass

from flowyml_aws.catalog.types import Catalog, InstanceType

__all__ = ["CatalogChanges", "compare"]


@dataclass(frozen=True, slots=True)
class CatalogChanges:
    """Names of the instance types that changed, in the catalogs' order.

    Attributes:
        added: Types that only the newer catalog offers.
        withdrawn: Types that only the older catalog offers.
        repriced: Types whose on-demand, spot or SageMaker price changed.
        unpriced: Types that the newer catalog offers without an on-demand price.
    """

    added: tuple[str, ...]
    withdrawn: tuple[str, ...]
    repriced: tuple[str, ...]
    unpriced: tuple[str, ...]


def compare(before: Catalog, after: Catalog) -> CatalogChanges:
    """Compare an older and a newer catalog of a region."""
    old = {t.name: t for t in before.types if _is_offered(t)}
    new = {t.name: t for t in after.types if _is_offered(t)}
    return CatalogChanges(
        added=tuple(name for name in new if name not in old),
        withdrawn=tuple(name for name in old if name not in new),
        repriced=tuple(n for n in new if n in old and _prices(new[n]) != _prices(old[n])),
        unpriced=tuple(name for name, instance in new.items() if instance.price_usd_hour is None),
    )


def _is_offered(instance: InstanceType) -> bool:
    return instance.offered and instance.retired_after is None


def _prices(instance: InstanceType) -> tuple[float | None, float | None, float | None]:
    return instance.price_usd_hour, instance.spot_usd_hour, instance.sagemaker_price_usd_hour
