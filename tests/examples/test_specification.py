"""The two examples of the specification, as executable files."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system


def test_the_data_pipeline_run_twice_loads_each_order_once(project: Path, python: Any) -> None:
    for _ in range(2):
        finished = python("examples/data_pipeline.py")
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout.splitlines() == ["DE     50.00", "FR     17.50", "IT      8.00"]
    with closing(sqlite3.connect(project / "tmp" / "flowyml-aws-example.sqlite")) as warehouse:
        assert warehouse.execute("SELECT COUNT(*) FROM orders").fetchone() == (5,)


def test_the_training_pipeline_runs_on_a_machine_without_gpus(python: Any) -> None:
    finished = python("examples/ml_training.py")
    assert finished.returncode == 0, finished.stderr
    (accuracy,) = re.findall(r"^accuracy ([\d.]+)$", finished.stdout, re.MULTILINE)
    assert float(accuracy) > 0.95
