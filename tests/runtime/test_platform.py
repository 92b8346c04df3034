"""The runner on SageMaker: its environment, and the failure file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.platform import Platform
from tests.runtime.harness import WrittenRun, start_runner, until

pytestmark = pytest.mark.contract

TRAINING = {"TRAINING_JOB_NAME": "run-job-1", "FLOWYML_ATTEMPT": "1"}


@step(outputs=["a"], execution_group="g", cache="code_hash")
def first() -> int:
    print("first runs", flush=True)
    return 1


@step(inputs=["a"], outputs=["b"], execution_group="g")
def second(a: int, go: str) -> int:
    import time
    from pathlib import Path

    print("second waits", flush=True)
    while not Path(go).exists():
        time.sleep(0.01)
    raise ValueError(f"no luck with {a} – ü")


def reported_failure(folder: Path) -> str | None:
    path = folder / "ml/output/failure"
    return path.read_text("utf-8") if path.exists() else None


def training(folder: Path, **more: str) -> dict[str, str]:
    return {**TRAINING, "SAGEMAKER_BASE_DIR": str(folder / "ml"), **more}


def failing(folder: Path) -> WrittenRun:
    (folder / "go").touch()
    return WrittenRun(folder, first, second, context={"go": str(folder / "go")})


def test_a_failed_step_is_the_reason_that_sagemaker_reads(tmp_path: Path) -> None:
    assert failing(tmp_path).run(**training(tmp_path)).code == 10
    assert reported_failure(tmp_path) == "step 'second': ValueError: no luck with 1 – ü"


def test_outside_sagemaker_no_failure_file_is_written(tmp_path: Path) -> None:
    run = failing(tmp_path)
    run.run(SAGEMAKER_BASE_DIR=str(tmp_path / "ml"), AWS_BATCH_JOB_ATTEMPT="1")
    assert reported_failure(tmp_path) is None


def test_a_failure_that_was_committed_before_is_reported_again(tmp_path: Path) -> None:
    run = failing(tmp_path)
    run.run()
    assert run.run(**training(tmp_path)).code == 10
    assert reported_failure(tmp_path) == "step 'second': ValueError: no luck with 1 – ü"


def test_a_job_that_cannot_start_reports_the_reason(tmp_path: Path) -> None:
    run = failing(tmp_path)
    argument = re.sub("sha256=[0-9a-f]{64}", f"sha256={64 * '0'}", run.argument())
    with start_runner(argument, tmp_path, **training(tmp_path)) as process:
        process.communicate()
    assert process.returncode == 11
    assert (reported_failure(tmp_path) or "").startswith(f"{run.store.uri}/")
    assert "does not contain the spec that was submitted" in (reported_failure(tmp_path) or "")


def test_a_folder_that_cannot_be_written_does_not_change_the_outcome(tmp_path: Path) -> None:
    (tmp_path / "ml").touch()
    ended = failing(tmp_path).run(**training(tmp_path))
    assert ended.code == 10
    assert "could not write the reason to" in ended.log


def test_an_attempt_that_is_started_again_resumes_after_its_last_completed_step(
    tmp_path: Path,
) -> None:
    run = WrittenRun(tmp_path, first, second, context={"go": str(tmp_path / "go")})

    def second_runs() -> bool:
        path = run.store.path(run.layout.attempt(run.spec().job, 1, "events.json"))
        return path.exists() and run.events().steps[1].state.value == "running"

    with run.start(**training(tmp_path)) as process:
        until(second_runs)
        process.terminate()
        log, _ = process.communicate()
    assert process.returncode == 143
    assert "first runs" in log
    (tmp_path / "go").touch()
    again = run.run(**training(tmp_path))
    assert "first runs" not in again.log
    assert "first: succeeded in an earlier attempt" in again.log
    assert run.result().attempt == 1


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Platform(1)),
        ({"AWS_BATCH_JOB_ATTEMPT": "3"}, Platform(3)),
        ({"AWS_BATCH_JOB_ATTEMPT": "3", "FLOWYML_ATTEMPT": "2"}, Platform(2)),
        (
            {"AWS_BATCH_JOB_ID": "id", "AWS_BATCH_JOB_ATTEMPT": "3"},
            Platform(3, copy_id="id", claimed_attempt=1),
        ),
        (
            {"AWS_BATCH_JOB_ID": "id", "FLOWYML_ATTEMPT": "2"},
            Platform(2, copy_id="id"),
        ),
        (
            {
                "AWS_BATCH_JOB_ID": "id",
                "AWS_BATCH_JOB_ATTEMPT": "3",
                "FLOWYML_ATTEMPTS_BEFORE": "10",
                "FLOWYML_MOVES_ON": "out of memory,disk full",
                "FLOWYML_REPETITIONS": "load=1,train-2=3",
            },
            Platform(
                13,
                copy_id="id",
                claimed_attempt=11,
                moves_on=frozenset({Cause.OUT_OF_MEMORY, Cause.DISK_FULL}),
                repetitions={"load": 1, "train-2": 3},
            ),
        ),
        (
            TRAINING,
            Platform(
                1,
                repeats=True,
                failure_file=Path("/opt/ml/output/failure"),
                copy_id="run-job-1",
                mounts=Path("/opt/ml/input/data"),
            ),
        ),
    ],
)
def test_the_platform_is_read_from_the_environment(environment: Any, expected: Platform) -> None:
    assert Platform.from_environment(environment) == expected
