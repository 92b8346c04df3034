"""Steps after either/or branches: a join runs with the branch that ran."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Skipped, Step, step
from flowyml_aws.runtime.result import StepState
from tests.runtime.harness import WrittenRun
from tests.runtime.test_condition import run_all
from tests.runtime.test_resume import run_attempt

CAUSE = "the condition of step 'large' is false"
GROUPS = [("g", "g"), (None, None), ("g", None)]


def by_default(small: str, large: str | None = None) -> str:
    return f"{small}, {large}"


def by_annotation(small: str, large: str | Skipped) -> str:
    return f"{small}, {large.reason if isinstance(large, Skipped) else large}"


def default_first(large: str | Skipped = "default", small: str = "") -> str:
    return f"{small}, {large}"


def keywords(*, small: str = "none", large: str = "none") -> str:
    return f"{small}, {large}"


def positional(large: str = "none", small: str = "none", /) -> str:
    return f"{small}, {large}"


def anything(*parts: str | Skipped) -> str:
    return ", ".join(part.asset if isinstance(part, Skipped) else f"={part}" for part in parts)


def both(small: str, large: str) -> str:
    return small + large


def in_args(*parts: str) -> str:
    return "".join(parts)


JOINS: dict[Callable[..., str], str] = {
    by_default: "small, None",
    by_annotation: f"small, {CAUSE}",
    default_first: "small, default",
    keywords: "small, none",
    positional: "small, none",
    anything: "=small, large",
}


def branch(name: str, holds: bool, group: str | None) -> Step:
    return step(outputs=[name], name=name, condition=lambda: holds, execution_group=group)(
        lambda: name
    )


def join(function: Callable[..., Any], group: str | None, **options: Any) -> Step:
    return step(inputs=["small", "large"], execution_group=group, **options)(function)


@pytest.mark.parametrize(("branches", "joins"), GROUPS, ids=str)
def test_a_join_gets_the_branch_that_ran_and_a_default_or_skipped(
    tmp_path: Path, branches: str | None, joins: str | None
) -> None:
    def holds(small: str, large: str | Skipped) -> bool:
        return isinstance(large, Skipped)

    run = WrittenRun(
        tmp_path,
        branch("small", True, branches),
        branch("large", False, branches),
        *(join(function, joins) for function in JOINS),
        join(by_annotation, joins, name="conditional", condition=holds),
    )
    states = run_all(run)
    assert states.pop("large") is StepState.SKIPPED
    assert set(states.values()) == {StepState.SUCCEEDED}
    jobs = {name: job.name for job in run.plan.jobs for name in job.steps}
    expected = {function.__name__: value for function, value in JOINS.items()}
    expected["conditional"] = f"small, {CAUSE}"
    assert {name: run.value(name, jobs[name]) for name in expected} == expected


@pytest.mark.parametrize(("branches", "joins"), GROUPS, ids=str)
def test_a_join_that_needs_both_branches_is_skipped_with_the_first_cause(
    tmp_path: Path, branches: str | None, joins: str | None
) -> None:
    run = WrittenRun(
        tmp_path,
        branch("small", True, branches),
        branch("large", False, branches),
        join(both, joins),
        join(in_args, joins),
        join(by_default, joins, name="by_condition", condition=lambda large: True),
        step(inputs=["both"], name="after", execution_group=joins)(lambda both: both),
    )
    states = run_all(run)
    jobs = {name: job.name for job in run.plan.jobs for name in job.steps}
    for name in ("both", "in_args", "by_condition", "after"):
        assert states[name] is StepState.SKIPPED
        reason = run.report(name, jobs[name]).reason
        assert reason is not None
        assert reason.endswith(f"does not exist: {CAUSE}")
        assert run.result(jobs[name]).skipped[name] == CAUSE


def test_the_cause_is_known_to_a_later_attempt_of_the_job(tmp_path: Path) -> None:
    run = WrittenRun(
        tmp_path,
        branch("small", True, "g"),
        branch("large", False, "g"),
        join(both, "g"),
        step(inputs=["both"], name="after", execution_group="g")(lambda both: both),
    )
    first, again = run_attempt(run, 1), run_attempt(run, 2)
    assert again.skipped == first.skipped == dict.fromkeys(("large", "both", "after"), CAUSE)
