"""Prices of the emulated account: the Price List API and EC2's spot prices.

moto lacks the Price List API, and returns the same invented spot price for all types. Both return
the prices of the packaged catalog here, for us-east-1; other regions have no prices. The responses
have AWS's format: every product is a JSON string, and a page has at most 100 products.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.testing.account import REGION
from flowyml_aws.testing.refusal import Refusal

__all__ = ["InvalidParameterException", "get_products", "spot_price_history"]

_MAX_RESULTS = 100
_SPOT_MAX_RESULTS = 1000
_ZONES = ("a", "b", "c")
_EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


class InvalidParameterException(Refusal):
    """The Price List API's error for an invalid request."""


def get_products(request: Mapping[str, Any], factor: float = 1.0) -> dict[str, Any]:
    """Return the response of GetProducts.

    Args:
        request: Request of the operation.
        factor: Prices as a multiple of those in the catalog.

    Raises:
        InvalidParameterException: Invalid service, filter or page.
    """
    service = str(request.get("ServiceCode"))
    if service not in _PRODUCTS:
        raise InvalidParameterException(f"Invalid ServiceCode: {service}")
    if request.get("FormatVersion", "aws_v1") != "aws_v1":
        raise InvalidParameterException("Format version must be aws_v1")
    products = [p for p in _PRODUCTS[service](factor) if _matches(p, request.get("Filters") or ())]
    size = request.get("MaxResults", _MAX_RESULTS)
    if not 1 <= size <= _MAX_RESULTS:
        raise InvalidParameterException(f"MaxResults must be between 1 and {_MAX_RESULTS}")
    page, token = _page(products, request.get("NextToken"), size)
    response = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product) for product in page]}
    return {**response, "NextToken": token} if token else response


def spot_price_history(body: bytes, region: str, now: str, factor: float = 1.0) -> bytes:
    """Return the response of EC2's DescribeSpotPriceHistory, as XML.

    Args:
        body: URL-encoded request.
        region: Region of the request's signature.
        now: Timestamp of the prices, in ISO 8601.
        factor: Prices as a multiple of those in the catalog.

    Raises:
        InvalidParameterException: Invalid page.
    """
    form = parse_qs(body.decode())
    names = {values[0] for key, values in form.items() if key.startswith("InstanceType.")}
    priced = [
        (t.name, t.spot_usd_hour * factor)
        for t in load_catalog().types
        if t.spot_usd_hour is not None and region == REGION
    ]
    rows = [
        (name, f"{region}{zone}", f"{usd_hour:.6f}")
        for name, usd_hour in priced
        if not names or name in names
        for zone in _ZONES
    ]
    size = int(form.get("MaxResults", [str(_SPOT_MAX_RESULTS)])[0])
    page, token = _page(rows, form.get("NextToken", [None])[0], size)
    response = ElementTree.Element("DescribeSpotPriceHistoryResponse", xmlns=_EC2_NAMESPACE)
    history = ElementTree.SubElement(response, "spotPriceHistorySet")
    for name, zone, price in page:
        item = ElementTree.SubElement(history, "item")
        for member, value in {
            "instanceType": name,
            "productDescription": "Linux/UNIX",
            "spotPrice": price,
            "timestamp": now,
            "availabilityZone": zone,
        }.items():
            ElementTree.SubElement(item, member).text = value
    ElementTree.SubElement(response, "nextToken").text = token
    return bytes(ElementTree.tostring(response, encoding="utf-8", xml_declaration=True))


def _page(rows: Sequence[Any], token: str | None, size: int) -> tuple[Sequence[Any], str]:
    """Return one page and the token of the next page (empty after the last page)."""
    try:
        start = int(token or 0)
    except ValueError:
        raise InvalidParameterException(f"Invalid NextToken: {token}") from None
    return rows[start : start + size], str(start + size) if start + size < len(rows) else ""


def _matches(product: Mapping[str, Any], filters: Sequence[Mapping[str, str]]) -> bool:
    attributes = {
        **product["product"]["attributes"],
        "productFamily": product["product"]["productFamily"],
    }
    for condition in filters:
        if condition.get("Type") != "TERM_MATCH":
            raise InvalidParameterException(f"Invalid filter type: {condition.get('Type')}")
        if condition.get("Field") not in attributes:
            raise InvalidParameterException(f"Invalid filter field: {condition.get('Field')}")
        if attributes[condition["Field"]].lower() != condition.get("Value", "").lower():
            return False
    return True


@lru_cache(maxsize=2)
def _ec2_products(factor: float) -> Sequence[Mapping[str, Any]]:
    return [
        _product(
            "AmazonEC2",
            "Compute Instance (bare metal)" if t.bare_metal else "Compute Instance",
            {
                "instanceType": t.name,
                "vcpu": str(t.vcpus),
                "memory": f"{t.memory_mib / 1024:g} GiB",
                "operatingSystem": "Linux",
                "tenancy": "Shared",
                "preInstalledSw": "NA",
                "licenseModel": "No License required",
                "capacitystatus": "Used",
                "marketoption": "OnDemand",
                "operation": "RunInstances",
                "usagetype": f"BoxUsage:{t.name}",
            },
            t.price_usd_hour * factor,
        )
        for t in load_catalog().types
        if t.price_usd_hour is not None
    ]


@lru_cache(maxsize=2)
def _sagemaker_products(factor: float) -> Sequence[Mapping[str, Any]]:
    return list(_iter_sagemaker_products(factor))


def _iter_sagemaker_products(factor: float) -> Iterator[Mapping[str, Any]]:
    for t in load_catalog().types:
        if t.sagemaker_name is None or t.sagemaker_price_usd_hour is None:
            continue
        # Hosting costs twice as much here, to expose code that confuses it with training.
        for use, component, times in (("Train", "Training", 1), ("Host", "Hosting", 2)):
            attributes = {
                "instanceName": t.sagemaker_name,
                "instanceType": f"{t.sagemaker_name}-{component}",
                "component": component,
                "operation": "RunInstance",
                "usagetype": f"USE1-{use}:{t.sagemaker_name}",
            }
            price = t.sagemaker_price_usd_hour * times * factor
            yield _product("AmazonSageMaker", "ML Instance", attributes, price)


_PRODUCTS: Mapping[str, Callable[[float], Sequence[Mapping[str, Any]]]] = {
    "AmazonEC2": _ec2_products,
    "AmazonSageMaker": _sagemaker_products,
}


def _product(
    service: str, family: str, attributes: Mapping[str, str], usd_hour: float
) -> Mapping[str, Any]:
    usage = attributes["usagetype"]
    sku = "".join(character for character in usage if character.isalnum()).upper()
    term, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    dimension = {
        "rateCode": rate,
        "unit": "Hrs",
        "beginRange": "0",
        "endRange": "Inf",
        "description": f"${usd_hour} per hour of {usage}",
        "appliesTo": [],
        "pricePerUnit": {"USD": f"{usd_hour:.10f}"},
    }
    return {
        "product": {
            "sku": sku,
            "productFamily": family,
            "attributes": {
                "servicecode": service,
                "regionCode": REGION,
                "location": "US East (N. Virginia)",
                "locationType": "AWS Region",
                **attributes,
            },
        },
        "serviceCode": service,
        "terms": {
            "OnDemand": {
                term: {
                    "sku": sku,
                    "offerTermCode": "JRTCKXETXF",
                    "priceDimensions": {rate: dimension},
                    "termAttributes": {},
                }
            }
        },
        "version": "1",
    }
