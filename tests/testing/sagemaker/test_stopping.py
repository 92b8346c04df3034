from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator
from tests.support.rigs import raised_emulator
from tests.testing.programs import GRACEFUL, STUBBORN, WAIT_FOR_FILE

pytestmark = pytest.mark.contract

BUCKET = "flowyml-emulator-123456789012-us-east-1"
SLEEP = "import time; print('ready'); time.sleep(60)"
# Waits on its first launch, ends on the second, which finds the checkpoint.
TWICE = """
import os, pathlib, time
checkpoint = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints", "at")
if checkpoint.exists():
    print("back at", checkpoint.read_text())
else:
    checkpoint.write_text("7")
    print("ready")
    time.sleep(60)
"""
SPOT = {
    "EnableManagedSpotTraining": True,
    "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/flowyml/runs/r/jobs/j/checkpoints"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
}


@pytest.fixture
def accelerated(connect_training: Any) -> Iterator[Any]:
    """A client of an emulator in which 60 s on AWS last 0.6 s."""
    with raised_emulator(time_scale=0.01) as aws:
        yield connect_training(aws)


def test_a_stopped_job_gets_sigterm_and_is_stopped_whatever_its_exit_code(training: Any) -> None:
    name = training.create(GRACEFUL)
    training.wait_for_line(name, "ready")
    training.api.stop_training_job(TrainingJobName=name)
    job = training.ended(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert training.log(name) == ["ready", "leaving"]
    assert training.history(name)[2:] == ["Training", "Stopping", "Uploading", "Stopped"]
    assert "FailureReason" not in job


def test_a_job_that_is_being_stopped_has_status_stopping(training: Any, tmp_path: Path) -> None:
    name = training.create(WAIT_FOR_FILE.format(str(tmp_path / "go")))
    training.wait_for_line(name, "ready")
    training.api.stop_training_job(TrainingJobName=name)
    training.api.stop_training_job(TrainingJobName=name)  # repeated calls are no-ops
    job = training.job(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopping", "Stopping")
    assert "BillableTimeInSeconds" not in job
    (tmp_path / "go").touch()
    assert training.ended(name)["TrainingJobStatus"] == "Stopped"


def test_a_job_that_ignores_sigterm_is_killed_after_the_grace_period(
    connect_training: Any,
) -> None:
    with raised_emulator(training_stop_grace_s=0.1) as aws:
        training = connect_training(aws)
        name = training.create(STUBBORN)
        training.wait_for_line(name, "ready")
        training.api.stop_training_job(TrainingJobName=name)
        assert training.ended(name)["SecondaryStatus"] == "Stopped"


def test_a_job_that_has_ended_cannot_be_stopped(training: Any) -> None:
    name = training.create()
    training.ended(name)
    with pytest.raises(ClientError, match="the training job is in status Completed"):
        training.api.stop_training_job(TrainingJobName=name)


def test_a_job_that_exceeds_its_runtime_is_stopped_with_that_status(accelerated: Any) -> None:
    name = accelerated.create(SLEEP, StoppingCondition={"MaxRuntimeInSeconds": 60})
    job = accelerated.ended(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert accelerated.history(name)[-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]


def test_an_interrupted_spot_job_restarts_with_its_checkpoints(
    training: Any, aws: Emulator
) -> None:
    name = training.create(TWICE, **SPOT)
    training.wait_for_line(name, "ready")
    aws.lose_host(name)
    job = training.ended(name)
    assert job["TrainingJobStatus"] == "Completed"
    assert training.history(name) == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Restarting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert training.log(name) == ["ready", "back at 7"]
    assert len(training.streams(name)) == 2
    stored = aws.client("s3").get_object(Bucket=BUCKET, Key="flowyml/runs/r/jobs/j/checkpoints/at")
    assert stored["Body"].read() == b"7"


def test_a_spot_job_is_billed_for_part_of_its_time(training: Any) -> None:
    job = training.ended(training.create("import time; time.sleep(1.2)", **SPOT))
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


def test_an_interrupted_job_gets_sigterm_first(training: Any, aws: Emulator) -> None:
    name = training.create(GRACEFUL, **SPOT)
    training.wait_for_line(name, "ready")
    aws.lose_host(name)
    training.wait_for_line(name, "ready", times=2)
    assert training.log(name) == ["ready", "leaving", "ready"]


def test_a_job_stopped_while_it_is_interrupted_does_not_restart(
    training: Any, aws: Emulator, tmp_path: Path
) -> None:
    name = training.create(WAIT_FOR_FILE.format(str(tmp_path / "go")), **SPOT)
    training.wait_for_line(name, "ready")
    aws.lose_host(name)
    training.api.stop_training_job(TrainingJobName=name)
    (tmp_path / "go").touch()
    assert training.ended(name)["SecondaryStatus"] == "Stopped"
    assert training.history(name).count("Training") == 1


def test_the_time_limit_still_applies_after_an_interruption(accelerated: Any) -> None:
    limits = {"MaxRuntimeInSeconds": 200, "MaxWaitTimeInSeconds": 20_000}
    name = accelerated.create(SLEEP, **{**SPOT, "StoppingCondition": limits})
    accelerated.wait_for_line(name, "ready")
    accelerated.aws.lose_host(name)
    job = accelerated.ended(name)
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert accelerated.history(name).count("Training") == 2


def test_a_spot_job_without_an_instance_stops_after_its_maximum_wait(accelerated: Any) -> None:
    accelerated.aws.set_capacity("ml.m5.large", 0)
    limits = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}
    name = accelerated.create(**{**SPOT, "StoppingCondition": limits})
    job = accelerated.ended(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert "TrainingStartTime" not in job and "BillableTimeInSeconds" not in job


def test_a_training_job_that_exceeds_its_memory_is_killed(training: Any, aws: Emulator) -> None:
    name = training.create(SLEEP)
    training.wait_for_line(name, "ready")
    aws.faults.exceed_memory(name)
    job = training.ended(name)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].endswith("exit code: 137")
    with pytest.raises(ValueError, match="Failed"):
        aws.faults.exceed_memory(name)
    with pytest.raises(LookupError):
        aws.faults.exceed_memory("none")


def test_a_lost_host_is_a_service_error(training: Any, aws: Emulator) -> None:
    name = training.create(SLEEP)
    training.wait_for_line(name, "ready")
    aws.lose_host(name)
    job = training.ended(name)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: ")


def test_a_service_error_is_retried_up_to_the_jobs_limit(training: Any, aws: Emulator) -> None:
    name = training.create(SLEEP, RetryStrategy={"MaximumRetryAttempts": 1})
    training.wait_for_line(name, "ready")
    aws.lose_host(name)
    training.wait_for_line(name, "ready", times=2)
    aws.lose_host(name)
    assert training.ended(name)["FailureReason"].startswith("InternalServerError: ")
    assert training.history(name).count("Restarting") == 1


def test_only_a_training_job_on_a_host_can_lose_it(training: Any, aws: Emulator) -> None:
    name = training.create()
    training.ended(name)
    with pytest.raises(ValueError, match="Completed"):
        aws.lose_host(name)


def test_stopping_the_emulator_kills_training_jobs(connect_training: Any) -> None:
    with raised_emulator() as aws:
        training = connect_training(aws)
        name = training.create(STUBBORN, **SPOT)
        training.wait_for_line(name, "ready")
        pid = aws.job_processes()[name]
    assert not Path(f"/proc/{pid}").exists()
