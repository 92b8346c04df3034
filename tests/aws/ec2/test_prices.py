from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timezone
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from flowyml_aws.aws.ec2.prices import PriceTable, pricing_region, read_prices
from flowyml_aws.catalog.documents import SageMakerPrice
from flowyml_aws.core.errors import AwsRefusedError

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


class Account:
    """Stubbed clients with responses that a test adds."""

    def __init__(self) -> None:
        session = boto3.Session("testing", "testing", region_name="us-east-1")
        self.pricing = Stubber(session.client("pricing"))
        self.ec2 = Stubber(session.client("ec2"))

    def add_products(self, *products: str, more: str | None = None) -> None:
        """Add a page to the Price List API's response."""
        page: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": list(products)}
        self.pricing.add_response("get_products", {**page, "NextToken": more} if more else page)

    def add_spot_prices(self, *quotes: tuple[str, str, str, int]) -> None:
        """Add spot prices: type, zone, price, hour of the day."""
        history = [
            {
                "InstanceType": name,
                "AvailabilityZone": zone,
                "SpotPrice": price,
                "Timestamp": NOW.replace(hour=hour),
                "ProductDescription": "Linux/UNIX",
            }
            for name, zone, price, hour in quotes
        ]
        self.ec2.add_response("describe_spot_price_history", {"SpotPriceHistory": history})

    def read(self, messages: list[str] | None = None) -> PriceTable:
        pricing: Any = self.pricing.client
        ec2: Any = self.ec2.client
        progress = (messages if messages is not None else []).append
        return read_prices(pricing, ec2, "us-east-1", NOW, progress)


@pytest.fixture
def account() -> Iterator[Account]:
    account = Account()
    with account.pricing, account.ec2:
        yield account
        account.pricing.assert_no_pending_responses()
        account.ec2.assert_no_pending_responses()


def a_product(
    usage: str, *prices: str, unit: str = "Hrs", currency: str = "USD", **attributes: str
) -> str:
    dimensions = {
        str(number): {"unit": unit, "pricePerUnit": {currency: price}}
        for number, price in enumerate(prices)
    }
    return json.dumps(
        {
            "product": {"attributes": {"usagetype": usage, **attributes}},
            "terms": {"OnDemand": {"term": {"priceDimensions": dimensions}}} if prices else {},
        }
    )


M5 = a_product("BoxUsage:m5.large", "0.0960000000")


def test_all_three_kinds_of_prices_are_read_with_their_sources(account: Account) -> None:
    account.add_products(M5, a_product("EUC1-BoxUsage:p4d.24xlarge", "21.9576420000"))
    account.add_products(a_product("USE1-Train:ml.m5.large", "0.1150000000"))
    account.add_spot_prices(("m5.large", "us-east-1a", "0.04", 9))
    table = account.read()
    assert table.prices.on_demand == {"m5.large": 0.096, "p4d.24xlarge": 21.957642}
    price = SageMakerPrice(usd_hour=0.115, source="sagemaker")
    assert table.prices.sagemaker == {"ml.m5.large": price}
    assert table.prices.spot == {"m5.large": 0.04}
    assert set(table.prices.sources) == {"on_demand", "spot", "sagemaker"}
    assert {source.day for source in table.prices.sources.values()} == {date(2026, 11, 23)}
    assert table.warnings == ()


def test_the_requests_select_linux_on_demand_prices_and_current_spot_prices(
    account: Account,
) -> None:
    fields = {
        "regionCode": "us-east-1",
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
    }
    filters = [{"Type": "TERM_MATCH", "Field": f, "Value": v} for f, v in fields.items()]
    for service, expected in (("AmazonEC2", filters), ("AmazonSageMaker", filters[:1])):
        account.pricing.add_response(
            "get_products",
            {"PriceList": [M5]},
            {
                "ServiceCode": service,
                "Filters": expected,
                "FormatVersion": "aws_v1",
                "MaxResults": 100,
            },
        )
    account.ec2.add_response(
        "describe_spot_price_history",
        {"SpotPriceHistory": []},
        {"ProductDescriptions": ["Linux/UNIX"], "StartTime": NOW},
    )
    account.read()


def test_all_pages_are_read_and_reported(account: Account) -> None:
    account.add_products(M5, more="next")
    account.add_products(a_product("BoxUsage:m5.xlarge", "0.192"))
    account.add_products(a_product("Train:ml.m5.large", "0.115"))
    account.add_spot_prices()
    messages: list[str] = []
    assert list(account.read(messages).prices.on_demand) == ["m5.large", "m5.xlarge"]
    assert messages == [
        "prices of AmazonEC2: page 1",
        "prices of AmazonEC2: page 2",
        "prices of AmazonSageMaker: page 1",
        "spot prices: page 1",
    ]


