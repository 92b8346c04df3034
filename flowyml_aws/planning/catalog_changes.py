"""What differs between two catalogs of a region."""

from __future__ import annotations

from dataclasses import dataclass

from flowyml_aws.planning.catalog import Catalog, InstanceType

__all__ = ["CatalogChanges", "compare"]


@dataclass(frozen=True, slots=True)
class CatalogChanges:
    """Names of instance types, in the catalogs' order.

    Attributes:
        added: Only the newer catalog offers them.
        withdrawn: Only the older one offers them.
        repriced: Their price on demand, on spot or of SageMaker is another one.
        unpriced: Offered, without a price on demand in the newer one.
    """

    added: tuple[str, ...]
    withdrawn: tuple[str, ...]
    repriced: tuple[str, ...]
    unpriced: tuple[str, ...]


def compare(before: Catalog, after: Catalog) -> CatalogChanges:
    """What the newer catalog of a region changes."""
    old = {t.name: t for t in before.types if _is_offered(t)}
    new = {t.name: t for t in after.types if _is_offered(t)}
    return CatalogChanges(
        added=tuple(name for name in new if name not in old),
        withdrawn=tuple(name for name in old if name not in new),
        repriced=tuple(n for n in new if n in old and _prices(new[n]) != _prices(old[n])),
        unpriced=tuple(name for name, one in new.items() if one.price_usd_hour is None),
    )


def _is_offered(one: InstanceType) -> bool:
    return one.offered and one.retired_after is None


def _prices(one: InstanceType) -> tuple[float | None, float | None, float | None]:
    return one.price_usd_hour, one.spot_usd_hour, one.sagemaker_price_usd_hour
