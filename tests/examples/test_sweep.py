from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.packaging.starting import starting_with
from flowyml_aws.testing.machines.warm_programs import WarmPrograms
from tests.examples.conftest import run_python

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("digits")]

FILE = "examples/sweep/pipeline.py"
LIBRARIES = ("datasets", "linear_model", "metrics", "model_selection")


@pytest.fixture
def warm_trials() -> Iterator[None]:
    """Fork the jobs from a process that has imported scikit-learn, which takes a second."""
    if sys.platform != "linux":
        yield
        return
    programs = WarmPrograms([f"sklearn.{name}" for name in LIBRARIES])
    with starting_with(programs):
        yield
    programs.stop()


def check(output: str) -> None:
    """Check the output of the example."""
    accuracies = [float(text) for text in re.findall(r"^accuracy ([\d.]+)", output, re.M)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert len(accuracies) == 5
    best = re.search(r"^best .*'accuracy': (?:np\.float64\()?([\d.]+)", output, re.M)
    assert best, output
    assert float(best.group(1)) == pytest.approx(accuracies[0], abs=5e-4)
    assert accuracies[0] > 0.9


@pytest.mark.usefixtures("warm_trials")
def test_the_sweep_keeps_the_best_of_the_trials_that_succeed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = load_pipeline(FILE).run(progress=False)
    example: Any = sys.modules["__main__"]
    example.show(result)
    check(capsys.readouterr().out)


@pytest.mark.thorough  # 42 jobs, each of which imports scikit-learn
def test_the_sweep_runs_as_a_script(python: Any) -> None:
    finished = python(FILE)
    assert finished.returncode == 0, finished.stderr
    check(finished.stdout)


def test_a_table_of_trials_replaces_the_grid(project: Path) -> None:
    options = ("--sweep", "fit=examples/sweep/trials.csv", "--json")
    finished = run_python(project, "-m", "flowyml_aws", "plan", FILE, *options)
    assert finished.returncode == 0, finished.stderr
    assert '"fit[2]"' in finished.stdout
    assert '"fit[3]"' not in finished.stdout
