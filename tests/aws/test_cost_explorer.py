"""Requests to Cost Explorer, valid for botocore's model, and its documented answers.

Not yet run on AWS: moto returns no costs unless they were given to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from flowyml_aws.aws.cost_explorer import billed_costs, cost_request
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.submission.billing import BilledCost

SINCE, UNTIL = date(2026, 11, 1), date(2026, 11, 3)
HAS_RUN = {"Not": {"Tags": {"Key": "flowyml-aws:run", "MatchOptions": ["ABSENT"]}}}


def a_page(groups: dict[str, str], unit: str = "USD", **more: Any) -> dict[str, Any]:
    """Return an answer with the costs of one day, by usage type."""
    return {
        "ResultsByTime": [
            {
                "TimePeriod": {"Start": "2026-11-01", "End": "2026-11-02"},
                "Groups": [
                    {"Keys": [name], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": unit}}}
                    for name, amount in groups.items()
                ],
                "Estimated": True,
            }
        ],
        **more,
    }


@pytest.fixture
def explorer() -> Iterator[Stubber]:
    """A stub that checks each request against botocore's model."""
    client = boto3.client(
        "ce", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    with Stubber(client) as stubber:
        yield stubber


def test_costs_of_jobs_and_of_the_accounts_instances_are_requested() -> None:
    request = cost_request(SINCE, UNTIL, "prod")
    assert request["TimePeriod"] == {"Start": "2026-11-01", "End": "2026-11-03"}
    own = {"Tags": {"Key": "flowyml-aws", "Values": ["prod"], "MatchOptions": ["EQUALS"]}}
    assert request["Filter"] == {"Or": [own, HAS_RUN]}


def test_without_a_name_the_instances_of_all_accounts_are_requested() -> None:
    own, _ = cost_request(SINCE, UNTIL)["Filter"]["Or"]
    assert own == {"Not": {"Tags": {"Key": "flowyml-aws", "MatchOptions": ["ABSENT"]}}}


def test_costs_have_a_day_and_a_family(explorer: Stubber) -> None:
    page = a_page({"BoxUsage:m5.large": "1.25", "EBS:VolumeUsage.gp3": "0.5"})
    explorer.add_response("get_cost_and_usage", page, cost_request(SINCE, UNTIL, "prod"))
    assert billed_costs(explorer.client, SINCE, UNTIL, "prod") == [
        BilledCost(SINCE, "m5", 1.25),
        BilledCost(SINCE, "other", 0.5),
    ]


def test_all_pages_are_read(explorer: Stubber) -> None:
    request = cost_request(SINCE, UNTIL)
    first = a_page({"BoxUsage:m5.large": "1"}, NextPageToken="more")
    explorer.add_response("get_cost_and_usage", first, request)
    second = a_page({"Train:ml.m5.large": "2"})
    explorer.add_response("get_cost_and_usage", second, {**request, "NextPageToken": "more"})
    assert [cost.family for cost in billed_costs(explorer.client, SINCE, UNTIL)] == ["m5", "ml.m5"]


def test_no_costs_are_an_error_that_says_how_to_activate_the_tags(explorer: Stubber) -> None:
    explorer.add_response("get_cost_and_usage", a_page({}))
    with pytest.raises(AwsRefusedError) as caught:
        billed_costs(explorer.client, SINCE, UNTIL)
    assert "activate flowyml-aws and flowyml-aws:run under Cost allocation tags" in caught.value.fix


def test_another_currency_is_an_error(explorer: Stubber) -> None:
    explorer.add_response("get_cost_and_usage", a_page({"BoxUsage:m5.large": "1"}, unit="CNY"))
    with pytest.raises(AwsRefusedError, match="costs in CNY"):
        billed_costs(explorer.client, SINCE, UNTIL)


@pytest.mark.parametrize(
    ("code", "message", "fix"),
    [
        (
            "AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: "
            "ce:GetCostAndUsage on resource: * because no identity-based policy allows it",
            "option `cost_explorer` of infra/",
        ),
        ("DataUnavailableException", "", "open Cost Explorer once in the console"),
        ("ThrottlingException", "Rate exceeded", "wait a minute"),
    ],
)
def test_a_refusal_has_a_reason_and_a_fix(
    explorer: Stubber, code: str, message: str, fix: str
) -> None:
    explorer.add_client_error("get_cost_and_usage", code, message, 400)
    with pytest.raises(AwsRefusedError) as caught:
        billed_costs(explorer.client, SINCE, UNTIL)
    assert caught.value.what == "Can't read the billed costs from Cost Explorer"
    assert fix in caught.value.fix
