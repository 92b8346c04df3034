from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from flowyml_aws import step
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.step import Step
from flowyml_aws.runtime.result import StepState
from tests.runtime.harness import RUN, WrittenRun

_SOON = 0.1
_QUICK = {"FLOWYML_TIMEOUT_GRACE_S": "0.2"}


def a_loop() -> Step:
    @step(name="slow", timeout=_SOON)
    def slow() -> None:
        while True:
            pass

    return slow


def a_sleep() -> Step:
    @step(name="slow", timeout=_SOON)
    def slow() -> None:
        time.sleep(60)

    return slow


def a_catch_all_that_returns() -> Step:
    @step(name="slow", timeout=_SOON)
    def slow() -> str:
        try:
            time.sleep(60)
        except BaseException:
            return "as if nothing had happened"
        return "done"

    return slow


@pytest.mark.parametrize("slow", [a_loop, a_sleep, a_catch_all_that_returns])
def test_a_step_that_takes_too_long_is_stopped_and_fails(tmp_path: Path, slow: Step) -> None:
    runner = WrittenRun(tmp_path, slow()).runner()
    assert not runner.run()
    (report,) = runner.attempt.progress.reports
    assert report.state is StepState.FAILED
    assert report.failure is not None
    assert report.failure.kind == "StepTimeout"
    assert report.failure.message == "it ran longer than its timeout of 0.1 s"


def test_the_traceback_of_a_timeout_ends_at_the_users_line(tmp_path: Path) -> None:
    runner = WrittenRun(tmp_path, a_sleep()).runner()
    assert not runner.run()
    failure = runner.attempt.progress.reports[0].failure
    assert failure is not None
    assert "time.sleep(60)" in failure.text
    assert "time_limit.py" not in failure.text


def test_a_step_is_retried_after_a_timeout(tmp_path: Path) -> None:
    calls: list[int] = []

    @step(outputs=["calls"], timeout=_SOON, retry=1)
    def slow_at_first() -> int:
        calls.append(1)
        if len(calls) == 1:
            time.sleep(60)
        return len(calls)

    runner = WrittenRun(tmp_path, slow_at_first).runner(sleep=lambda _: None)
    assert runner.run()
    assert runner.attempt.progress.reports[0].retries == 1


@pytest.mark.parametrize("seconds", [60, 1e9, 1e15])
def test_a_step_within_its_timeout_is_left_alone(tmp_path: Path, seconds: float) -> None:
    @step(outputs=["answer"], timeout=seconds)
    def quick() -> int:
        return 42

    assert WrittenRun(tmp_path, quick).runner().run()


@pytest.mark.contract
def test_the_process_of_a_step_that_swallows_its_timeout_is_ended(tmp_path: Path) -> None:
    @step(timeout=_SOON)
    def stubborn() -> None:
        print("started", end="")  # in a buffer that must not be lost
        while True:
            try:
                time.sleep(60)
            except BaseException:
                continue

    run = WrittenRun(tmp_path, stubborn)
    ended = run.run(**_QUICK)
    assert ended.code == 10
    assert "started" in ended.log
    assert run.result().state == "failed"
    report = run.report("stubborn")
    assert report.state is StepState.FAILED
    assert report.failure is not None
    assert "could not be stopped" in report.failure.message
    assert report.failure.text in ended.log


@pytest.mark.contract
def test_the_process_is_ended_also_if_its_result_cannot_be_written(tmp_path: Path) -> None:
    result = tmp_path / "store" / RunLayout(RUN).result("stubborn")

    @step(timeout=_SOON)
    def stubborn() -> None:
        result.write_text("not a result")  # in its place
        while True:
            try:
                time.sleep(60)
            except BaseException:
                continue

    ended = WrittenRun(tmp_path, stubborn).run(**_QUICK)
    assert ended.code == 10
    assert "could not be stopped" in ended.log


@pytest.mark.contract
def test_native_code_that_blocks_all_threads_is_ended_without_a_result(tmp_path: Path) -> None:
    @step(timeout=_SOON)
    def native() -> None:
        sum(range(10**13))  # one call: the interpreter lock is never released

    run = WrittenRun(tmp_path, native)
    ended = run.run(**_QUICK)
    assert ended.code == 1  # faulthandler's own
    assert not run.has_result()
    assert "in native" in ended.log  # the stacks


@pytest.mark.contract
def test_a_step_that_closed_its_standard_error_is_stopped_too(tmp_path: Path) -> None:
    @step(timeout=_SOON)
    def quiet() -> None:
        import sys

        sys.stderr.close()
        while True:
            pass

    run = WrittenRun(tmp_path, quiet)
    assert run.run(**_QUICK).code == 10
    assert run.report("quiet").state is StepState.FAILED


@pytest.mark.contract
def test_a_timeout_leaves_nothing_behind_in_the_process(tmp_path: Path) -> None:
    import signal

    @step(timeout=_SOON, execution_group="g", outputs=["a"])
    def quick() -> int:
        return os.getpid()

    @step(inputs=["a"], execution_group="g")
    def later_and_longer(a: int) -> None:
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        time.sleep(0.4)  # past all lines of defence of the step before

    run = WrittenRun(tmp_path, quick, later_and_longer)
    assert run.run(FLOWYML_TIMEOUT_GRACE_S="0.05").code == 0
