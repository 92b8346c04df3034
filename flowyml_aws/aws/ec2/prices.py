"""Instance prices of a region, from AWS's price list and EC2's spot price history."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.ec2.price_files import PriceFiles
from flowyml_aws.aws.errors import refused
from flowyml_aws.catalog.documents import Prices, SageMakerPrice, Source
from flowyml_aws.core.errors import AwsRefusedError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_pricing import PricingClient

__all__ = ["PriceTable", "listed_price", "pricing_region", "read_prices"]

_EC2_FILTERS = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
# Most attributes of SageMaker products are often empty; the usage type is always set.
_ON_DEMAND = re.compile(r"(?:[A-Z0-9]+-)?BoxUsage:(?P<name>[^:]+)")
_TRAINING = re.compile(r"(?:[A-Z0-9]+-)?Train:(?P<name>ml\.[^:]+)")
_PAGE = 100  # the maximum of GetProducts
_MAX_NAMED = 8  # instance types in a warning

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices of a region, with warnings about prices that could not be used."""

    prices: Prices
    warnings: tuple[str, ...]


def pricing_region(region: str) -> str:
    """Return the region of the nearest Price List API endpoint.

    Only us-east-1, eu-central-1 and ap-south-1 have an endpoint, cn-northwest-1 in China, and
    eusc-de-east-1 in the European Sovereign Cloud. Each has the prices of all regions of its
    partition, and knows only the credentials of this partition. GovCloud has none (`has_price_api`
    of `price_files`).

    Source of the last two: https://github.com/aws/karpenter-provider-aws/pull/9437
    """
    if region.startswith("eusc-"):
        return "eusc-de-east-1"
    if region.startswith("cn-"):
        return "cn-northwest-1"
    if region.startswith(("eu-", "me-", "af-", "il-")):
        return "eu-central-1"
    return "ap-south-1" if region.startswith("ap-") else "us-east-1"


def read_prices(
    pricing: PricingClient | PriceFiles,
    ec2: EC2Client,
    region: str,
    now: datetime,
    progress: Progress = lambda _: None,
) -> PriceTable:
    """Read the prices of Linux and SageMaker training instances, in USD per hour.

    Args:
        pricing: Pricing client in `pricing_region(region)`, which needs pricing:GetProducts; or
            the price list files.
        ec2: EC2 client of the region; it needs ec2:DescribeSpotPriceHistory.
        region: Name of the region.
        now: Time of the prices; its day is the date of the sources.
        progress: Called with progress messages.

    Raises:
        AwsRefusedError: A call was denied, or the region has no instance prices in USD.
    """
    warnings: list[str] = []
    filters = {"regionCode": region, **_EC2_FILTERS}
    products = _products(pricing, "AmazonEC2", region, filters, progress)
    on_demand = _by_name(products, _ON_DEMAND, "EC2 on demand", warnings)
    if not on_demand:
        raise AwsRefusedError(
            what=f"AWS's price list has no prices for EC2 instances in {region}",
            why="none of its products has a price in USD (in China, prices are in CNY)",
            fix="correct the region; without a refresh, the packaged prices of us-east-1 are used",
        )
    products = _products(pricing, "AmazonSageMaker", region, {"regionCode": region}, progress)
    training = _by_name(products, _TRAINING, "SageMaker training", warnings)
    if not training:
        warnings.append(f"AWS's price list has no SageMaker training prices in {region}")
    spot = _spot(ec2, region, now, progress)
    if not spot:
        warnings.append(f"EC2 has no spot prices in {region}")
    is_file = isinstance(pricing, PriceFiles)
    listed = "AWS price list file" if is_file else "Price List API GetProducts"
    sources = {
        "on_demand": f"{listed}, AmazonEC2 in {region}: Linux, shared tenancy",
        "spot": f"EC2 DescribeSpotPriceHistory in {region}: Linux/UNIX, mean of the zones' latest",
        "sagemaker": f"{listed}, AmazonSageMaker in {region}: training",
    }
    prices = Prices(
        region=region,
        sources={key: Source(what=what, day=now.date()) for key, what in sources.items()},
        on_demand=on_demand,
        spot=spot,
        sagemaker={
            name: SageMakerPrice(usd_hour=price, source="sagemaker")
            for name, price in training.items()
        },
    )
    return PriceTable(prices, tuple(warnings))


