"""Measured quantities in a fixed number of periods, which become longer with the job."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from flowyml_aws.runtime.usage import Series

__all__ = ["Periods", "merge_pairs"]

_DIGITS = 4


class Periods:
    """The lowest and the highest value of each quantity in periods of equal length.

    Once there are `limit` periods, neighbors are merged, and the length of a period doubles.

    Args:
        period_s: Length of the first periods in seconds.
        limit: Largest number of periods; at least 2.
    """

    def __init__(self, period_s: float = 1.0, limit: int = 300) -> None:
        self.period_s = period_s
        self._limit = limit
        self._count = 0
        self._values: dict[str, tuple[list[float], list[float]]] = {}

    def __len__(self) -> int:
        return self._count

    def add(self, start_s: float, end_s: float, values: Mapping[str, float]) -> None:
        """Add values that were measured for a time, which begins where the last one ended.

        They count in each period whose middle is in this time, and at least in one. A quantity
        that was not measured keeps its last value; before its first value, it has that value.

        Args:
            start_s, end_s: Seconds since the start of the first period.
            values: Value of each quantity.
        """
        while True:
            first, last = self._covered(start_s, end_s)
            if last < self._limit:
                break
            self._merge()
        count = max(self._count, last + 1)
        for name, value in values.items():
            low, high = self._values.setdefault(name, ([value] * first, [value] * first))
            for index in range(first, min(last + 1, len(low))):
                low[index], high[index] = min(low[index], value), max(high[index], value)
            low += [value] * (count - len(low))
            high += [value] * (count - len(high))
        for low, high in self._values.values():  # those that were not measured
            low += [low[-1]] * (count - len(low))
            high += [high[-1]] * (count - len(high))
        self._count = count

    def series(self) -> tuple[Series, ...]:
        """Return all quantities, with four digits."""
        return tuple(
            Series(name=name, low=tuple(map(_rounded, low)), high=tuple(map(_rounded, high)))
            for name, (low, high) in self._values.items()
        )

    def _covered(self, start_s: float, end_s: float) -> tuple[int, int]:
        """Return the first and the last period that a time counts in."""
        # The middle of period k is at k + 1/2. The periods before the first one exist already.
        first = math.ceil(start_s / self.period_s - 0.5)
        last = math.ceil(end_s / self.period_s - 0.5) - 1
        if last < first:
            first = last = int((start_s + end_s) / 2 / self.period_s)
        return min(first, self._count), last

    def _merge(self) -> None:
        self.period_s *= 2
        self._count = (self._count + 1) // 2
        for name, (low, high) in self._values.items():
            self._values[name] = merge_pairs(low, min), merge_pairs(high, max)


def merge_pairs(values: Sequence[float], pick: Callable[[Sequence[float]], float]) -> list[float]:
    """Return one value for each two neighbors; the last value may remain alone."""
    return [pick(values[start : start + 2]) for start in range(0, len(values), 2)]


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
