"""Decisions within a job: the steps of the branch that was not chosen are skipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flowyml_aws import step
from flowyml_aws.core.branches import Branch
from flowyml_aws.runtime.result import cases_of
from tests.runtime.harness import WrittenRun
from tests.runtime.test_resume import FAILS, RAN, record, run_attempt, states

CASES = ["then"]


@step(outputs=["score"], execution_group="g", cache="code_hash")
def evaluate():
    record("evaluate")
    return 7


@step(inputs=["score"], execution_group="g", cache=False)  # its value is not stored
def decide(score):
    record("decide")
    return CASES[0]


@step(inputs=["score"], execution_group="g")
def deploy(score):
    record("deploy")


@step(inputs=["score"], execution_group="g")
def retrain(score):
    record("retrain")


STEPS = (
    evaluate,
    replace(decide, cases=("then", "else")),
    replace(deploy, branch=Branch("decide", "then")),
    replace(retrain, branch=Branch("decide", "else")),
)


@pytest.fixture(autouse=True)
def reset() -> None:
    FAILS.clear()
    CASES[:] = ["then"]


def test_the_steps_of_the_other_branch_are_skipped(tmp_path: Path) -> None:
    attempt = run_attempt(WrittenRun(tmp_path, *STEPS), 1)
    assert RAN == ["evaluate", "decide", "deploy"]
    assert states(attempt) == ["succeeded", "succeeded", "succeeded", "skipped"]
    assert attempt.skipped == {"retrain": "'decide' chose 'then', not 'else'"}
    assert cases_of(attempt.progress.reports) == {"decide": "then"}


def test_a_later_attempt_takes_the_branch_that_was_chosen_before(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, *STEPS)
    FAILS.add("deploy")
    run_attempt(run, 1)
    FAILS.clear()
    CASES[:] = ["else"]
    again = run_attempt(run, 2)
    assert RAN == ["deploy"]
    assert cases_of(again.progress.reports) == {"decide": "then"}
