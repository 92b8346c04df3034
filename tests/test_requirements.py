"""The setting `requirements`, from the client to the jobs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.core.errors import InvalidPipelineError
from tests.support.rigs import BackendRig
from tests.support.wheels import write_wheel

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("cli-emulated")]


@pytest.fixture
def rig(tmp_path: Path, emulator_settings: Mapping[str, str]) -> Iterator[BackendRig]:
    """A project whose requirements are wheels in a folder."""
    write_wheel(tmp_path / "wheels", "small", "1.0", {"small.py": "VALUE = 21\n"})
    settings = {
        **emulator_settings,
        "FLOWYML_AWS_STORE": f"{emulator_settings['FLOWYML_AWS_STORE']}/{uuid.uuid4().hex}",
        "FLOWYML_AWS_REQUIREMENTS": f"--no-index\n--find-links {tmp_path / 'wheels'}\nsmall>=1,<2",
    }
    rig = BackendRig("batch", tmp_path / "project", settings)
    with rig.entered() as patch:
        patch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        yield rig


def log_of(run_id: str) -> str:
    return "\n".join(line.message for line in Run.attach(run_id).logs())


def test_the_first_job_installs_the_requirements_and_later_jobs_load_them(rig: BackendRig) -> None:
    result = rig.pipeline("borrowing").run(backend="batch", progress=False)
    assert result.success, result.summary()
    assert result["more"] == 42
    log = log_of(result.run_id)
    assert log.count("installing 1 package(s)") == 1
    assert log.count("loaded 1 installed package(s)") == 1


def test_unresolvable_requirements_are_reported_before_anything_is_submitted(
    rig: BackendRig,
) -> None:
    with rig.entered() as patch:
        patch.setenv("FLOWYML_AWS_REQUIREMENTS", "--no-index\nsmall>=7")
        with pytest.raises(InvalidPipelineError) as caught:
            rig.pipeline("borrowing").run(backend="batch", progress=False)
    assert "The setting `requirements` can't be resolved" in str(caught.value)


def test_local_runs_install_nothing(rig: BackendRig) -> None:
    result = rig.pipeline("noisy").run(progress=False)
    assert result.success
    assert "package(s)" not in log_of(result.run_id)
