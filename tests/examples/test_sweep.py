from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.examples.conftest import copy_examples, run_python

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("digits")]

FILE = "examples/sweep/pipeline.py"


def test_the_sweep_keeps_the_best_of_the_trials_that_succeed(tmp_path: Path) -> None:
    project = copy_examples(tmp_path)
    finished = run_python(project, FILE)
    assert finished.returncode == 0, finished.stderr
    accuracies = [float(text) for text in re.findall(r"^accuracy ([\d.]+)", finished.stdout, re.M)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert len(accuracies) == 5
    best = re.search(r"^best .*'accuracy': (?:np\.float64\()?([\d.]+)", finished.stdout, re.M)
    assert best, finished.stdout
    assert float(best.group(1)) == pytest.approx(accuracies[0], abs=5e-4)
    assert accuracies[0] > 0.9


def test_a_table_of_trials_replaces_the_grid(tmp_path: Path) -> None:
    project = copy_examples(tmp_path)
    options = ("--sweep", "fit=examples/sweep/trials.csv", "--json")
    finished = run_python(project, "-m", "flowyml_aws", "plan", FILE, *options)
    assert finished.returncode == 0, finished.stderr
    assert '"fit[2]"' in finished.stdout
    assert '"fit[3]"' not in finished.stdout
