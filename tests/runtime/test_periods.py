from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.runtime.periods import Periods
from tests.support.effort import examples

LIMIT = 8
VALUES = st.integers(0, 9).map(float)
PASSED = st.sampled_from([0.01, 0.3, 0.9, 1.0, 1.1, 2.0, 40.0])


def lows(periods: Periods) -> list[float]:
    (series,) = periods.series()
    return list(series.low)


def highs(periods: Periods) -> list[float]:
    (series,) = periods.series()
    return list(series.high)


def test_each_period_has_the_lowest_and_the_highest_value() -> None:
    periods = Periods(period_s=10.0)
    for second, value in enumerate((3.0, 1.0, 2.0)):
        periods.add(second, second + 1, {"cpu_cores": value})
    assert (lows(periods), highs(periods)) == ([1.0], [3.0])


def test_neighbors_are_merged_once_all_periods_are_in_use() -> None:
    periods = Periods(period_s=1.0, limit=4)
    for second, value in enumerate((1.0, 5.0, 3.0, 2.0, 9.0)):
        periods.add(second, second + 1, {"cpu_cores": value})
    assert periods.period_s == 2.0
    assert (lows(periods), highs(periods)) == ([1.0, 2.0, 9.0], [5.0, 3.0, 9.0])


def test_a_long_time_without_measurement_has_one_value() -> None:
    periods = Periods(period_s=1.0)
    periods.add(0, 1, {"cpu_cores": 1.0})
    periods.add(1, 5, {"cpu_cores": 3.0})
    assert lows(periods) == highs(periods) == [1.0, 3.0, 3.0, 3.0, 3.0]


def test_a_measurement_that_is_a_little_late_counts_in_one_period() -> None:
    periods = Periods(period_s=1.0)
    periods.add(0, 1.02, {"cpu_cores": 1.0})
    periods.add(1.02, 2.04, {"cpu_cores": 3.0})
    assert lows(periods) == highs(periods) == [1.0, 3.0]


def test_all_quantities_have_the_same_periods() -> None:
    periods = Periods(period_s=1.0)
    periods.add(0, 1, {"cpu_cores": 1.0})
    periods.add(1, 2, {"cpu_cores": 2.0, "gpu0_percent": 50.0})
    periods.add(2, 3, {"cpu_cores": 3.0})
    cpu, gpu = periods.series()
    assert cpu.low == (1.0, 2.0, 3.0)
    assert gpu.low == gpu.high == (50.0, 50.0, 50.0)


@pytest.mark.parametrize(("value", "stored"), [(1234.56, 1235.0), (0.000123456, 0.0001235)])
def test_values_have_four_digits(value: float, stored: float) -> None:
    periods = Periods()
    periods.add(0, 1, {"memory_mib": value})
    assert lows(periods) == [stored]


@examples(200)
@given(st.lists(st.tuples(PASSED, VALUES), min_size=1, max_size=60))
def test_no_lowest_or_highest_value_is_lost(measurements: list[tuple[float, float]]) -> None:
    periods = Periods(period_s=1.0, limit=LIMIT)
    now = 0.0
    for passed_s, value in measurements:
        periods.add(now, now + passed_s, {"cpu_cores": value})
        now += passed_s
    values = [value for _, value in measurements]
    assert 1 <= len(periods) <= LIMIT
    assert (min(lows(periods)), max(highs(periods))) == (min(values), max(values))
    assert all(low <= high for low, high in zip(lows(periods), highs(periods), strict=True))
    # All of the time is covered, except less than half a period at its end.
    assert len(periods) * periods.period_s >= now - periods.period_s / 2


@examples(200)
@given(st.lists(st.tuples(PASSED, VALUES), min_size=1, max_size=60))
def test_a_value_is_in_the_period_of_its_time(measurements: list[tuple[float, float]]) -> None:
    periods = Periods(period_s=1.0, limit=LIMIT)
    middles = []
    now = 0.0
    for passed_s, value in measurements:
        periods.add(now, now + passed_s, {"cpu_cores": value})
        middles.append((now + passed_s / 2, value))
        now += passed_s
    low, high = lows(periods), highs(periods)
    for middle, value in middles:
        at = middle / periods.period_s
        near = {int(at), max(0, int(at - 0.5)), min(len(low) - 1, int(at + 0.5))} & set(
            range(len(low))
        )
        assert any(low[period] <= value <= high[period] for period in near)
