"""Reuse of earlier runs' outputs, on the command line."""

from __future__ import annotations

import io
import json

import pytest

from tests.cli.conftest import Cli
from tests.cli.mistakes import MISTAKE, assert_error, write_file
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract

PIPELINE = """
from flowyml_aws import Pipeline, step

@step(outputs=["numbers"])
def load():
    return [1, 2, 3]

@step(inputs=["numbers"], outputs=["scaled"])
def scale(numbers, factor=1):
    return [number * factor for number in numbers]

pipeline = Pipeline("scaling", context={"factor": 2}).add_steps([load, scale])
"""


@pytest.fixture
def scaling(rig: BackendRig) -> str:
    return write_file(PIPELINE, "scaling.py")


def test_unchanged_steps_are_reused_and_why_explains_changed_steps(scaling: str, cli: Cli) -> None:
    assert cli("run", scaling).code == 0
    again = cli("run", scaling)
    assert again.code == 0
    assert "all steps are cached, nothing to run: load, scale" in again.err
    plan = cli("plan", scaling, "-b", "local", "-c", "factor=5", "--json").facts
    assert [job["steps"] for job in plan["jobs"]] == [["scale"]]
    assert plan["reused"].keys() == {"load"}
    run = cli("run", scaling, "-c", "factor=5", "--json").facts
    assert run["steps"]["load"]["cached"] and not run["steps"]["scale"]["cached"]
    status = cli("status", run["run_id"], "--json").facts
    assert status["cached"].keys() == {"load"}
    assert "context value 'factor' changed" in cli("why", run["run_id"], "scale").out
    assert "did not run" in cli("why", run["run_id"], "load", "--json").facts["text"]
    assert json.loads(cli("get", run["run_id"], "scaled").out) == [5, 10, 15]


def test_refresh_and_no_cache_execute_cached_steps_again(scaling: str, cli: Cli) -> None:
    assert cli("run", scaling).code == 0
    steps = cli("run", scaling, "--refresh", "scale", "--json").facts["steps"]
    assert {name: step["cached"] for name, step in steps.items()} == {"load": True, "scale": False}
    steps = cli("run", scaling, "--no-cache", "--json").facts["steps"]
    assert not any(step["cached"] for step in steps.values())


def test_an_unknown_step_to_refresh_is_a_mistake(scaling: str, cli: Cli) -> None:
    for command in (("plan", scaling, "-b", "local"), ("run", scaling)):
        assert_error(
            cli(*command, "--refresh", "scal"), MISTAKE, "No step 'scal'", "did you mean 'scale'?"
        )


def test_without_a_terminal_a_question_names_the_option_that_answers_it(
    scaling: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("run", scaling).code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO())
    answer = cli("cache", "rm", "--all")
    assert answer.code == MISTAKE
    assert "error: Not confirmed: delete 2 cache entries?" in answer.err
    assert "fix: add --yes" in answer.err
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert cli("cache", "rm", "--all").code == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli("cache", "rm", "--all").out.strip() == "deleted 2 cache entries"
