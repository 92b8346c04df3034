"""A FlowyML project as people have them: modules, a context, conditions, caching."""

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
    """The project on a backend; `run` is `python run.py …` in a process of its own."""

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
        ended = self.python("run.py", *context)
        assert ended.returncode == 0, ended.stderr
        (line,) = (line for line in ended.stdout.splitlines() if line.startswith("RESULT "))
        told: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
        return told


@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_it_runs_unchanged_on_aws(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    told = Project(new_rig(backend, tmp_path, request)).run()
    assert (told["success"], told["state"]) == (True, "completed")
    assert told["outputs"] == {
        "model": {"rate": 0.25},
        "score": 0.0,
        "announcement": "DEPLOYED AT 0.00",
        "flowyml": True,  # the emulator's image is this environment, which has it
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
    assert (first["cached"], first["skipped"]) == ([], [])

    again = churn.run()
    assert again["outputs"] == first["outputs"]
    assert len(again["cached"]) == 7

    # Another context value: what reads it runs again, and what depends on that.
    third = churn.run("smoothing=0.6")
    assert third["outputs"]["announcement"] is None
    assert third["skipped"] == ["deploy", "announce"]
    assert churn.rig.ran() == [
        *("load", "split", "fit", "evaluate", "deploy", "announce"),
        *("fit", "evaluate"),
    ]


def test_a_job_that_needs_more_of_flowyml_says_so(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    project = Project(new_rig("local", tmp_path, request), hidden=True)
    steps = project.rig.folder / "churn" / "steps.py"
    steps.write_text(steps.read_text("utf-8").replace("import step\n", "import Dataset, step\n"))
    told = project.run()
    assert not told["success"]
    error = told["errors"]["load"]
    assert error.startswith("job data failed: ")
    assert "flowyml.Dataset requires FlowyML, which is not installed in this job" in error
    assert "install flowyml in the image" in error


def test_flowymls_commands_show_the_run(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    churn = Project(new_rig("local", tmp_path, request), hidden=True)
    told = churn.run()
    shown = churn.python("-m", "flowyml.cli.main", "logs", told["run_id"])
    assert "churn" in shown.stdout
    assert "completed" in shown.stdout
    listed = churn.python("-m", "flowyml_aws", "runs")
    assert told["job_id"] in listed.stdout