def listed_price(
    pricing: PricingClient | PriceFiles,
    ec2: EC2Client,
    region: str,
    instance_type: str,
    capacity: str,
    now: datetime,
) -> float | None:
    """Return the price of an instance type in USD per hour, or None if AWS lists none.

    Args:
        pricing: Same as in `read_prices`.
        ec2: EC2 client of the region.
        region: Name of the region.
        instance_type: Type of EC2, or of SageMaker with `ml.`, which has one price for training.
        capacity: `on-demand` or `spot`.
        now: Time of the price.

    Raises:
        AwsRefusedError: A call was denied.
    """
    if instance_type.startswith("ml."):
        filters = {"regionCode": region}
        products = _products(pricing, "AmazonSageMaker", region, filters, lambda _: None)
        return _by_name(products, _TRAINING, "", []).get(instance_type)
    if capacity == "spot":
        return _spot(ec2, region, now, lambda _: None, (instance_type,)).get(instance_type)
    filters = {"regionCode": region, "instanceType": instance_type, **_EC2_FILTERS}
    products = _products(pricing, "AmazonEC2", region, filters, lambda _: None)
    return _by_name(products, _ON_DEMAND, "", []).get(instance_type)


def _products(
    pricing: PricingClient | PriceFiles,
    service: str,
    region: str,
    filters: Mapping[str, str],
    progress: Progress,
) -> Iterator[Mapping[str, Any]]:
    """Yield the products of a service that match all filters."""
    if isinstance(pricing, PriceFiles):
        yield from pricing.products(service, region, filters, progress)
        return
    pages = pricing.get_paginator("get_products").paginate(
        ServiceCode=service,
        FormatVersion="aws_v1",
        Filters=[{"Type": "TERM_MATCH", "Field": f, "Value": v} for f, v in filters.items()],
        PaginationConfig={"PageSize": _PAGE},
    )
    try:
        for number, page in enumerate(pages, 1):
            progress(f"prices of {service}: page {number}")
            for product in page["PriceList"]:
                yield json.loads(product)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"read the prices of {service} (pricing:GetProducts)") from error
    except ValueError as error:
        raise AwsRefusedError(
            what=f"Invalid response of the Price List API for {service}",
            why=f"a product in it is not valid JSON: {error}",
            fix="retry; if AWS_ENDPOINT_URL is set, it must point to an AWS-compatible service",
        ) from error


def _by_name(
    products: Iterable[Mapping[str, Any]], usage: re.Pattern[str], what: str, warnings: list[str]
) -> dict[str, float]:
    """Return the prices by instance type, of the products whose usage type matches."""
    candidates: dict[str, set[float]] = defaultdict(set)
    for product in products:
        attributes = product.get("product", {}).get("attributes", {})
        if match := usage.fullmatch(str(attributes.get("usagetype"))):
            candidates[match["name"]].update(_usd_hour(product))
    # Types that are sold only in capacity blocks are listed for 0 USD.
    prices = {name: min(usd) for name, usd in sorted(candidates.items()) if len(usd) == 1}
    for reason, count in (("no price above 0 USD", 0), ("several prices", 2)):
        names = [name for name, usd in sorted(candidates.items()) if min(len(usd), 2) == count]
        if names:
            more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
            listed = ", ".join(names[:_MAX_NAMED]) + more
            warnings.append(f"{what}: AWS's price list has {reason} for {listed}")
    return prices


def _usd_hour(product: Mapping[str, Any]) -> Iterator[float]:
    """Yield the on-demand prices per hour above zero, in USD."""
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            unit = str(dimension.get("unit", "")).lower()
            price = float(dimension.get("pricePerUnit", {}).get("USD", 0))
            if unit in ("hrs", "hours", "hour") and price > 0:
                yield price


def _spot(
    ec2: EC2Client,
    region: str,
    now: datetime,
    progress: Progress,
    names: Sequence[str] = (),
) -> dict[str, float]:
    """Return the mean of the zones' prices by instance type; of all types without names."""
    latest: dict[tuple[str, str], tuple[datetime, float]] = {}
    # StartTime is now: each type and zone has the price that is valid now.
    named: dict[str, Any] = {"InstanceTypes": list(names)} if names else {}
    pages = ec2.get_paginator("describe_spot_price_history").paginate(
        ProductDescriptions=["Linux/UNIX"], StartTime=now, **named
    )
    try:
        for number, page in enumerate(pages, 1):
            progress(f"spot prices: page {number}")
            for entry in page["SpotPriceHistory"]:
                key = str(entry["InstanceType"]), entry["AvailabilityZone"]
                quote = entry["Timestamp"], float(entry["SpotPrice"])
                latest[key] = max(latest.get(key, quote), quote)
    except (ClientError, BotoCoreError) as error:
        raise refused(
            error, f"read the spot prices of {region} (ec2:DescribeSpotPriceHistory)"
        ) from error
    zones: dict[str, list[float]] = defaultdict(list)
    for (name, _), (_, price) in sorted(latest.items()):
        zones[name].append(price)
    return {name: round(fmean(prices), 6) for name, prices in zones.items()}
