from __future__ import annotations

from datetime import date

from flowyml_aws.catalog.changes import CatalogChanges, compare
from flowyml_aws.catalog.types import Catalog, InstanceType

NO_CHANGES = CatalogChanges(added=(), withdrawn=(), repriced=(), unpriced=())


def instance(name: str, price: float | None = 1.0, **facts: object) -> InstanceType:
    return InstanceType(name, 2, 8192, 7000, price_usd_hour=price, **facts)  # type: ignore[arg-type]


def catalog(*types: InstanceType) -> Catalog:
    return Catalog("us-east-1", date(2026, 11, 23), date(2026, 11, 23), types)


def test_equal_types_and_prices_are_not_a_change() -> None:
    assert compare(catalog(instance("a.large")), catalog(instance("a.large"))) == NO_CHANGES


def test_new_types_are_added() -> None:
    changes = compare(
        catalog(instance("a.large")), catalog(instance("a.large"), instance("b.large"))
    )
    assert changes.added == ("b.large",)


def test_missing_retired_and_no_longer_offered_types_are_withdrawn() -> None:
    before = catalog(instance("a.large"), instance("b.large"), instance("c.large"))
    after = catalog(
        instance("b.large", retired_after="2026-04-01"), instance("c.large", offered=False)
    )
    assert compare(before, after).withdrawn == ("a.large", "b.large", "c.large")
    assert compare(after, before).added == ("a.large", "b.large", "c.large")


def test_a_change_of_any_of_the_three_prices_is_reported() -> None:
    before = catalog(
        instance("a.large"), instance("b.large"), instance("c.large"), instance("d.large")
    )
    after = catalog(
        instance("a.large", 2.0),
        instance("b.large", spot_usd_hour=0.5),
        instance("c.large", sagemaker_price_usd_hour=1.2),
        instance("d.large"),
    )
    assert compare(before, after).repriced == ("a.large", "b.large", "c.large")


def test_offered_types_without_a_price_are_reported() -> None:
    after = catalog(instance("a.large", None), instance("b.large", None, offered=False))
    assert compare(catalog(), after).unpriced == ("a.large",)
