from __future__ import annotations

import threading

import pytest

from flowyml_aws.artifacts.parallel import (
    CONNECTIONS,
    Lanes,
    for_each,
    for_each_part,
    parts_at_once,
)


def test_results_come_in_the_order_of_the_parts() -> None:
    assert for_each_part(100, lambda n: n * n) == tuple(n * n for n in range(100))
    assert for_each(range(100), lambda n: n * n) == tuple(n * n for n in range(100))
    assert for_each((), str) == ()


@pytest.mark.parametrize(("cpus", "parts"), [(1, 16), (2, 16), (8, 32), (96, CONNECTIONS)])
def test_a_larger_machine_works_on_more_parts_at_once(cpus: int, parts: int) -> None:
    assert parts_at_once(cpus) == parts


def test_many_things_together_hold_no_more_parts_than_there_are_lanes() -> None:
    lanes = Lanes(3)
    lock = threading.Lock()
    going = most = 0

    def work(_: int) -> None:
        nonlocal going, most
        with lock:
            going += 1
            most = max(most, going)
        for _ in range(1000):
            pass
        with lock:
            going -= 1

    for_each([20, 1, 20, 1, 20], lambda parts: for_each_part(parts, work, lanes))
    assert going == 0
    assert 1 <= most <= 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_a_failure_no_further_part_is_begun(error: type[BaseException]) -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        raise error

    with pytest.raises(error):
        for_each_part(10_000, work, Lanes(2))
    assert len(begun) < 10_000
    assert for_each_part(3, str, Lanes(2)) == ("0", "1", "2")


def test_lanes_are_free_again_after_a_failure() -> None:
    lanes = Lanes(1)

    def fail(_: int) -> None:
        raise ValueError

    for count in (1, 5):
        with pytest.raises(ValueError):
            for_each_part(count, fail, lanes)
    assert for_each_part(1, str, lanes) == ("0",)
