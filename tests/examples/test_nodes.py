from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.examples.conftest import copy_examples, run_python

pytestmark = pytest.mark.system


def test_four_nodes_add_up_their_numbers(tmp_path: Path) -> None:
    project = copy_examples(tmp_path)
    finished = run_python(project, "examples/nodes/all_reduce.py")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "total 500500"


@pytest.mark.thorough
@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_two_nodes_of_a_ray_cluster_estimate_pi(tmp_path: Path) -> None:
    project = copy_examples(tmp_path)
    finished = run_python(project, "examples/nodes/with_ray.py")
    assert finished.returncode == 0, finished.stderr
    found = re.search(r"^pi is about (3\.1\d+)$", finished.stdout, re.M)
    assert found, finished.stdout
