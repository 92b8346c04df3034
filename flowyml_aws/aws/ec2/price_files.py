"""Price list files, which need no credentials: for GovCloud, whose partition has no Price List API.

AWS publishes a file for each service and region, as CSV with five lines before the header. Those of
GovCloud are on the server of the commercial partition, which does not know GovCloud's credentials.

Sources: "Getting price list files manually" and "Reading the service price list file" in the AWS
Billing user guide (using-the-aws-price-list-bulk-api-fetching-price-list-files-manually); GovCloud:
https://github.com/aws/karpenter-provider-aws/pull/8288
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from http.client import HTTPException
from itertools import islice
from typing import IO, Any
from urllib.request import urlopen

from flowyml_aws.core.errors import AwsRefusedError

__all__ = ["PriceFiles", "has_price_api"]

_URL = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/{}/current/{}/index.csv"
_LINES_BEFORE_HEADER = 5
_TIMEOUT_S = 60
_PROGRESS_ROWS = 20_000
# Columns by the names of the Price List API's fields.
_COLUMNS: Mapping[str, str] = {
    "regionCode": "Region Code",
    "operatingSystem": "Operating System",
    "tenancy": "Tenancy",
    "preInstalledSw": "Pre Installed S/W",
    "capacitystatus": "CapacityStatus",
    "marketoption": "MarketOption",
    "instanceType": "Instance Type",
}

Open = Callable[[str], AbstractContextManager[IO[bytes]]]
Progress = Callable[[str], None]


def has_price_api(region: str) -> bool:
    """Return whether the Price List API of a region's partition exists."""
    return not region.startswith("us-gov-")


def _open(url: str) -> AbstractContextManager[IO[bytes]]:
    response: AbstractContextManager[IO[bytes]] = urlopen(  # noqa: S310 - only `PriceFiles` calls it, with AWS's address
        url, timeout=_TIMEOUT_S
    )
    return response


class PriceFiles:
    """The price list files of AWS.

    Args:
        open_url: Opens a URL.
    """

    def __init__(self, open_url: Open = _open) -> None:
        self._open = open_url

    def products(
        self, service: str, region: str, filters: Mapping[str, str], progress: Progress
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the on-demand prices of a service in the form of GetProducts.

        A file has up to hundreds of megabytes; only one line is in memory.

        Args:
            service: Service code, such as `AmazonEC2`.
            region: Name of the region.
            filters: Values by field of the Price List API. Empty columns match.
            progress: Called with progress messages.

        Raises:
            AwsRefusedError: The file can't be read.
        """
        url = _URL.format(service, region)
        try:
            with self._open(url) as file:
                lines = (line.decode("utf-8") for line in file)
                rows = csv.DictReader(islice(lines, _LINES_BEFORE_HEADER, None))
                if "TermType" not in (rows.fieldnames or ()):
                    raise csv.Error(
                        "it is not a price list: a proxy, or a network that asks to sign in, may "
                        "have answered"
                    )
                for number, row in enumerate(rows, 1):
                    if number % _PROGRESS_ROWS == 1:
                        progress(f"prices of {service}: line {number:,}")
                    if row.get("TermType") == "OnDemand" and _matches(row, filters):
                        yield _product(row)
        except (OSError, HTTPException, UnicodeDecodeError, csv.Error) as error:
            raise AwsRefusedError(
                what=f"Can't read the prices of {service} in {region} from {url}",
                why=str(error),
                fix="allow this address in the proxy, or plan with the packaged prices",
            ) from error


def _matches(row: Mapping[str, str], filters: Mapping[str, str]) -> bool:
    return all(row.get(_COLUMNS[name]) in (value, "", None) for name, value in filters.items())


def _product(row: Mapping[str, str]) -> Mapping[str, Any]:
    dimension = {
        "unit": row.get("Unit", ""),
        "pricePerUnit": {row.get("Currency", ""): row.get("PricePerUnit") or "0"},
    }
    return {
        "product": {"attributes": {"usagetype": row.get("usageType")}},
        "terms": {"OnDemand": {"": {"priceDimensions": {"": dimension}}}},
    }
