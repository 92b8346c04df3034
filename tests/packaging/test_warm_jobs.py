"""Local jobs that are forks of a warm process are what new processes are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.packaging import warm_jobs
from flowyml_aws.packaging.starting import start_job_or_python, starting_with
from flowyml_aws.packaging.warm_jobs import JOBS, WarmJobs
from flowyml_aws.warm.starter import WarmProcess
from tests.support.rigs import BackendRig

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(sys.platform != "linux", reason="warm starts need Linux"),
]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[WarmJobs]:
    monkeypatch.setattr(warm_jobs, "_WAIT_S", 600.0)
    started = WarmJobs()
    yield started
    started.stop()


def facts_of_groups(project: Path, warm_starts: str) -> dict[str, dict[str, Any]]:
    rig = BackendRig("local", project)
    with rig.entered() as patch:
        patch.setenv("FLOWYML_AWS_WARM_STARTS", warm_starts)
        patch.setenv("TRACE", str(project / "left"))
        result = rig.pipeline("shared_state").run(progress=False, cache=False)
    assert result.success, result.summary()
    return {name: dict(result[name]) for name in ("before", "own", "after")}


def test_a_group_in_a_fork_finds_what_it_finds_in_a_new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("threadpoolctl")
    monkeypatch.setattr(warm_jobs, "_WAIT_S", 600.0)
    with starting_with(start_job_or_python):
        warm, cold = (facts_of_groups(tmp_path, setting) for setting in ("true", "false"))
    JOBS.stop()
    for group, facts in warm.items():
        assert facts.pop("in a fork") is True
        assert cold[group].pop("in a fork") is False
    chances = [facts.pop("chances") for facts in (*warm.values(), *cold.values())]
    seeded = [chances.pop(4), chances.pop(1)]
    assert seeded[0] == seeded[1]
    for name in ("random", "numpy"):
        assert len({drawn[name] for drawn in chances}) == 4
    assert warm == cold
    assert warm["before"] == warm["after"] != warm["own"]


def started(jobs: WarmJobs, folder: Path, environment: Mapping[str, str]) -> WarmProcess | None:
    return jobs.start(
        (),
        environment,
        folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(process: WarmProcess | None) -> str:
    assert process is not None and process.stdout is not None
    with process.stdout:
        output = process.stdout.read().decode()
    process.wait()
    return output


def test_only_jobs_with_the_variables_of_the_run_are_forked(jobs: WarmJobs, tmp_path: Path) -> None:
    assert started(jobs, tmp_path, os.environ) is None  # nothing is prepared
    jobs.prepare(os.environ, [])
    own = {**os.environ, "FLOWYML_ATTEMPT": "2"}
    assert "usage: python -m flowyml_aws.job" in ended(started(jobs, tmp_path, own))
    assert started(jobs, tmp_path, {**own, "OMP_NUM_THREADS": "3"}) is None


def test_the_process_is_kept_for_the_next_run_with_the_same_settings(jobs: WarmJobs) -> None:
    jobs.prepare(os.environ, [])
    first = jobs._starter
    jobs.prepare({**os.environ, "FLOWYML_ATTEMPT": "1"}, [])
    assert jobs._starter is first is not None
    jobs.prepare({**os.environ, "LEVEL": "9"}, [])
    assert jobs._starter is not first


def test_a_job_is_not_forked_before_the_imports_are_done(
    jobs: WarmJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_jobs, "_WAIT_S", 0.0)
    jobs.prepare(os.environ, [])
    assert started(jobs, tmp_path, os.environ) is None


def test_a_package_that_fails_is_left_to_the_jobs(jobs: WarmJobs, tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "numpy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise OSError('no such device')")
    environment = {**os.environ, "PYTHONPATH": f"{package.parent}{os.pathsep}{Path.cwd()}"}
    jobs.prepare(environment, ["numpy"])
    assert started(jobs, tmp_path, environment) is None
    assert "usage: python -m flowyml_aws.job" in ended(started(jobs, tmp_path, environment))


def test_a_client_without_an_absolute_path_forks_no_jobs(jobs: WarmJobs) -> None:
    jobs.prepare({**os.environ, "PYTHONPATH": "src"}, [])
    assert jobs._starter is None


def test_a_client_whose_python_runs_code_at_its_start_forks_no_jobs(
    jobs: WarmJobs, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nATTEMPT = os.environ['FLOWYML_ATTEMPT']")
    jobs.prepare({**os.environ, "PYTHONPATH": str(tmp_path)}, [])
    assert jobs._starter is None
