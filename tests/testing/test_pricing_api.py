"""The emulated Price List API and spot prices."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.testing import ApiCall, Emulator

pytestmark = pytest.mark.contract


def term(field: str, value: str) -> dict[str, str]:
    return {"Type": "TERM_MATCH", "Field": field, "Value": value}


def products(aws: Emulator, service: str, *filters: dict[str, str], **request: Any) -> Any:
    response = aws.client("pricing").get_products(ServiceCode=service, Filters=filters, **request)
    return [json.loads(document) for document in response["PriceList"]]


def prices(product: Any) -> list[str]:
    (offer,) = product["terms"]["OnDemand"].values()
    return [d["pricePerUnit"]["USD"] for d in offer["priceDimensions"].values()]


def test_a_product_has_the_format_of_aws_and_the_price_of_the_catalog(aws: Emulator) -> None:
    (product,) = products(aws, "AmazonEC2", term("instanceType", "g4dn.xlarge"))
    instance_type = load_catalog().get("g4dn.xlarge")
    assert instance_type is not None
    assert product["serviceCode"] == "AmazonEC2"
    assert product["product"]["productFamily"] == "Compute Instance"
    assert product["product"]["attributes"]["usagetype"] == "BoxUsage:g4dn.xlarge"
    assert [float(price) for price in prices(product)] == [instance_type.price_usd_hour]


def test_sagemaker_has_products_for_training_and_hosting(aws: Emulator) -> None:
    offered = products(aws, "AmazonSageMaker", term("instanceName", "ml.g4dn.xlarge"))
    usages = {product["product"]["attributes"]["usagetype"] for product in offered}
    assert usages == {"USE1-Train:ml.g4dn.xlarge", "USE1-Host:ml.g4dn.xlarge"}
    training = products(
        aws,
        "AmazonSageMaker",
        term("instanceName", "ml.g4dn.xlarge"),
        term("component", "training"),
    )
    assert len(training) == 1


def test_a_product_must_match_all_filters(aws: Emulator) -> None:
    name = term("instanceType", "g4dn.xlarge")
    assert products(aws, "AmazonEC2", name, term("operatingSystem", "Windows")) == []
    assert products(aws, "AmazonEC2", name, term("regionCode", "eu-west-1")) == []


def test_pages_have_at_most_100_products_and_contain_all(aws: Emulator) -> None:
    pages = list(
        aws.client("pricing").get_paginator("get_products").paginate(ServiceCode="AmazonEC2")
    )
    documents = [document for page in pages for document in page["PriceList"]]
    priced = [t for t in load_catalog().types if t.price_usd_hour is not None]
    assert {len(page["PriceList"]) for page in pages[:-1]} == {100}
    assert len(set(documents)) == len(documents) == len(priced)


@pytest.mark.parametrize(
    "request_",
    [
        {"ServiceCode": "AmazonEC3"},
        {"ServiceCode": "AmazonEC2", "Filters": [term("colour", "red")]},
        {"ServiceCode": "AmazonEC2", "Filters": [{**term("tenancy", "x"), "Type": "CONTAINS"}]},
        {"ServiceCode": "AmazonEC2", "FormatVersion": "aws_v0"},
        {"ServiceCode": "AmazonEC2", "MaxResults": 101},
        {"ServiceCode": "AmazonEC2", "NextToken": "x"},
    ],
)
def test_requests_that_aws_rejects_are_rejected(aws: Emulator, request_: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        aws.client("pricing").get_products(**request_)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"


def test_every_zone_has_the_spot_prices_of_the_catalog(aws: Emulator) -> None:
    priced = {t.name: t.spot_usd_hour for t in load_catalog().types if t.spot_usd_hour}
    pages = aws.client("ec2").get_paginator("describe_spot_price_history").paginate()
    quotes = [quote for page in pages for quote in page["SpotPriceHistory"]]
    assert {quote["InstanceType"] for quote in quotes} == set(priced)
    assert {quote["AvailabilityZone"] for quote in quotes} == {f"us-east-1{zone}" for zone in "abc"}
    for quote in quotes:
        assert float(quote["SpotPrice"]) == pytest.approx(priced[quote["InstanceType"]], abs=1e-6)


def test_spot_prices_of_an_instance_type_are_paged(aws: Emulator) -> None:
    ec2 = aws.client("ec2")
    first = ec2.describe_spot_price_history(InstanceTypes=["g4dn.xlarge"], MaxResults=2)
    rest = ec2.describe_spot_price_history(
        InstanceTypes=["g4dn.xlarge"], MaxResults=2, NextToken=first["NextToken"]
    )
    zones = [q["AvailabilityZone"] for q in (*first["SpotPriceHistory"], *rest["SpotPriceHistory"])]
    assert zones == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert not rest.get("NextToken")


def test_the_calls_are_recorded(aws: Emulator) -> None:
    aws.client("pricing").get_products(ServiceCode="AmazonEC2", MaxResults=1)
    aws.client("ec2").describe_spot_price_history(MaxResults=5)
    assert aws.calls == [
        ApiCall("pricing", "GetProducts", ""),
        ApiCall("ec2", "DescribeSpotPriceHistory", ""),
    ]
