"""Every backend gives jobs the same environment variables, hash seed and output encoding."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flowyml_aws.core.errors import InvalidPipelineError
from tests.support.rigs import BackendRig, new_rig

HASHED = "print(hash('flowyml'))"


def hash_with_seed(seed: str) -> int:
    command = [sys.executable, "-c", HASHED]
    done = subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True)
    return int(done.stdout)


def test_jobs_get_the_variables_of_the_setting_the_pipeline_the_run_and_their_steps(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = '{"FROM_SETTING": "setting", "FROM_PIPELINE": "setting", "TZ": "Asia/Tokyo"}'
    monkeypatch.setenv("FLOWYML_AWS_ENV", setting)
    pipeline = rig.pipeline("environment")
    result = pipeline.run(backend=rig.backend, env={"FROM_RUN": "run"}, progress=False)
    assert result.success, result.summary()
    common = {"FROM_SETTING": "setting", "FROM_PIPELINE": "pipeline", "TZ": "Asia/Tokyo"}
    first, second, third = (result[name] for name in ("first", "second", "third"))
    assert first | common | {"FROM_RUN": "run", "FROM_STEP": "step"} == first
    assert second == first
    assert third | common | {"FROM_RUN": "step", "FROM_STEP": None} == third
    assert result["process"]["hour"] == 9


def test_all_jobs_have_the_same_hash_seed_and_print_any_character_as_utf_8(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    run = rig.pipeline("environment").submit(backend=rig.backend)
    result = run.wait()
    assert result.success, result.summary()
    assert result["process"]["hash"] == hash_with_seed("0")
    assert result["process"]["stdout"] == ("utf-8", "replace")
    assert any("grüße ?" in line.message for line in run.logs("process"))


@pytest.mark.contract
@pytest.mark.xdist_group("backend-batch")
@pytest.mark.parametrize(
    ("backend", "env", "reason"),
    [
        ("batch", {"A": "x" * 8192}, "at most 8,192 characters"),
        ("sagemaker", {"A": "x" * 513}, "at most 512 characters"),
        ("sagemaker", {f"V{n}": "x" for n in range(100)}, "at most 100 environment variables"),
    ],
)
def test_variables_over_a_limit_of_the_service_are_a_mistake_found_before_submission(
    backend: str,
    env: dict[str, str],
    reason: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    rig = new_rig(backend, tmp_path, request)
    with rig.entered(), pytest.raises(InvalidPipelineError, match=reason) as caught:
        rig.pipeline("environment").submit(backend=backend, env=env)
    assert "nothing was submitted" in str(caught.value)


@pytest.mark.contract
@pytest.mark.xdist_group("backend-batch")
@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_jobs_on_aws_run_in_utc_and_a_utf_8_locale_as_the_plan_says(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rig = new_rig(backend, tmp_path, request)
    with rig.entered(), time_zone("Europe/Berlin"):
        pipeline = rig.pipeline("environment")
        notes = pipeline.plan(backend=backend).notes
        assert any("jobs run in UTC and the locale C.UTF-8; this" in note for note in notes)
        assert any("this machine uses Europe/Berlin" in note for note in notes)
        result = pipeline.run(backend=backend, progress=False)
    assert (result["third"]["TZ"], result["third"]["LANG"]) == ("UTC", "C.UTF-8")
    assert result["process"]["hour"] == 0


@contextmanager
def time_zone(zone: str) -> Iterator[None]:
    """Change the time zone of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()
