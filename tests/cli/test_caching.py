"""Outcomes of earlier runs, on the command line."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Cli
from tests.cli.mistakes import MISTAKE, told, written
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
    return written(PIPELINE, "scaling.py")


def test_what_nothing_has_changed_of_is_not_run_again_and_why_tells_what_has(
    scaling: str, cli: Cli
) -> None:
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


def test_steps_run_again_where_the_user_wants_it(scaling: str, cli: Cli) -> None:
    assert cli("run", scaling).code == 0
    told = cli("run", scaling, "--refresh", "scale", "--json").facts["steps"]
    assert {name: step["cached"] for name, step in told.items()} == {"load": True, "scale": False}
    told = cli("run", scaling, "--no-cache", "--json").facts["steps"]
    assert not any(step["cached"] for step in told.values())


def test_a_step_to_refresh_that_is_not_there_is_a_mistake(scaling: str, cli: Cli) -> None:
    for command in (("plan", scaling, "-b", "local"), ("run", scaling)):
        told(cli(*command, "--refresh", "scal"), MISTAKE, "no step 'scal'", "did you mean 'scale'?")
