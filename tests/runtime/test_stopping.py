from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.core.step import Step
from flowyml_aws.runtime.result import StepState
from tests.runtime.harness import Ended, WrittenRun, finish, until

pytestmark = pytest.mark.contract

READY = "now I wait"
_EARLY: Any = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def quick() -> Step:
    @step(outputs=["first"], execution_group="g")
    def finished() -> int:
        return 1

    return finished


def wait_for_end(handling: str) -> Step:
    """Return a step that prints `READY` and waits; `handling` names its exception handling."""

    @step(inputs=["first"], outputs=["second"], execution_group="g", retry=3)
    def waiting(first: int) -> str:
        try:
            print(READY, flush=True)
            time.sleep(60)
        except BaseException:
            if handling == "swallow":
                return "as if nothing had happened"
            if handling == "convert":
                raise RuntimeError("converted by a library") from None
            raise
        return "slept"

    return waiting


def stop(run: WrittenRun, *numbers: signal.Signals) -> Ended:
    """Run the job, and send it signals when its step is ready."""
    process = run.start()
    assert process.stdout is not None
    printed = ""
    while READY not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    for number in numbers:
        process.send_signal(number)
    ended = finish(process)
    return Ended(ended.code, printed + ended.log)


@_EARLY
def test_a_job_that_receives_a_stop_signal_ends_without_a_result(
    tmp_path: Path, number: signal.Signals
) -> None:
    run = WrittenRun(tmp_path, quick(), wait_for_end("raise"))
    ended = stop(run, number)
    assert ended.code == 143
    assert not run.has_result()
    assert "received a stop signal" in ended.log


def test_completed_steps_are_reported_before_the_job_ends(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, quick(), wait_for_end("raise"))
    stop(run, signal.SIGTERM)
    states = {report.name: report.state for report in run.events().steps}
    assert states == {"finished": StepState.SUCCEEDED, "waiting": StepState.RUNNING}


@pytest.mark.parametrize("handling", ["swallow", "convert"])
def test_a_stop_that_a_step_swallows_or_converts_is_not_a_failure(
    tmp_path: Path, handling: str
) -> None:
    @step(inputs=["second"], execution_group="g")
    def later(second: str) -> None:
        print("continued")

    run = WrittenRun(tmp_path, quick(), wait_for_end(handling), later)
    ended = stop(run, signal.SIGTERM)
    assert ended.code == 143
    assert not run.has_result()
    assert "continued" not in ended.log


def test_a_stop_that_a_condition_converts_is_not_a_failure(tmp_path: Path) -> None:
    def wanted() -> bool:
        try:
            print(READY, flush=True)
            time.sleep(60)
        except BaseException:
            raise RuntimeError("converted by a library") from None
        return True

    run = WrittenRun(tmp_path, step(name="work", condition=wanted)(lambda: None))
    assert stop(run, signal.SIGTERM).code == 143
    assert not run.has_result()


def test_a_coroutine_is_stopped_where_it_waits(tmp_path: Path) -> None:
    @step(retry=1)
    async def work() -> None:
        try:
            print(READY, flush=True)
            await asyncio.sleep(60)
        finally:
            print("cleaned up", flush=True)

    run = WrittenRun(tmp_path, work)
    ended = stop(run, signal.SIGTERM)
    assert ended.code == 143
    assert "cleaned up" in ended.log
    assert not run.has_result()


def test_a_second_signal_is_ignored(tmp_path: Path) -> None:
    @step
    def tidy() -> None:
        try:
            print(READY, flush=True)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            print("tidied up", flush=True)

    run = WrittenRun(tmp_path, tidy)
    ended = stop(run, signal.SIGTERM)
    assert ended.code == 143
    assert "tidied up" in ended.log


def test_a_step_may_handle_the_signal_itself(tmp_path: Path) -> None:
    @step(outputs=["saved"])
    def saves() -> str:
        heard: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
        print(READY, flush=True)
        while not heard:
            time.sleep(0.01)
        return "checkpoint"

    run = WrittenRun(tmp_path, saves)
    assert stop(run, signal.SIGTERM).code == 0
    assert run.value("saved") == "checkpoint"


def test_an_attempt_after_an_interrupted_one_runs_the_job(tmp_path: Path) -> None:
    marker = tmp_path / "interrupted once"

    @step(outputs=["done"])
    def works_the_second_time() -> str:
        if not marker.exists():
            marker.touch()
            print(READY, flush=True)
            time.sleep(60)
        return "yes"

    run = WrittenRun(tmp_path, works_the_second_time)
    assert stop(run, signal.SIGTERM).code == 143
    assert run.run(FLOWYML_ATTEMPT="2").code == 0
    assert run.result().attempt == 2


def test_a_process_that_a_step_forked_is_terminated_by_the_signal_as_usual(tmp_path: Path) -> None:
    @step(outputs=["code"])
    def forks() -> int:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, b"!")
            time.sleep(60)
            os._exit(0)
        os.read(reader, 1)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)

    run = WrittenRun(tmp_path, forks)
    ended = run.run()
    assert ended.code == 0
    assert run.value("code") == -signal.SIGTERM
    assert "Interrupted" not in ended.log


def test_progress_is_reported_while_a_step_runs(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, quick(), wait_for_end("raise"))
    process = run.start()
    path = run.store.path(run.layout.attempt("g", 1, "events.json"))

    def second_runs() -> bool:
        return path.exists() and run.events().steps[1].state is StepState.RUNNING

    try:
        until(second_runs)
    finally:
        process.kill()
        finish(process)
    assert run.events().steps[0].state is StepState.SUCCEEDED
