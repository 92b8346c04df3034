"""Jobs that are forked from a warm process see the same environment as in a fresh process."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.planning.environment import container_environment
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.container import Container
from flowyml_aws.testing.process import Processes
from tests.support.plans import a_job
from tests.support.rigs import BackendRig

pytestmark = [
    pytest.mark.version_sensitive,
    pytest.mark.contract,
    pytest.mark.skipif(sys.platform != "linux", reason="warm starts need Linux"),
]


def observed_environment(tmp_path: Path, warm_starts: bool) -> dict[str, Any]:
    with Emulator(warm_starts=warm_starts) as aws:
        rig = BackendRig("batch", tmp_path / f"warm_{warm_starts}", aws.environment)
        with rig.entered():
            result = rig.pipeline("probe").run(backend="batch", progress=False)
        assert result.success, result.summary()
        assert result["chance"] != result["other_chance"]
        return dict(result["found"])


def test_a_warm_job_sees_the_same_environment_as_a_cold_job(tmp_path: Path) -> None:
    warm, cold = (observed_environment(tmp_path, warm_starts) for warm_starts in (True, False))
    only_in_warm = {"flowyml_aws.testing", "flowyml_aws.testing.warm"}
    assert {*warm.pop("modules")} == only_in_warm
    assert cold.pop("modules") == []
    # Each emulator has its own folder on the path.
    assert len(warm.pop("rest of sys.path")) == len(cold.pop("rest of sys.path"))
    assert warm == cold


@pytest.fixture
def processes() -> Any:
    started = Processes({**os.environ}, is_warm=True)
    yield started
    started.stop()


def test_a_warm_job_has_the_exit_code_and_the_output_of_the_runner(
    processes: Processes, tmp_path: Path
) -> None:
    lines: list[str] = []
    job = processes.start(runner(tmp_path, "file:///nowhere"), lines.extend)
    assert job.wait() == 11
    assert any("the job failed without a result" in line for line in lines)


def test_a_warm_start_without_its_process_is_an_error_and_the_next_one_works(
    processes: Processes, tmp_path: Path
) -> None:
    processes.start(runner(tmp_path), lambda _: None).wait()
    assert processes._warm is not None and processes._warm._process is not None
    lost = processes._warm._process
    os.kill(lost.pid, signal.SIGKILL)
    lost.wait()
    with pytest.raises(OSError):
        processes.start(runner(tmp_path), lambda _: None)
    assert processes.start(runner(tmp_path), lambda _: None).wait() == 11


@pytest.mark.parametrize("name", ["PYTHONHASHSEED", "LANG", "LC_TIME", "PYTHONPATH"])
def test_a_job_that_changes_the_interpreter_is_started_cold(
    processes: Processes, tmp_path: Path, name: str
) -> None:
    job = runner(tmp_path)
    changed = replace(job, environment={**job.environment, name: "1"})
    assert processes.start(changed, lambda _: None).wait() == 11
    assert processes._warm is not None and processes._warm._process is None


def runner(folder: Path, *arguments: str) -> Container:
    """Return a container with the environment of a job of this package."""
    environment = container_environment(a_job("train"), "us-east-1")
    command = ["python", "-m", "flowyml_aws.runtime", *arguments]
    return Container("image", command, environment, folder)
