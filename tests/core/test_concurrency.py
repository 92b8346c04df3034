from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from flowyml_aws.core.concurrency import map_concurrently, map_to_completion

_WAIT_S = 10


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also where the test runner ignores it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def interrupt_main_thread() -> None:
    ident = threading.main_thread().ident
    assert ident is not None
    time.sleep(0.2)  # until it waits for this thread, and no longer starts it
    signal.pthread_kill(ident, signal.SIGINT)


def thread_of_call(_: object) -> threading.Thread:
    return threading.current_thread()


def test_results_have_the_order_of_the_items() -> None:
    second_is_done = threading.Event()

    def square(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(_WAIT_S)
        if number == 1:
            second_is_done.set()
        return number**2

    assert map_concurrently(square, range(100), limit=2) == [n**2 for n in range(100)]


def test_as_many_calls_as_the_limit_run_at_once_and_no_more() -> None:
    all_threads = threading.Barrier(3)
    lock = threading.Lock()
    running, most = 0, 0

    def call(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        all_threads.wait(_WAIT_S)
        with lock:
            running -= 1

    map_concurrently(call, range(9), limit=3)
    assert most == 3


def test_no_items_have_no_results() -> None:
    assert map_concurrently(thread_of_call, [], limit=4) == []
    assert map_to_completion(thread_of_call, [], limit=4) == []


def test_a_single_item_is_processed_in_the_thread_of_the_caller() -> None:
    assert map_concurrently(thread_of_call, ["a"], limit=4) == [threading.current_thread()]


def test_several_items_are_processed_in_other_threads() -> None:
    assert threading.current_thread() not in map_concurrently(thread_of_call, "ab", limit=4)


def test_an_iterable_is_read_in_the_thread_of_the_caller_and_not_ahead() -> None:
    drawn, done = 0, 0
    ahead: list[int] = []
    threads: set[threading.Thread] = set()
    lock = threading.Lock()

    def items() -> Iterator[int]:
        nonlocal drawn
        for number in range(200):
            threads.add(threading.current_thread())
            with lock:
                drawn += 1
                ahead.append(drawn - done)
            yield number

    def call(_: int) -> None:
        nonlocal done
        with lock:
            done += 1

    map_concurrently(call, items(), limit=3)
    assert (drawn, done) == (200, 200)
    assert max(ahead) <= 3 + 1  # those that run, and the next one
    assert threads == {threading.current_thread()}


def test_after_an_error_no_item_is_started_and_running_calls_are_awaited() -> None:
    started: list[int] = []
    completed: list[int] = []
    second_has_started = threading.Event()

    def call(number: int) -> None:
        started.append(number)
        if number == 0:
            assert second_has_started.wait(_WAIT_S)
            raise ValueError("the first")
        second_has_started.set()
        time.sleep(0.1)
        completed.append(number)

    with pytest.raises(ValueError, match="the first"):
        map_concurrently(call, range(100), limit=2)
    assert (started, completed) == ([0, 1], [1])


def test_of_several_errors_that_of_the_first_item_is_raised() -> None:
    second_has_failed = threading.Event()

    def call(number: int) -> None:
        if number == 0:
            assert second_has_failed.wait(_WAIT_S)
        second_has_failed.set()
        raise ValueError(f"item {number}")

    with pytest.raises(ValueError, match="item 0"):
        map_concurrently(call, range(100), limit=2)


def test_an_error_of_the_iterable_is_raised_once_the_running_calls_have_ended() -> None:
    completed: list[int] = []

    def items() -> Iterator[int]:
        yield from range(2)
        raise OSError("no more pages")

    def call(number: int) -> None:
        time.sleep(0.1)
        completed.append(number)

    with pytest.raises(OSError, match="no more pages"):
        map_concurrently(call, items(), limit=4)
    assert sorted(completed) == [0, 1]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("count", [2, 1000], ids=["all are running", "most are waiting"])
def test_an_interrupt_awaits_only_the_calls_that_are_running(count: int) -> None:
    started: list[int] = []
    completed: list[int] = []
    two_run = threading.Barrier(2)

    def call(number: int) -> None:
        started.append(number)
        two_run.wait(_WAIT_S)
        if number == 0:
            interrupt_main_thread()
        time.sleep(0.5)
        completed.append(number)

    with pytest.raises(KeyboardInterrupt):
        map_concurrently(call, range(count), limit=2)
    assert sorted(started) == sorted(completed) == [0, 1]


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_call_for_a_single_item() -> None:
    completed: list[int] = []

    def call(number: int) -> None:
        interrupt_main_thread()
        completed.append(number)

    with pytest.raises(KeyboardInterrupt):
        map_concurrently(call, [0], limit=2)
    assert not completed


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_does_not_end_a_call_that_must_complete() -> None:
    completed: list[int] = []

    def call(number: int) -> None:
        interrupt_main_thread()
        time.sleep(0.5)
        completed.append(number)

    with pytest.raises(KeyboardInterrupt):
        map_to_completion(call, [0], limit=2)
    assert completed == [0]
