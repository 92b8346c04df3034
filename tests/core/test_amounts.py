"""Formatting of amounts of money and of counts."""

from __future__ import annotations

import pytest

from flowyml_aws.core.amounts import counted, usd


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.526, "$0.526"),
        (0.0961, "$0.0961"),
        (1.5, "$1.50"),
        (32.7726, "$32.77"),
        (999.96, "$999.96"),
        (1234.56, "$1,235"),
        (12345.6, "$12,346"),
        (0.0012, "$0.00120"),
        (0.00001, "$0.00001"),
        (0.000001, "less than $0.00001"),
        (0, "$0.00"),
    ],
)
def test_an_amount_has_four_digits_and_at_least_two_decimals(amount: float, text: str) -> None:
    assert usd(amount) == text


def test_a_count_has_the_noun_in_its_number() -> None:
    assert [counted(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
    assert [counted(number, "retry") for number in (1, 1000)] == ["1 retry", "1,000 retries"]
