"""Advice on the command line, from real runs on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws import Pipeline
from flowyml_aws.core.errors import SettingsError
from tests.cli.conftest import Cli
from tests.cli.mistakes import MISTAKE, assert_error, write_file
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract

MEASURED = """
from flowyml_aws import Pipeline, step

@step(outputs=["data"], resources={"cpu": 4, "memory": "16Gi"}, cache=False)
def load():
    return b"x"

@step(inputs=["data"], outputs=["size"], resources="auto", cache=False)
def count(data):
    return len(data)

pipeline = Pipeline("measured").add_steps([load, count])
"""


def test_three_runs_give_advice_and_decide_automatic_resources(rig: BackendRig, cli: Cli) -> None:
    file = write_file(MEASURED, "measured.py")
    before = cli("advise", file)
    assert before.code == 0
    assert "0 runs measured all of its steps; advice needs 3" in before.out
    for _ in range(3):
        assert cli("run", file).code == 0
    load, count = cli("advise", file, "--json").facts["jobs"]
    assert load["runs"] == count["runs"] == 3
    # Both steps need less than a vCPU, and no more memory than Python itself.
    assert load["requested"]["memory_mib"] == 16384
    assert (load["advised"]["vcpus"], load["advised"]["memory_mib"]) == (1, 512)
    plan = cli("plan", file, "--json").facts
    job = plan["jobs"][1]
    assert (job["needs"]["memory_mib"], list(job["origins"])) == (512, ["vcpus", "memory_mib"])
    assert "measured in 3 runs" in job["origins"]["memory_mib"]
    assert "advised: 1 vCPU, 512Mi memory" in cli("advise", file).out
    assert 'id="advice"' in _report(cli)


def _report(cli: Cli) -> str:
    assert cli("report", "latest", "-o", "run.html").code == 0
    return Path("run.html").read_text("utf-8")


def test_a_mistyped_string_is_an_error_with_the_nearest_name(rig: BackendRig, cli: Cli) -> None:
    file = write_file(MEASURED.replace('"auto"', '"atuo"'))
    for command in ("plan", "advise", "run"):
        answer = cli(command, file)
        assert_error(answer, MISTAKE, "Step 'count': Invalid resources: 'atuo'")
        assert "did you mean 'auto'?" in answer.err


@pytest.mark.parametrize("runs", [2, True, "many"])
def test_too_few_runs_to_read_are_an_error(rig: BackendRig, runs: int) -> None:
    with pytest.raises(SettingsError, match="Invalid number of runs"):
        Pipeline("p").advise(runs)
