"""Formatting of amounts of money and of counts."""

from __future__ import annotations

import pytest

from flowyml_aws.view.amounts import counted, usd


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.526, "$0.526"),
        (1234.56, "$1,235"),
        (0.0012, "$0.00120"),
        (0.00001, "$0.00001"),
        (0, "$0"),
    ],
)
def test_an_amount_has_four_digits_or_five_decimals(amount: float, text: str) -> None:
    assert usd(amount) == text


def test_a_count_has_the_noun_in_its_number() -> None:
    assert [counted(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
