from __future__ import annotations

import pytest

from flowyml_aws.submission.losses import (
    EndedAttempt,
    LostAttempts,
    lost_text,
    price_attempts,
    total_lost,
)

PRICES = {None: 0.24, "g5.xlarge": 1.2}


def test_lost_attempts_cost_the_price_of_their_machine_for_the_time_they_ran() -> None:
    attempts = [EndedAttempt(2, 3600), EndedAttempt(3, 1800), EndedAttempt(4, 600, "g5.xlarge")]
    lost = price_attempts(attempts, PRICES.get)
    assert lost.count == 3
    assert lost.cost_usd == pytest.approx(0.24 + 0.12 + 0.2)
    assert lost.unpriced_s == 0


def test_the_time_of_a_machine_without_a_price_is_counted_separately() -> None:
    attempts = [EndedAttempt(2, 3600), EndedAttempt(3, 1800, "new.large")]
    lost = price_attempts(attempts, PRICES.get)
    assert lost == LostAttempts(count=2, cost_usd=0.24, unpriced_s=1800)


def test_sums_add_up() -> None:
    sums = [LostAttempts(count=1, cost_usd=0.5), LostAttempts(count=2, unpriced_s=60)]
    assert total_lost(sums) == LostAttempts(count=3, cost_usd=0.5, unpriced_s=60)
    assert total_lost([]) == LostAttempts()


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        (LostAttempts(count=2, cost_usd=0.4321), "2 attempts lost, $0.4321"),
        (LostAttempts(count=1, cost_usd=0.0123), "1 attempt lost, $0.0123"),
        (LostAttempts(count=1, cost_usd=1e-6), "1 attempt lost, less than $0.00001"),
        (LostAttempts(count=1200, cost_usd=1234.5), "1,200 attempts lost, $1,234"),
        (LostAttempts(count=2, unpriced_s=5400), "2 attempts lost, price unknown for 1.50 h"),
        (
            LostAttempts(count=1, unpriced_s=9),
            "1 attempt lost, price unknown for less than 0.01 h",
        ),
        (
            LostAttempts(count=3, cost_usd=0.43, unpriced_s=3600),
            "3 attempts lost, $0.43, price unknown for 1.00 h",
        ),
        (LostAttempts(count=1), "1 attempt lost"),
    ],
)
def test_a_sum_is_readable(lost: LostAttempts, expected: str) -> None:
    assert str(lost) == expected


def test_the_line_of_a_run_names_the_jobs_that_lost_most() -> None:
    jobs = {name: LostAttempts(count=n, cost_usd=n / 10) for n, name in enumerate("abcde", 1)}
    assert lost_text(jobs) == "15 attempts lost, $1.50 (e 5, d 4, c 3 and 2 more jobs)"
    assert lost_text({"a": LostAttempts(count=1)}) == "1 attempt lost (a 1)"
    assert lost_text({}) is None
