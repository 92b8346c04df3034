from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.core.errors import InvalidStepError
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.runtime.runner import JobRunner
from tests.runtime.harness import WrittenRun

pytestmark = pytest.mark.version_sensitive


def run_of(folder: Path, *steps: Any, **context: Any) -> WrittenRun:
    return WrittenRun(folder, *steps, context=context)


def reports(runner: JobRunner) -> list[StepReport]:
    return list(runner.attempt.progress.reports)


async def soon(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


class Answer:
    async def __call__(self, rows: Any) -> Any:
        return await soon([*rows, "object"])

    async def method(self, rows: Any) -> Any:
        return await soon([*rows, "method"])


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


async def append(rows: Any, what: str) -> Any:
    return await soon([*rows, what])


def test_coroutines_of_every_kind_of_callable_are_awaited(tmp_path: Path) -> None:
    functions: list[Any] = [
        functools.partial(append, what="partial"),
        Answer(),
        Answer().method,
        logged(functools.partial(append, what="decorated")),
        lambda rows: soon([*rows, "lambda"]),
        lambda rows: soon(soon([*rows, "twice"])),
    ]
    steps = [step(name="s0", outputs=["v0"], execution_group="g")(lambda: soon([]))]
    steps += [
        step(name=f"s{n}", inputs=[f"v{n - 1}"], outputs=[f"v{n}"], execution_group="g")(function)
        for n, function in enumerate(functions, 1)
    ]
    run = run_of(tmp_path, *steps)
    runner = run.runner()
    assert runner.run(), reports(runner)
    runner.attempt.commit("succeeded")
    assert run.value("v6") == ["partial", "object", "method", "decorated", "lambda", "twice"]


def test_a_coroutine_function_as_condition_can_skip_its_step(tmp_path: Path) -> None:
    async def wanted(limit: int) -> bool:
        return await soon(limit > 5)

    for limit, state in ((3, StepState.SKIPPED), (9, StepState.SUCCEEDED)):
        work = step(name="work", condition=wanted)(lambda: 1)
        runner = run_of(tmp_path / str(limit), work, limit=limit).runner()
        assert runner.run()
        assert [report.state for report in reports(runner)] == [state]


def test_a_step_its_condition_and_its_retries_share_an_event_loop(tmp_path: Path) -> None:
    loops: list[Any] = []
    background: list[Any] = []

    async def wanted() -> bool:
        loops.append(asyncio.get_running_loop())
        return True

    async def work() -> int:
        loops.append(asyncio.get_running_loop())
        if len(loops) < 3:
            background.append(asyncio.ensure_future(asyncio.sleep(60)))
            raise ValueError("again")
        return len(loops)

    shared = step(name="work", condition=wanted, retry=1)(work)
    other = step(name="other")(work)
    run = run_of(tmp_path, shared, other)
    runner = run.runner("work", sleep=lambda _: None)
    assert runner.run()
    assert background[0].cancelled()
    assert run.runner("other").run()
    assert loops[0] is loops[1] is loops[2] is not loops[3]
    assert loops[0].is_closed()


def test_tasks_that_a_step_leaves_are_cancelled_at_its_end(tmp_path: Path) -> None:
    cleaned: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append("yes")

    async def work() -> int:
        tasks.append(asyncio.ensure_future(background()))
        return await soon(1)

    tasks: list[Any] = []
    assert run_of(tmp_path, step(work)).runner().run()
    assert cleaned == ["yes"]


def test_an_event_loop_of_a_step_is_not_the_current_one_of_other_steps(tmp_path: Path) -> None:
    async def first() -> int:
        return await soon(1)

    def second(first: int) -> int:
        return asyncio.run(soon(first + 1))

    run = run_of(
        tmp_path,
        step(execution_group="g")(first),
        step(inputs=["first"], execution_group="g")(second),
    )
    runner = run.runner()
    assert runner.run(), reports(runner)
    runner.attempt.commit("succeeded")
    assert run.value("second") == 2


def test_a_timeout_stops_a_coroutine_and_shows_where_it_waited(tmp_path: Path) -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)  # the user's line
        finally:
            ended.append("cleaned up")

    runner = run_of(tmp_path, step(timeout=0.1)(slow)).runner()
    assert not runner.run()
    (report,) = reports(runner)
    assert report.failure is not None
    assert report.failure.kind == "StepTimeout"
    assert "await asyncio.sleep(60)  # the user's line" in report.failure.text
    assert ended == ["cleaned up"]


def test_the_traceback_of_a_coroutine_begins_at_the_users_line(tmp_path: Path) -> None:
    async def broken() -> None:
        await soon(1)
        raise KeyError("no")

    runner = run_of(tmp_path, step(broken)).runner()
    assert not runner.run()
    (report,) = reports(runner)
    assert report.failure is not None
    first, *_ = report.failure.text.splitlines()[1:]
    assert Path(__file__).name in first


def test_async_generators_are_refused_by_their_step(tmp_path: Path) -> None:
    async def rows() -> AsyncIterator[int]:
        yield 1

    functions: list[Any] = [lambda: rows(), lambda: soon(rows()), lambda: (1, rows())]
    for number, function in enumerate(functions):
        outputs = ["a", "b"] if number > 1 else ["a"]
        work = step(name="work", outputs=outputs)(function)
        runner = run_of(tmp_path / str(number), work).runner()
        assert not runner.run()
        (report,) = reports(runner)
        assert report.failure is not None
        assert report.failure.kind == "OutputMismatchError"
        assert "async" in report.failure.message


def test_async_generator_functions_are_refused_before_the_run() -> None:
    async def rows() -> AsyncIterator[int]:
        yield 1

    (problem,) = step(rows).problems()
    assert isinstance(problem, InvalidStepError)
    (problem,) = step(name="work", condition=rows)(lambda: 1).problems()
    assert "condition" in problem.what


def test_coroutines_inside_several_outputs_are_refused(tmp_path: Path) -> None:
    work = step(name="work", outputs=["a", "b"])(lambda: (soon(1), 2))
    runner = run_of(tmp_path, work).runner()
    assert not runner.run()
    (report,) = reports(runner)
    assert report.failure is not None
    assert "returned a coroutine as 'a'" in report.failure.message


@pytest.mark.parametrize("fails", [False, True])
def test_a_sync_step_creates_no_event_loop(
    tmp_path: Path, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "new_event_loop", None)

    def work() -> int:
        if fails:
            raise ValueError
        return 1

    assert run_of(tmp_path, step(work)).runner().run() is not fails
