from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from flowyml_aws.core.termination import Terminated, end_after_cleanup, raise_terminations

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_would_end_the_process_is_an_exception(number: signal.Signals) -> None:
    with pytest.raises(Terminated) as caught, raise_terminations():
        os.kill(os.getpid(), number)
    assert caught.value.number is number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_an_inner_block_cleans_up_and_leaves_the_end_to_the_outer_one() -> None:
    cleaned = []
    with pytest.raises(Terminated), raise_terminations(), end_after_cleanup():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(True)
    assert cleaned == [True]


@pytest.mark.parametrize("block", [raise_terminations, end_after_cleanup])
def test_ignored_signals_stay_ignored_as_nohup_wants_it(
    block: Callable[[], AbstractContextManager[None]],
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with block():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_handler_of_the_user_is_kept() -> None:
    received = []
    signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    with end_after_cleanup():
        os.kill(os.getpid(), signal.SIGTERM)
    assert received == [signal.SIGTERM]


def test_other_threads_change_no_handlers() -> None:
    seen = []

    def look() -> None:
        with end_after_cleanup():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
