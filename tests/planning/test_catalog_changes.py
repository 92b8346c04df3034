from __future__ import annotations

from datetime import date

from flowyml_aws.planning.catalog import Catalog, InstanceType
from flowyml_aws.planning.catalog_changes import CatalogChanges, compare

NOTHING = CatalogChanges(added=(), withdrawn=(), repriced=(), unpriced=())


def one(name: str, price: float | None = 1.0, **facts: object) -> InstanceType:
    return InstanceType(name, 2, 8192, 7000, price_usd_hour=price, **facts)  # type: ignore[arg-type]


def catalog(*types: InstanceType) -> Catalog:
    return Catalog("us-east-1", date(2026, 11, 23), date(2026, 11, 23), types)


def test_the_same_types_and_prices_are_no_change() -> None:
    assert compare(catalog(one("a.large")), catalog(one("a.large"))) == NOTHING


def test_new_types() -> None:
    changes = compare(catalog(one("a.large")), catalog(one("a.large"), one("b.large")))
    assert changes.added == ("b.large",)


def test_types_that_are_gone_retired_or_no_longer_offered_are_withdrawn() -> None:
    before = catalog(one("a.large"), one("b.large"), one("c.large"))
    after = catalog(one("b.large", retired_after="2026-04-01"), one("c.large", offered=False))
    assert compare(before, after).withdrawn == ("a.large", "b.large", "c.large")
    assert compare(after, before).added == ("a.large", "b.large", "c.large")


def test_each_of_the_three_prices_counts() -> None:
    before = catalog(one("a.large"), one("b.large"), one("c.large"), one("d.large"))
    after = catalog(
        one("a.large", 2.0),
        one("b.large", spot_usd_hour=0.5),
        one("c.large", sagemaker_price_usd_hour=1.2),
        one("d.large"),
    )
    assert compare(before, after).repriced == ("a.large", "b.large", "c.large")


def test_offered_types_without_a_price_are_told() -> None:
    after = catalog(one("a.large", None), one("b.large", None, offered=False))
    assert compare(catalog(), after).unpriced == ("a.large",)
