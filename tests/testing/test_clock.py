from __future__ import annotations

from collections.abc import Callable
from threading import RLock

import pytest

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.clock import Clock

EPOCH = 1_000.0


class Machine:
    """A machine's own time, which passes only when a test says so."""

    def __init__(self) -> None:
        self.seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def clock(machine: Machine) -> Clock:
    return Clock(RLock(), real_time=machine, epoch=EPOCH)


@pytest.fixture
def events(clock: Clock) -> list[tuple[str, float]]:
    """Names that `note` has recorded, with the seconds since the start."""
    return []


@pytest.fixture
def note(clock: Clock, events: list[tuple[str, float]]) -> Callable[[str], Callable[[], None]]:
    """Return an action that records its name and its time."""
    return lambda name: lambda: events.append((name, clock.now() - EPOCH))


def test_time_passes_as_on_the_machine(clock: Clock, machine: Machine) -> None:
    assert clock.now() == EPOCH
    machine.seconds += 3
    assert (clock.now(), clock.now_ms()) == (EPOCH + 3, 1_003_000)


def test_time_passes_faster_with_a_time_scale(machine: Machine) -> None:
    clock = Clock(RLock(), 0.01, real_time=machine, epoch=EPOCH)
    machine.seconds += 3
    assert clock.now() == pytest.approx(EPOCH + 300)


def test_a_delay_is_skipped_by_whoever_waits_for_it(clock: Clock, events: list, note) -> None:
    clock.delay(4, note("second"))
    clock.delay(2, note("first"))
    clock.skip_delay()
    assert events == [("first", 2)]
    clock.skip_delay()
    assert events == [("first", 2), ("second", 4)]


def test_after_a_skipped_delay_the_clock_waits_for_the_machine(
    clock: Clock, machine: Machine
) -> None:
    clock.delay(4, lambda: None)
    clock.skip_delay()
    machine.seconds += 3
    assert clock.now() == EPOCH + 4
    machine.seconds += 3
    assert clock.now() == EPOCH + 6


def test_time_passes_while_the_clock_is_held_although_it_is_ahead(
    clock: Clock, machine: Machine
) -> None:
    clock.delay(4, lambda: None)
    clock.skip_delay()
    clock.hold()
    machine.seconds += 3
    assert clock.now() == EPOCH + 7
    clock.release()
    machine.seconds += 3
    assert clock.now() == EPOCH + 7
    machine.seconds += 3
    assert clock.now() == EPOCH + 9


def test_an_advanced_clock_stays_ahead(clock: Clock, machine: Machine) -> None:
    clock.advance(100)
    machine.seconds += 3
    assert clock.now() == EPOCH + 103


def test_without_a_delay_no_time_is_skipped(clock: Clock) -> None:
    clock.skip_delay()
    assert clock.now() == EPOCH


def test_a_limit_is_never_skipped_to(clock: Clock, events: list, note) -> None:
    clock.after(60, note("limit"))
    clock.skip_delay()
    assert (clock.now(), events) == (EPOCH, [])


def test_limits_before_the_end_of_a_delay_are_reached_in_order(
    clock: Clock, events: list, note
) -> None:
    clock.after(3, note("limit"))
    clock.after(9, note("later limit"))
    clock.delay(5, note("delay"))
    clock.skip_delay()
    assert events == [("limit", 3), ("delay", 5)]


def test_while_the_clock_is_held_delays_last_their_real_time(
    clock: Clock, machine: Machine, events: list, note
) -> None:
    clock.delay(4, note("delay"))
    clock.hold()
    clock.hold()
    clock.release()
    machine.seconds += 1
    clock.skip_delay()
    assert (clock.now(), events) == (EPOCH + 1, [])
    clock.release()
    clock.skip_delay()
    assert (clock.now(), events) == (EPOCH + 4, [("delay", 4)])


def test_advancing_reaches_delays_and_limits_in_order_even_while_the_clock_is_held(
    clock: Clock, events: list, note
) -> None:
    clock.after(60, note("limit"))
    clock.delay(5, note("delay"))
    clock.after(61, note("later limit"))
    clock.hold()
    clock.advance(60)
    assert events == [("delay", 5), ("limit", 60)]
    assert clock.now() == EPOCH + 60


def test_an_action_may_schedule_another_that_is_reached_on_the_way(
    clock: Clock, events: list, note
) -> None:
    def start_another() -> None:
        clock.after(2, note("nested"))

    clock.after(1, start_another)
    clock.advance(10)
    assert events == [("nested", 3)]


def test_actions_at_the_same_time_run_in_the_order_of_their_requests(
    clock: Clock, events: list, note
) -> None:
    clock.after(5, note("limit"))
    clock.delay(5, note("delay"))
    clock.after(5, note("last"))
    clock.advance(5)
    assert [name for name, _ in events] == ["limit", "delay", "last"]


def test_a_cancelled_action_does_not_run_and_is_not_waited_for(
    clock: Clock, events: list, note
) -> None:
    clock.delay(2, note("cancelled")).cancel()
    clock.delay(4, note("delay"))
    clock.skip_delay()
    assert events == [("delay", 4)]


@pytest.mark.contract
def test_actions_run_when_they_are_due_although_no_one_asks(eventually) -> None:
    clock = Clock(RLock(), 0.001)
    clock.start()
    reached: list[str] = []
    clock.after(20, lambda: reached.append("limit"))
    clock.delay(10, lambda: reached.append("delay"))
    eventually(lambda: reached == ["delay", "limit"])
    clock.stop()


@pytest.mark.contract
def test_a_timeout_of_hours_is_reached_by_advancing_the_account(aws: Emulator, batch) -> None:
    job = batch.submit("import time; time.sleep(60)", timeout={"attemptDurationSeconds": 7200})
    batch.wait_for_status(job, "RUNNING")
    started = batch.job(job)["startedAt"]
    aws.advance(7199)
    assert batch.status(job) == "RUNNING"
    aws.advance(10)
    ended = batch.ended(job)
    assert ended["statusReason"] == "Job attempt duration exceeded timeout"
    assert 7_200_000 <= ended["stoppedAt"] - started < 7_300_000
    assert aws.now() * 1000 >= ended["stoppedAt"]


@pytest.mark.contract
def test_jobs_print_to_their_logs_although_the_account_is_days_ahead(aws: Emulator, batch) -> None:
    aws.advance(3 * 86_400)
    job = batch.submit("print('late')")
    batch.ended(job)
    batch.wait_for_line(job, "late")
