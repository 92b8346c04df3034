from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from flowyml_aws.local.processes import (
    ProcessIdentity,
    end_group,
    end_processes,
    find_runner,
    identify,
    this_process,
)

pytestmark = pytest.mark.contract

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
SLEEP = "import time; print('ready', flush=True); time.sleep(600)"


@contextmanager
def leader(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start Python as the leader of its own process group, and wait until it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_running_process_is_alive() -> None:
    assert this_process().is_alive()
    assert this_process() == identify(os.getpid())


def test_a_process_that_ended_is_not_alive_even_before_it_is_waited_for() -> None:
    with leader(SLEEP) as process:
        identity = identify(process.pid)
        os.kill(process.pid, 9)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not identity.is_alive()  # a zombie
        process.wait()
        assert not identity.is_alive()


OLD = {"machine": None, "boot": None, "space": ""}  # as written by a system without these ids


@pytest.mark.parametrize(
    "change",
    [
        {"started_at": 1.0},
        {"boot": "other"},
        {"boot": "other", "machine": "other"},
        {"space": "pid:[1]"},
        {**OLD, "host": "elsewhere"},
    ],
)
def test_another_process_with_the_same_id_is_not_mistaken_for_it(change: dict[str, object]) -> None:
    other = this_process().model_copy(update=change)
    assert not other.is_alive()


@pytest.mark.parametrize("change", [{}, {"host": "renamed"}, OLD])
def test_a_process_is_known_after_its_machine_was_renamed(change: dict[str, object]) -> None:
    process = this_process().model_copy(update=change)
    assert process.is_here()
    assert process.is_alive()


@pytest.mark.parametrize(
    ("change", "is_here"),
    [
        ({"boot": "other"}, True),  # this machine, before it was started again
        ({"boot": "other", "machine": "other"}, False),
        ({"boot": "other", "host": "elsewhere"}, False),  # another container of the same image
        ({"boot": "other", "machine": None}, False),
        ({"space": "pid:[1]"}, False),  # in a container of this machine
    ],
)
def test_only_a_process_that_can_be_seen_from_here_is_here(
    change: dict[str, object], is_here: bool
) -> None:
    assert this_process().model_copy(update=change).is_here() is is_here


def test_an_identity_survives_serialization() -> None:
    written = this_process().to_json()
    assert ProcessIdentity.model_validate_json(written).is_alive()


def test_a_runner_is_found_by_its_argument() -> None:
    argument = f"file:///store/{os.getpid()}/spec.json#sha256=abc"
    assert find_runner(argument) is None
    with leader(SLEEP, argument) as process:
        assert find_runner(argument) == identify(process.pid)


def test_another_node_of_a_job_is_not_mistaken_for_its_runner() -> None:
    argument = f"file:///store/{os.getpid()}/node.json#sha256=abc"
    start = f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}, {argument!r}], stdout=-1)"
    with leader(f"import subprocess, sys; p = {start}; p.stdout.readline(); {SLEEP}") as process:
        assert find_runner(argument) is None
        end_processes([identify(process.pid)], grace_s=30)


def test_a_process_is_ended_by_sigterm() -> None:
    with leader(SLEEP) as process:
        end_processes([identify(process.pid)], grace_s=30)
        assert process.wait() == -15


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period() -> None:
    with leader(f"{STUBBORN}; {SLEEP}") as process:
        end_processes([identify(process.pid)], grace_s=0.1)
        assert process.wait() == -9


def test_an_interrupt_while_the_signals_are_sent_kills_the_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = os.killpg

    def interrupted(group: int, number: int) -> None:
        if number == signal.SIGTERM:
            raise KeyboardInterrupt
        send(group, number)

    monkeypatch.setattr(os, "killpg", interrupted)
    with leader(f"{STUBBORN}; {SLEEP}") as process:
        with pytest.raises(KeyboardInterrupt):
            end_processes([identify(process.pid)], grace_s=30)
        assert process.wait() == -9


def test_children_end_with_their_process_even_if_they_ignore_sigterm() -> None:
    child = f"{STUBBORN}; {SLEEP}"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with leader(parent) as process:
        (grandchild,) = psutil.Process(process.pid).children()
        end_processes([identify(process.pid)], grace_s=30)
        process.wait()
        psutil.wait_procs([grandchild], timeout=30)
        assert not grandchild.is_running()


def test_what_is_left_of_a_group_is_ended() -> None:
    child = f"{STUBBORN}; {SLEEP}"
    start = f"subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)"
    with leader(f"import subprocess, sys; p = {start}; p.stdout.readline(); {SLEEP}") as process:
        (grandchild,) = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
        assert grandchild.is_running()
        end_group(process.pid, grace_s=0.1)
        _, alive = psutil.wait_procs([grandchild], timeout=30)
        assert not alive
    end_group(process.pid, grace_s=30)


def test_ending_no_process_or_an_ended_process_is_not_an_error() -> None:
    with leader(SLEEP) as process:
        identity = identify(process.pid)
    end_processes([identity], grace_s=30)
    end_processes([], grace_s=30)
