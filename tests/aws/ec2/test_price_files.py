"""Price list files, from which GovCloud's prices are read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime, timezone
from http.client import IncompleteRead
from typing import IO, Any

import boto3
import pytest
from botocore.stub import Stubber

from flowyml_aws.aws.ec2.price_files import PriceFiles, has_price_api
from flowyml_aws.aws.ec2.prices import PriceTable, listed_price, pricing_region, read_prices
from flowyml_aws.core.errors import AwsRefusedError

NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)
REGION = "us-gov-west-1"
FOLDER = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws"
EC2_FILE = f"{FOLDER}/AmazonEC2/current/{REGION}/index.csv"
SAGEMAKER_FILE = f"{FOLDER}/AmazonSageMaker/current/{REGION}/index.csv"
# As AWS writes them: five lines, then a header.
BEFORE_HEADER = """\
"FormatVersion","v1.0"
"Disclaimer","This pricing list is for informational purposes only."
"Publication Date","2026-11-20T18:15:25Z"
"Version","20261120181525"
"OfferCode","AmazonEC2"
"""
EC2_HEADER = (
    '"SKU","TermType","Unit","PricePerUnit","Currency","Instance Type","Tenancy",'
    '"Operating System","usageType","CapacityStatus","Pre Installed S/W","Region Code"'
)
EC2 = f"""{BEFORE_HEADER}{EC2_HEADER}
"A","OnDemand","Hrs","0.1210000000","USD","m5.large","Shared","Linux","UGW1-BoxUsage:m5.large","Used","NA","{REGION}"
"B","OnDemand","Hrs","0.2130000000","USD","m5.large","Shared","Windows","UGW1-BoxUsage:m5.large","Used","NA","{REGION}"
"C","OnDemand","Hrs","0.1330000000","USD","m5.large","Dedicated","Linux","UGW1-DedicatedUsage:m5.large","Used","NA","{REGION}"
"D","OnDemand","Hrs","0.0000000000","USD","m5.large","Shared","Linux","UGW1-UnusedBox:m5.large","UnusedCapacityReservation","NA","{REGION}"
"E","Reserved","Hrs","0.0760000000","USD","m5.large","Shared","Linux","UGW1-BoxUsage:m5.large","Used","NA","{REGION}"
"F","OnDemand","Hrs","0.6310000000","USD","g4dn.xlarge","Shared","Linux","UGW1-BoxUsage:g4dn.xlarge","Used","","{REGION}"
"""
TRAINING_HEADER = '"SKU","TermType","Unit","PricePerUnit","Currency","usageType","Region Code"'
SAGEMAKER = f"""{BEFORE_HEADER}{TRAINING_HEADER}
"A","OnDemand","Hrs","0.1450000000","USD","UGW1-Train:ml.m5.large","{REGION}"
"B","OnDemand","Hrs","0.2900000000","USD","UGW1-Host:ml.m5.large","{REGION}"
"""


def files(contents: Mapping[str, str]) -> PriceFiles:
    """Return price files with these contents by URL; others can't be opened."""

    def open_url(url: str) -> IO[bytes]:
        if url not in contents:
            raise OSError(f"HTTP Error 404: Not Found: {url}")
        return io.BytesIO(contents[url].encode())

    return PriceFiles(open_url)


def ec2_client() -> Any:
    return boto3.Session("testing", "testing", region_name=REGION).client("ec2")


def read(contents: Mapping[str, str]) -> PriceTable:
    ec2 = ec2_client()
    with Stubber(ec2) as stub:
        stub.add_response("describe_spot_price_history", {"SpotPriceHistory": []})
        return read_prices(files(contents), ec2, REGION, NOW)


def test_the_prices_of_govcloud_are_those_of_linux_on_demand_and_of_training() -> None:
    prices = read({EC2_FILE: EC2, SAGEMAKER_FILE: SAGEMAKER}).prices
    assert prices.on_demand == {"g4dn.xlarge": 0.631, "m5.large": 0.121}
    assert {name: price.usd_hour for name, price in prices.sagemaker.items()} == {
        "ml.m5.large": 0.145
    }
    assert prices.sources["on_demand"].what.startswith("AWS price list file, AmazonEC2")


def test_one_price_is_looked_up_in_the_file_as_well() -> None:
    listed = files({EC2_FILE: EC2, SAGEMAKER_FILE: SAGEMAKER})
    for name, expected in (("m5.large", 0.121), ("ml.m5.large", 0.145), ("p5.48xlarge", None)):
        assert listed_price(listed, ec2_client(), REGION, name, "on-demand", NOW) == expected


def test_a_file_that_can_not_be_read_is_an_error_with_its_address() -> None:
    with pytest.raises(AwsRefusedError) as caught:
        read({})
    assert EC2_FILE in caught.value.what
    assert "404" in caught.value.why


@pytest.mark.parametrize("page", ["", "<!DOCTYPE html><html>Sign in</html>", "\n" * 20])
def test_a_page_in_place_of_a_file_is_an_error_and_not_a_list_without_prices(page: str) -> None:
    with pytest.raises(AwsRefusedError) as caught:
        read({EC2_FILE: page, SAGEMAKER_FILE: SAGEMAKER})
    assert "a network that asks to sign in" in caught.value.why


def test_a_file_that_is_cut_off_is_an_error() -> None:
    class Cut(io.BytesIO):
        def __next__(self) -> bytes:
            raise IncompleteRead(b"")

    with pytest.raises(AwsRefusedError, match="Can't read the prices"):
        read_prices(PriceFiles(lambda _: Cut()), ec2_client(), REGION, NOW)


def test_only_govcloud_has_no_price_list_api() -> None:
    assert not has_price_api("us-gov-east-1")
    assert all(map(has_price_api, ("us-east-1", "cn-north-1", "eusc-de-east-1", "eu-west-1")))


def test_each_other_partition_has_its_own_price_list_api() -> None:
    assert pricing_region("cn-north-1") == "cn-northwest-1"
    assert pricing_region("eusc-de-east-1") == "eusc-de-east-1"