def test_other_products_do_not_count_as_on_demand_instance_prices(account: Account) -> None:
    account.add_products(
        M5, a_product("UnusedBox:m5.large", "0.5"), a_product("EBSOptimized:m5.large", "1")
    )
    account.add_products(
        a_product("USE1-Train:ml.m5.large", "0.115", component="Training"),
        a_product("USE1-Host:ml.m5.large", "0.2"),
        a_product("USE1-SpotTrain:ml.m5.large", "0.1"),
        a_product("USE1-TrainDebugFreeTier:ml.m5.large", "0.3"),
        a_product("USE1-Train:VolumeUsage.gp2", "0.14", unit="GB-Mo"),
    )
    account.add_spot_prices(("m5.large", "us-east-1a", "0.04", 9))
    table = account.read()
    assert table.prices.on_demand == {"m5.large": 0.096}
    assert list(table.prices.sagemaker) == ["ml.m5.large"]
    assert table.prices.sagemaker["ml.m5.large"].usd_hour == 0.115


@pytest.mark.parametrize(
    "product",
    [
        a_product("BoxUsage:p5e.48xlarge", "0.0000000000"),
        a_product("BoxUsage:p5e.48xlarge", "39.8", unit="Quantity"),
        a_product("BoxUsage:p5e.48xlarge", "39.8", currency="CNY"),
        a_product("BoxUsage:p5e.48xlarge"),
    ],
)
def test_a_type_without_a_price_is_named(account: Account, product: str) -> None:
    account.add_products(M5, product)
    account.add_products(a_product("Train:ml.m5.large", "0.115"))
    account.add_spot_prices(("m5.large", "us-east-1a", "0.04", 9))
    table = account.read()
    assert list(table.prices.on_demand) == ["m5.large"]
    (warning,) = table.warnings
    assert "no price above 0 USD for p5e.48xlarge" in warning


def test_a_type_with_several_prices_is_left_out_and_named(account: Account) -> None:
    account.add_products(
        M5, a_product("BoxUsage:c5.large", "0.085"), a_product("BoxUsage:c5.large", "0.09")
    )
    account.add_products(a_product("Train:ml.m5.large", "0.115"))
    account.add_spot_prices(("m5.large", "us-east-1a", "0.04", 9))
    table = account.read()
    assert list(table.prices.on_demand) == ["m5.large"]
    assert table.warnings == ("EC2 on demand: AWS's price list has several prices for c5.large",)


def test_a_long_list_of_types_without_a_price_is_shortened(account: Account) -> None:
    account.add_products(M5, *(a_product(f"BoxUsage:x{number}.large", "0") for number in range(10)))
    account.add_products(a_product("Train:ml.m5.large", "0.115"))
    account.add_spot_prices(("m5.large", "us-east-1a", "0.04", 9))
    assert account.read().warnings[0].endswith("x7.large and 2 more")


def test_a_spot_price_is_the_mean_of_the_zones_latest(account: Account) -> None:
    account.add_products(M5)
    account.add_products(a_product("Train:ml.m5.large", "0.115"))
    account.add_spot_prices(
        ("m5.large", "us-east-1a", "0.05", 8),
        ("m5.large", "us-east-1a", "0.04", 9),
        ("m5.large", "us-east-1b", "0.02", 7),
    )
    assert account.read().prices.spot == {"m5.large": 0.03}


def test_missing_spot_and_sagemaker_prices_are_reported(account: Account) -> None:
    account.add_products(M5)
    account.add_products()
    account.add_spot_prices()
    table = account.read()
    assert (table.prices.spot, table.prices.sagemaker) == ({}, {})
    assert table.warnings == (
        "AWS's price list has no SageMaker training prices in us-east-1",
        "EC2 has no spot prices in us-east-1",
    )


def test_a_region_without_instance_prices_is_an_error(account: Account) -> None:
    account.add_products()
    with pytest.raises(AwsRefusedError, match="no prices for EC2 instances in us-east-1"):
        account.read()


def test_a_denied_price_list_names_the_permission(account: Account) -> None:
    account.pricing.add_client_error("get_products", "AccessDeniedException", "no", 400)
    with pytest.raises(AwsRefusedError, match="pricing:GetProducts"):
        account.read()


def test_denied_spot_prices_name_the_permission(account: Account) -> None:
    account.add_products(M5)
    account.add_products(a_product("Train:ml.m5.large", "0.115"))
    account.ec2.add_client_error(
        "describe_spot_price_history",
        "UnauthorizedOperation",
        "no",
        403,
        expected_params={"ProductDescriptions": ANY, "StartTime": ANY},
    )
    with pytest.raises(AwsRefusedError, match="ec2:DescribeSpotPriceHistory"):
        account.read()


def test_a_product_that_is_not_json_is_an_error(account: Account) -> None:
    account.add_products("<html>")
    with pytest.raises(AwsRefusedError, match="Price List API for AmazonEC2"):
        account.read()


def test_the_pricing_region_has_a_price_list_endpoint() -> None:
    session = boto3.Session()
    for partition in ("aws", "aws-cn"):
        endpoints = session.get_available_regions("pricing", partition)
        for region in session.get_available_regions("ec2", partition):
            assert pricing_region(region) in endpoints
    assert pricing_region("eu-west-1") == "eu-central-1"
    assert pricing_region("ap-northeast-1") == "ap-south-1"
    assert pricing_region("sa-east-1") == "us-east-1"
