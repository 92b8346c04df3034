"""A realistic FlowyML project: modules, a context, conditions and caching."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

from tests.integrations.flowyml.conftest import write_stacks
from tests.support.rigs import CHECKOUT, BackendRig, ambient, new_rig

pytestmark = pytest.mark.system

SUPPORT = Path(__file__).parents[2] / "support"


class Project:
    """The project on a backend; `run` executes `python run.py …` in a separate process."""

    def __init__(self, rig: BackendRig, hidden: bool = False) -> None:
        self.rig = rig
        shutil.copytree(SUPPORT / "flowyml_project", rig.folder, dirs_exist_ok=True)
        write_stacks(rig)
        self._path = [str(CHECKOUT)]
        if hidden:
            site = rig.folder.parent / "site"
            site.mkdir()
            shutil.copy(SUPPORT / "hidden_flowyml.py", site / "sitecustomize.py")
            self._path.insert(0, str(site))

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            **{name: os.environ[name] for name in os.environ.keys() - ambient()},
            **self.rig.environment,
            "CHURN_TRACE": str(self.rig.trace),
            "HOME": str(self.rig.folder.parent),
            "PYTHONPATH": os.pathsep.join(self._path),
        }

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.rig.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def run(self, *context: str) -> dict[str, Any]:
        process = self.python("run.py", *context)
        assert process.returncode == 0, process.stderr
        (line,) = (line for line in process.stdout.splitlines() if line.startswith("RESULT "))
        result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
        return result


@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_a_project_runs_unchanged_on_aws(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    result = Project(new_rig(backend, tmp_path, request)).run()
    assert (result["success"], result["state"]) == (True, "completed")
    assert result["outputs"] == {
        "model": {"rate": 0.25},
        "score": 0.0,
        "announcement": "DEPLOYED AT 0.00",
        "flowyml": True,  # jobs of the emulator run in this environment, which has FlowyML
    }


def test_unchanged_steps_are_cached_and_no_job_needs_flowyml(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    churn = Project(new_rig("local", tmp_path, request), hidden=True)
    first = churn.run()
    assert first["success"]
    assert first["outputs"] == {
        "model": {"rate": 0.25},
        "score": 0.0,
        "announcement": "DEPLOYED AT 0.00",
        "flowyml": False,
    }
    assert (first["cached"], first["skipped"], first["valid"]) == ([], [], 40)

    again = churn.run()
    assert again["outputs"] == first["outputs"]
    assert len(again["cached"]) == 8

    # With another context value, the steps that read it and their descendants run again.
    third = churn.run("smoothing=0.6")
    assert third["outputs"]["announcement"] is None
    assert third["skipped"] == ["deploy", "announce"]
    assert churn.rig.ran() == [
        *("load", "split", "fit", "evaluate", "deploy", "announce"),
        *("fit", "evaluate"),
    ]


def test_a_job_reports_that_it_needs_more_of_flowyml(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    project = Project(new_rig("local", tmp_path, request), hidden=True)
    steps = project.rig.folder / "churn" / "steps.py"
    steps.write_text(steps.read_text("utf-8").replace("import MapTask", "import Dataset, MapTask"))
    result = project.run()
    assert not result["success"]
    error = result["errors"]["load"]
    assert error.startswith("job data failed: ")
    assert "flowyml.Dataset requires FlowyML, which is not installed in this job" in error
    assert "install flowyml in the image" in error


def test_the_commands_of_flowyml_show_the_run(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    churn = Project(new_rig("local", tmp_path, request), hidden=True)
    result = churn.run()
    shown = churn.python("-m", "flowyml.cli.main", "logs", result["run_id"])
    assert "churn" in shown.stdout
    assert "completed" in shown.stdout
    listed = churn.python("-m", "flowyml_aws", "runs")
    assert result["job_id"] in listed.stdout
