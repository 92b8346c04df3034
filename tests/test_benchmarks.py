"""The benchmarks run without errors; their numbers are not checked, as other load affects them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.system
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("planning", ["--largest", "200"]),
        ("report", ["--largest", "50"]),
        pytest.param("planning", [], marks=pytest.mark.thorough),
        pytest.param("report", [], marks=pytest.mark.thorough),
        pytest.param("startup", [], marks=pytest.mark.thorough),
        pytest.param("sampler", ["--seconds", "5"], marks=pytest.mark.thorough),
        pytest.param("copies", [], marks=pytest.mark.thorough),
        pytest.param("local_overhead", [], marks=pytest.mark.thorough),
    ],
)
def test_a_benchmark_runs_and_reports_its_targets(
    name: str, options: list[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", "--repetitions", "1", *options],
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.stderr == ""
    assert done.returncode in (0, 1)
    assert "at most" in done.stdout
