"""The check of a proof that asks Cost Explorer. Not yet run on AWS."""

from __future__ import annotations

from datetime import date

from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.doctor.prove.billing import check_billing
from flowyml_aws.submission.billing import BilledCost

TODAY = date(2026, 11, 30)


def test_costs_with_the_tags_agree() -> None:
    asked: list[tuple[date, date]] = []

    def read(since: date, until: date) -> list[BilledCost]:
        asked.append((since, until))
        return [BilledCost(TODAY, "m5", 1.5), BilledCost(TODAY, "other", 0.25)]

    row = check_billing(read, TODAY)
    assert (row.verdict, row.observed) == ("agreed", "$1.75 on 1 day of 14")
    assert asked == [(date(2026, 11, 17), date(2026, 12, 1))]


def test_a_refusal_is_not_checked_with_its_reason_and_fix() -> None:
    def read(since: date, until: date) -> list[BilledCost]:
        raise AwsRefusedError("Can't read it", "AccessDenied", "allow ce:GetCostAndUsage")

    row = check_billing(read, TODAY)
    assert row.verdict == "not checked"
    assert row.reason == "Can't read it: AccessDenied; allow ce:GetCostAndUsage"
