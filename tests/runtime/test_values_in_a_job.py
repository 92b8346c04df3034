from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.core.step import Step
from flowyml_aws.runtime.result import StepState
from tests.runtime.harness import WrittenRun


class Thing:
    pass


def test_a_chain_of_steps_passes_the_same_object(tmp_path: Path) -> None:
    seen: list[int] = []

    @step(outputs=["thing"], execution_group="g")
    def make() -> Thing:
        thing = Thing()
        seen.append(id(thing))
        return thing

    @step(inputs=["thing"], outputs=["same"], execution_group="g")
    def hand_on(thing: Thing) -> Thing:
        seen.append(id(thing))
        return thing

    @step(inputs=["same"], execution_group="g")
    def take(same: Thing) -> None:
        seen.append(id(same))

    run = WrittenRun(tmp_path, make, hand_on, take)
    assert run.runner().run()
    assert len(seen) == 3
    assert len(set(seen)) == 1


@pytest.mark.contract
def test_the_runner_passes_values_on_without_storing_them(tmp_path: Path) -> None:
    @step(outputs=["lock"], execution_group="g")
    def make() -> Any:
        import threading

        return threading.Lock()

    @step(inputs=["lock"], outputs=["locked"], execution_group="g")
    def take(lock: Any) -> bool:
        return lock.acquire()

    run = WrittenRun(tmp_path, make, take)
    assert run.run().code == 0
    assert list(run.result().assets) == ["locked"]
    assert run.value("locked") is True


def test_a_value_is_freed_once_no_later_step_of_the_job_reads_it(tmp_path: Path) -> None:
    refs: list[weakref.ref[Thing]] = []
    alive: dict[str, list[bool]] = {}

    def note(name: str) -> None:
        gc.collect()
        alive[name] = [ref() is not None for ref in refs]

    @step(outputs=["first"], execution_group="g")
    def make_first() -> Thing:
        thing = Thing()
        refs.append(weakref.ref(thing))
        return thing

    @step(inputs=["first"], outputs=["second"], execution_group="g")
    def make_second(first: Thing) -> Thing:
        thing = Thing()
        refs.append(weakref.ref(thing))
        return thing

    @step(inputs=["second"], outputs=["third"], execution_group="g")
    def before_the_last_reader(second: Thing) -> int:
        note("before")
        return 3

    @step(inputs=["second", "third"], execution_group="g")
    def last_reader(second: Thing, third: int) -> None:
        note("last")

    @step(inputs=["third"], outputs=["end"], execution_group="g")
    def after(third: int) -> None:
        note("after")

    run = WrittenRun(tmp_path, make_first, make_second, before_the_last_reader, last_reader, after)
    assert run.runner().run()
    assert alive == {"before": [False, True], "last": [False, True], "after": [False, False]}


def test_a_value_that_no_step_of_the_job_reads_is_not_kept(tmp_path: Path) -> None:
    seen: list[weakref.ref[Thing]] = []

    @step(outputs=["for_others", "a"], execution_group="g")
    def make() -> tuple[Thing, int]:
        thing = Thing()
        seen.append(weakref.ref(thing))
        return thing, 1

    @step(inputs=["a"], execution_group="g")
    def later(a: int) -> None:
        gc.collect()
        assert seen[0]() is None

    assert WrittenRun(tmp_path, make, later).runner().run()


def test_a_value_from_another_job_is_freed_after_its_last_reader(tmp_path: Path) -> None:
    seen: list[weakref.ref[Thing]] = []

    @step(inputs=["thing"], outputs=["a"], execution_group="g")
    def take(thing: Thing) -> int:
        seen.append(weakref.ref(thing))
        return 1

    @step(inputs=["a"], execution_group="g")
    def later(a: int) -> None:
        gc.collect()
        assert seen[0]() is None

    assert WrittenRun(tmp_path, take, later, inputs={"thing": Thing()}).runner().run()


def step_returning(returned: Any, *outputs: str) -> Step:
    return step(outputs=list(outputs), name="give")(lambda: returned)


@pytest.mark.parametrize(
    "returned", [(1, 2), [1, 2], {"b": 2, "a": 1}, {"a": 1, "b": 2, "more": 3}], ids=str
)
def test_several_outputs_are_returned_as_tuple_list_or_dict(tmp_path: Path, returned: Any) -> None:
    run = WrittenRun(tmp_path, step_returning(returned, "a", "b"))
    runner = run.runner()
    assert runner.run()
    runner.attempt.commit("succeeded")
    assert (run.value("a"), run.value("b")) == (1, 2)


@pytest.mark.parametrize("returned", [{"a": 1, "b": 2}, (1, 2), None], ids=str)
def test_one_output_takes_the_whole_value(tmp_path: Path, returned: Any) -> None:
    run = WrittenRun(tmp_path, step_returning(returned, "whole"))
    runner = run.runner()
    assert runner.run()
    runner.attempt.commit("succeeded")
    assert run.value("whole") == returned


@pytest.mark.parametrize(
    ("returned", "expected"), [((1, 2, 3), "tuple of 3"), ({"a": 1}, "dict"), (7, "int")], ids=str
)
def test_outputs_that_differ_from_the_declared_ones_fail_and_name_the_returned_value(
    tmp_path: Path, returned: Any, expected: str
) -> None:
    runner = WrittenRun(tmp_path, step_returning(returned, "a", "b")).runner()
    assert not runner.run()
    (report,) = runner.attempt.progress.reports
    assert report.state is StepState.FAILED
    assert report.failure is not None
    assert report.failure.kind == "OutputMismatchError"
    assert expected in report.failure.message
    assert "declares 2 outputs: a, b" in report.failure.text
    assert "flowyml_aws/runtime" not in report.failure.text


@pytest.mark.contract
@pytest.mark.parametrize("kind", ["generator", "lock"])
def test_a_value_that_cannot_be_stored_fails_its_step_and_says_what_to_do(
    tmp_path: Path, kind: str
) -> None:
    @step(outputs=["kept"])
    def give(kind: str) -> Any:
        import threading

        return (n for n in range(3)) if kind == "generator" else threading.Lock()

    run = WrittenRun(tmp_path, give, context={"kind": kind})
    ended = run.run()
    assert ended.code == 10
    report = run.report("give")
    assert report.state is StepState.FAILED
    assert report.failure is not None
    assert report.failure.kind == "UnstorableValueError"
    assert "'kept'" in report.failure.message
    for part in ("why:", "fix:", kind):
        assert part in report.failure.text
    assert "File " not in report.failure.text  # the error has no line of the user's code
    assert report.failure.text in ended.log


@pytest.mark.contract
def test_values_of_completed_steps_are_kept_if_a_later_step_fails(tmp_path: Path) -> None:
    @step(outputs=["early"], cache="code_hash", execution_group="g")
    def first() -> int:
        return 1

    @step(inputs=["early"], execution_group="g")
    def second(early: int) -> None:
        raise ValueError(early)

    run = WrittenRun(tmp_path, first, second)
    assert run.run().code == 10
    assert run.result().state == "failed"
    assert run.value("early") == 1


@pytest.mark.contract
def test_context_reaches_parameters_by_name(tmp_path: Path) -> None:
    @step(outputs=["description"])
    def describe(rate: float, name: str = "default", *, epochs: int = 1) -> str:
        return f"{name} {rate} {epochs}"

    run = WrittenRun(tmp_path, describe, context={"rate": 0.5, "epochs": 3, "unread": "x"})
    assert run.run().code == 0
    assert run.value("description") == "default 0.5 3"
