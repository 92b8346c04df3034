"""Billed costs of an account by day and usage type, from AWS Cost Explorer.

Each request costs $0.01 (https://aws.amazon.com/aws-cost-management/aws-cost-explorer/pricing/).
Costs are found by tags, which count only once they are activated as cost allocation tags, and from
then on. Cost Explorer is up to a day late. Not yet run on AWS.

Sources: "GetCostAndUsage" in the API reference of AWS Billing and Cost Management; "Activating
user-defined cost allocation tags" in its user guide.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.submission.billing import BilledCost, family_of

__all__ = ["EXPLORER_REGION", "billed_costs", "cost_request"]

EXPLORER_REGION = "us-east-1"
"""Region of the only endpoint of Cost Explorer in the partition `aws`."""

_ACCOUNT_TAG = "flowyml-aws"  # of everything that infra/ creates, and of Batch's instances
_RUN_TAG = "flowyml-aws:run"  # of jobs

_ACTIVATION = (
    f"in the Billing console of the account that pays, activate {_ACCOUNT_TAG} and {_RUN_TAG} "
    "under Cost allocation tags; costs appear a day later, for the time from then on"
)


def cost_request(since: date, until: date, account: str | None = None) -> dict[str, Any]:
    """Return the arguments of GetCostAndUsage, without the page.

    Args:
        since: First day.
        until: Day after the last one.
        account: Name of the account in infra/; None for all with the tag.
    """
    own = (
        {"Tags": {"Key": _ACCOUNT_TAG, "Values": [account], "MatchOptions": ["EQUALS"]}}
        if account
        else _has_tag(_ACCOUNT_TAG)
    )
    return {
        "TimePeriod": {"Start": since.isoformat(), "End": until.isoformat()},
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
        "Filter": {"Or": [own, _has_tag(_RUN_TAG)]},
        "GroupBy": [{"Type": "DIMENSION", "Key": "USAGE_TYPE"}],
    }


def billed_costs(
    client: Any, since: date, until: date, account: str | None = None
) -> list[BilledCost]:
    """Return the billed costs by day and instance family, in USD.

    Args:
        client: boto3 client `ce` in `EXPLORER_REGION`; it needs ce:GetCostAndUsage.
        since: First day.
        until: Day after the last one.
        account: Name of the account in infra/; None for all with the tag.

    Raises:
        AwsRefusedError: AWS denied the call, has no data, or bills in another currency.
    """
    request = cost_request(since, until, account)
    costs: list[BilledCost] = []
    token: str | None = None
    while True:
        page = {"NextPageToken": token} if token else {}
        try:
            response = client.get_cost_and_usage(**request, **page)
        except (ClientError, BotoCoreError) as error:
            raise _explained(error) from error
        costs += _costs(response)
        token = response.get("NextPageToken")
        if not token:
            break
    if not costs:
        raise AwsRefusedError(
            what=f"Cost Explorer has no costs with the tags {_ACCOUNT_TAG} and {_RUN_TAG} "
            f"from {since} to {until}",
            why="the tags are not activated for cost allocation, nothing ran, or the data are not "
            "there yet: Cost Explorer is up to a day late",
            fix=_ACTIVATION,
        )
    return costs


def _has_tag(key: str) -> dict[str, Any]:
    return {"Not": {"Tags": {"Key": key, "MatchOptions": ["ABSENT"]}}}


def _costs(response: Any) -> Iterator[BilledCost]:
    for period in response.get("ResultsByTime", ()):
        day = date.fromisoformat(period["TimePeriod"]["Start"])
        for group in period.get("Groups", ()):
            metric = group["Metrics"]["UnblendedCost"]
            if metric["Unit"] != "USD":
                raise AwsRefusedError(
                    what=f"Cost Explorer reports costs in {metric['Unit']}",
                    why="the prices of plans are in USD, and can't be compared",
                    fix="look at the costs in the Billing console",
                )
            yield BilledCost(day, family_of(group["Keys"][0]), float(metric["Amount"]))


def _explained(error: ClientError | BotoCoreError) -> AwsRefusedError:
    refusal = refused(error, "read the billed costs from Cost Explorer")
    code = error_code(error) if isinstance(error, ClientError) else ""
    if code == "DataUnavailableException":
        fix = "open Cost Explorer once in the console: it has data a day later"
    elif code.startswith("AccessDenied"):
        fix = (
            "allow ce:GetCostAndUsage (option `cost_explorer` of infra/), and in a member account, "
            "access to Cost Explorer in the preferences of the account that pays; "
            f"{refusal.fix}"
        )
    else:
        return refusal
    return type(refusal)(what=refusal.what, why=refusal.why, fix=fix)
