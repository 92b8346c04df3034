"""The emulated Price List API and spot prices."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.planning.catalog_files import load_catalog
from flowyml_aws.testing import ApiCall, Emulator

pytestmark = pytest.mark.contract


def term(field: str, value: str) -> dict[str, str]:
    return {"Type": "TERM_MATCH", "Field": field, "Value": value}


def products(aws: Emulator, service: str, *filters: dict[str, str], **request: Any) -> Any:
    answer = aws.client("pricing").get_products(ServiceCode=service, Filters=filters, **request)
    return [json.loads(text) for text in answer["PriceList"]]


def prices(product: Any) -> list[str]:
    (offer,) = product["terms"]["OnDemand"].values()
    return [d["pricePerUnit"]["USD"] for d in offer["priceDimensions"].values()]


def test_a_product_has_the_shape_and_the_price_of_the_catalog(aws: Emulator) -> None:
    (product,) = products(aws, "AmazonEC2", term("instanceType", "g4dn.xlarge"))
    known = load_catalog().get("g4dn.xlarge")
    assert known is not None
    assert product["serviceCode"] == "AmazonEC2"
    assert product["product"]["productFamily"] == "Compute Instance"
    assert product["product"]["attributes"]["usagetype"] == "BoxUsage:g4dn.xlarge"
    assert [float(price) for price in prices(product)] == [known.price_usd_hour]


def test_sagemaker_has_a_product_for_training_and_others(aws: Emulator) -> None:
    found = products(aws, "AmazonSageMaker", term("instanceName", "ml.g4dn.xlarge"))
    usages = {product["product"]["attributes"]["usagetype"] for product in found}
    assert usages == {"USE1-Train:ml.g4dn.xlarge", "USE1-Host:ml.g4dn.xlarge"}
    training = products(
        aws,
        "AmazonSageMaker",
        term("instanceName", "ml.g4dn.xlarge"),
        term("component", "training"),
    )
    assert len(training) == 1


def test_filters_are_all_meant(aws: Emulator) -> None:
    name = term("instanceType", "g4dn.xlarge")
    assert products(aws, "AmazonEC2", name, term("operatingSystem", "Windows")) == []
    assert products(aws, "AmazonEC2", name, term("regionCode", "eu-west-1")) == []


def test_pages_have_at_most_100_products_and_cover_all(aws: Emulator) -> None:
    pages = list(
        aws.client("pricing").get_paginator("get_products").paginate(ServiceCode="AmazonEC2")
    )
    texts = [text for page in pages for text in page["PriceList"]]
    priced = [one for one in load_catalog().types if one.price_usd_hour is not None]
    assert {len(page["PriceList"]) for page in pages[:-1]} == {100}
    assert len(set(texts)) == len(texts) == len(priced)


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
def test_requests_that_aws_would_refuse(aws: Emulator, request_: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        aws.client("pricing").get_products(**request_)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"


def test_spot_prices_are_the_catalogs_in_every_zone(aws: Emulator) -> None:
    priced = {one.name: one.spot_usd_hour for one in load_catalog().types if one.spot_usd_hour}
    pages = aws.client("ec2").get_paginator("describe_spot_price_history").paginate()
    told = [quote for page in pages for quote in page["SpotPriceHistory"]]
    assert {quote["InstanceType"] for quote in told} == set(priced)
    assert {quote["AvailabilityZone"] for quote in told} == {f"us-east-1{zone}" for zone in "abc"}
    for quote in told:
        assert float(quote["SpotPrice"]) == pytest.approx(priced[quote["InstanceType"]], abs=1e-6)


def test_spot_prices_of_some_types_in_pages(aws: Emulator) -> None:
    ec2 = aws.client("ec2")
    first = ec2.describe_spot_price_history(InstanceTypes=["g4dn.xlarge"], MaxResults=2)
    rest = ec2.describe_spot_price_history(
        InstanceTypes=["g4dn.xlarge"], MaxResults=2, NextToken=first["NextToken"]
    )
    zones = [q["AvailabilityZone"] for q in (*first["SpotPriceHistory"], *rest["SpotPriceHistory"])]
    assert zones == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert not rest.get("NextToken")


def test_the_calls_are_noted(aws: Emulator) -> None:
    aws.client("pricing").get_products(ServiceCode="AmazonEC2", MaxResults=1)
    aws.client("ec2").describe_spot_price_history(MaxResults=5)
    assert aws.calls == [
        ApiCall("pricing", "GetProducts", ""),
        ApiCall("ec2", "DescribeSpotPriceHistory", ""),
    ]
