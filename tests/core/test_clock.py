from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from flowyml_aws.core import clock


@pytest.fixture
def sixty_times_as_fast() -> Iterator[None]:
    clock.run_faster(60)
    yield
    clock.run_faster(1)


@pytest.fixture
def real_times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Real seconds of each pause, while real time does not pass: two seconds after the start."""
    times: list[float] = []
    monkeypatch.setattr(time, "sleep", times.append)
    monkeypatch.setattr(time, "monotonic", lambda: 2.0)
    monkeypatch.setattr(time, "clock_gettime", lambda _: 2.0)
    return times


def test_a_second_is_a_second(real_times: list[float]) -> None:
    clock.sleep(30)
    assert real_times == [30]
    assert (clock.monotonic(), clock.uptime_s()) == (2, 2)


@pytest.mark.usefixtures("sixty_times_as_fast")
def test_a_faster_clock_makes_each_wait_shorter(real_times: list[float]) -> None:
    clock.sleep(30)
    assert real_times == [0.5]
    assert (clock.monotonic(), clock.uptime_s()) == (120, 120)
    assert (clock.real_s(60), clock.passed_s(1)) == (1, 60)


def test_waiting_for_an_event_returns_whether_it_is_set() -> None:
    event = threading.Event()
    assert not clock.wait(event, 0)
    event.set()
    assert clock.wait(event, 3600)
