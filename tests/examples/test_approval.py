from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

EXAMPLE = Path(__file__).parents[2] / "examples" / "approval.py"


def test_the_example_deploys_what_is_approved_in_its_terminal(tmp_path: Path) -> None:
    script = tmp_path / "approval.py"
    script.write_bytes(EXAMPLE.read_bytes())
    (tmp_path / "pyproject.toml").touch()
    finished = subprocess.run(
        [sys.executable, str(script)],
        input="y\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "accuracy 0.875",
        "deploy it? [y/N] pass from 3.5 hours",
    ]
