"""Budgets of the emulated account, as Terraform creates and reads them."""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.testing import Emulator

pytestmark = pytest.mark.contract

ACCOUNT = "123456789012"


def test_a_budget_is_read_with_the_subscribers_and_tags_that_it_was_created_with(
    aws: Emulator,
) -> None:
    budgets = aws.client("budgets")
    notification = {
        "NotificationType": "ACTUAL",
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": 80.0,
        "ThresholdType": "PERCENTAGE",
    }
    subscribers = [{"SubscriptionType": "SNS", "Address": f"arn:aws:sns:us-east-1:{ACCOUNT}:x"}]
    budgets.create_budget(
        AccountId=ACCOUNT,
        Budget={
            "BudgetName": "monthly",
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": "100", "Unit": "USD"},
        },
        NotificationsWithSubscribers=[{"Notification": notification, "Subscribers": subscribers}],
        ResourceTags=[{"Key": "flowyml-aws", "Value": "main"}],
    )

    def of(threshold: float) -> Any:
        return budgets.describe_subscribers_for_notification(
            AccountId=ACCOUNT,
            BudgetName="monthly",
            Notification={**notification, "Threshold": threshold},
        )["Subscribers"]

    assert of(80) == subscribers
    arn = f"arn:aws:budgets::{ACCOUNT}:budget/monthly"
    tags = budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"]
    assert tags == [{"Key": "flowyml-aws", "Value": "main"}]
    with pytest.raises(budgets.exceptions.NotFoundException):
        of(100)
