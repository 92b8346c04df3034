from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flowyml_aws.artifacts.parallel import (
    CONNECTIONS,
    PartSlots,
    for_each_part,
    parts_at_once,
)


def test_results_are_in_the_order_of_the_parts() -> None:
    assert for_each_part(100, lambda n: n * n) == tuple(n * n for n in range(100))


@pytest.mark.parametrize(("cpus", "parts"), [(1, 16), (2, 16), (8, 32), (96, CONNECTIONS)])
def test_a_larger_machine_processes_more_parts_at_once(cpus: int, parts: int) -> None:
    assert parts_at_once(cpus) == parts


def test_concurrent_calls_share_the_slots() -> None:
    slots = PartSlots(3)
    lock = threading.Lock()
    running = most_running = 0

    def work(_: int) -> None:
        nonlocal running, most_running
        with lock:
            running += 1
            most_running = max(most_running, running)
        for _ in range(1000):
            pass
        with lock:
            running -= 1

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda parts: for_each_part(parts, work, slots), [20, 1, 20, 1, 20]))
    assert running == 0
    assert 1 <= most_running <= 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_a_failure_no_further_part_is_started(error: type[BaseException]) -> None:
    started: list[int] = []

    def work(number: int) -> None:
        started.append(number)
        raise error

    with pytest.raises(error):
        for_each_part(10_000, work, PartSlots(2))
    assert len(started) < 10_000
    assert for_each_part(3, str, PartSlots(2)) == ("0", "1", "2")


def test_slots_are_released_after_a_failure() -> None:
    slots = PartSlots(1)

    def fail(_: int) -> None:
        raise ValueError

    for count in (1, 5):
        with pytest.raises(ValueError):
            for_each_part(count, fail, slots)
    assert for_each_part(1, str, slots) == ("0",)
