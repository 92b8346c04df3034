from __future__ import annotations

from pathlib import Path
from typing import Any

from flowyml_aws import step
from flowyml_aws.runtime.result import StepState
from tests.runtime.harness import WrittenRun


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def failing(times: int, error: BaseException | None = None, **options: Any) -> Any:
    calls: list[int] = []

    @step(outputs=["calls"], **options)
    def work() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error or ValueError(f"call {len(calls)}")
        return len(calls)

    return work


def test_a_failed_step_is_retried_until_it_succeeds(tmp_path: Path) -> None:
    runner = WrittenRun(tmp_path, failing(2, retry=5)).runner(sleep=lambda _: None)
    assert runner.run()
    (report,) = runner.attempt.progress.reports
    assert (report.state, report.retries, report.failure) == (StepState.SUCCEEDED, 2, None)


def test_the_delay_doubles_from_one_second_up_to_sixty(tmp_path: Path) -> None:
    delays: list[float] = []
    runner = WrittenRun(tmp_path, failing(9, retry=9)).runner(sleep=delays.append)
    assert runner.run()
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_first_delay_is_configurable(tmp_path: Path) -> None:
    delays: list[float] = []
    work = failing(3, retry=3, retry_delay=0.25)
    assert WrittenRun(tmp_path, work).runner(sleep=delays.append).run()
    assert delays == [0.25, 0.5, 1.0]


def test_the_last_failure_is_reported(tmp_path: Path) -> None:
    runner = WrittenRun(tmp_path, failing(9, retry=2)).runner(sleep=lambda _: None)
    assert not runner.run()
    (report,) = runner.attempt.progress.reports
    assert (report.state, report.retries) == (StepState.FAILED, 2)
    assert report.failure is not None and report.failure.message == "call 3"
    assert "call 2" not in report.failure.text


def test_a_step_without_retry_fails_at_once(tmp_path: Path) -> None:
    delays: list[float] = []
    assert not WrittenRun(tmp_path, failing(1)).runner(sleep=delays.append).run()
    assert not delays


def test_an_unprintable_exception_is_retried_like_any_other(tmp_path: Path) -> None:
    work = failing(1, Unprintable(), retry=1)
    assert WrittenRun(tmp_path, work).runner(sleep=lambda _: None).run()


def test_a_condition_is_evaluated_once_despite_retries(tmp_path: Path) -> None:
    calls: list[bool] = []

    def wanted() -> bool:
        calls.append(True)
        return True

    work = failing(2, retry=2, condition=wanted)
    assert WrittenRun(tmp_path, work).runner(sleep=lambda _: None).run()
    assert len(calls) == 1


def test_the_memory_of_a_failed_attempt_is_free_before_the_next(tmp_path: Path) -> None:
    import weakref

    class Big:
        pass

    held: list[weakref.ref[Big]] = []
    alive_while_waiting: list[bool] = []

    @step(retry=1)
    def work() -> None:
        if not held:
            big = Big()
            held.append(weakref.ref(big))
            raise ValueError("first")

    def sleep(_seconds: float) -> None:
        alive_while_waiting.append(held[0]() is not None)

    assert WrittenRun(tmp_path, work).runner(sleep=sleep).run()
    assert alive_while_waiting == [False]
