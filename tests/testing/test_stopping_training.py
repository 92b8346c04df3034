from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator
from tests.testing.programs import GRACEFUL, STUBBORN, UNTIL_A_FILE_IS_THERE

pytestmark = pytest.mark.contract

BUCKET = "flowyml-aws-emulator"
SLEEP = "import time; print('ready'); time.sleep(60)"
# Waits at its first start, ends at its second: there its checkpoint is back.
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
    "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints/job"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
}


@pytest.fixture
def hurried(connect_training: Any) -> Iterator[Any]:
    """A client of an emulator where 60 s of AWS last 0.6 s."""
    with Emulator(time_scale=0.01) as aws:
        yield connect_training(aws)


def test_a_stopped_job_gets_sigterm_and_is_stopped_however_it_exits(training: Any) -> None:
    name = training.create(GRACEFUL)
    training.says(name, "ready")
    training.api.stop_training_job(TrainingJobName=name)
    job = training.ended(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert training.log(name) == ["ready", "leaving"]
    assert training.history(name)[2:] == ["Training", "Stopping", "Uploading", "Stopped"]
    assert "FailureReason" not in job


def test_a_job_that_is_being_stopped_says_so(training: Any, tmp_path: Path) -> None:
    name = training.create(UNTIL_A_FILE_IS_THERE.format(str(tmp_path / "go")))
    training.says(name, "ready")
    training.api.stop_training_job(TrainingJobName=name)
    training.api.stop_training_job(TrainingJobName=name)  # once more does no harm
    job = training.job(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopping", "Stopping")
    assert "BillableTimeInSeconds" not in job
    (tmp_path / "go").touch()
    assert training.ended(name)["TrainingJobStatus"] == "Stopped"


def test_a_job_that_ignores_sigterm_is_killed_after_the_grace_period(
    connect_training: Any,
) -> None:
    with Emulator(training_stop_grace_s=0.1) as aws:
        training = connect_training(aws)
        name = training.create(STUBBORN)
        training.says(name, "ready")
        training.api.stop_training_job(TrainingJobName=name)
        assert training.ended(name)["SecondaryStatus"] == "Stopped"


def test_a_job_that_has_ended_cannot_be_stopped(training: Any) -> None:
    name = training.create()
    training.ended(name)
    with pytest.raises(ClientError, match="the training job is in status Completed"):
        training.api.stop_training_job(TrainingJobName=name)


def test_a_time_limit_ends_a_job_as_stopped_and_tells_why(hurried: Any) -> None:
    name = hurried.create(SLEEP, StoppingCondition={"MaxRuntimeInSeconds": 60})
    job = hurried.ended(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert hurried.history(name)[-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]


def test_an_interrupted_spot_job_starts_again_with_its_checkpoints(
    training: Any, aws: Emulator
) -> None:
    name = training.create(TWICE, **SPOT)
    training.says(name, "ready")
    aws.lose_host(name)
    job = training.ended(name)
    assert job["TrainingJobStatus"] == "Completed"
    assert training.history(name) == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Restarting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert training.log(name) == ["ready", "back at 7"]
    assert len(training.streams(name)) == 2
    stored = aws.client("s3").get_object(Bucket=BUCKET, Key="checkpoints/job/at")
    assert stored["Body"].read() == b"7"


def test_spot_is_billed_for_a_part_of_the_time(training: Any) -> None:
    job = training.ended(training.create("import time; time.sleep(1.2)", **SPOT))
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


def test_an_interruption_gives_the_job_a_sigterm_first(training: Any, aws: Emulator) -> None:
    name = training.create(GRACEFUL, **SPOT)
    training.says(name, "ready")
    aws.lose_host(name)
    training.says(name, "ready", times=2)
    assert training.log(name) == ["ready", "leaving", "ready"]


def test_a_job_stopped_while_it_is_interrupted_does_not_start_again(
    training: Any, aws: Emulator, tmp_path: Path
) -> None:
    name = training.create(UNTIL_A_FILE_IS_THERE.format(str(tmp_path / "go")), **SPOT)
    training.says(name, "ready")
    aws.lose_host(name)
    training.api.stop_training_job(TrainingJobName=name)
    (tmp_path / "go").touch()
    assert training.ended(name)["SecondaryStatus"] == "Stopped"
    assert training.history(name).count("Training") == 1


def test_interruptions_take_nothing_off_the_time_limit(hurried: Any) -> None:
    limits = {"MaxRuntimeInSeconds": 200, "MaxWaitTimeInSeconds": 20_000}
    name = hurried.create(SLEEP, **{**SPOT, "StoppingCondition": limits})
    hurried.says(name, "ready")
    hurried.aws.lose_host(name)
    job = hurried.ended(name)
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert hurried.history(name).count("Training") == 2


def test_a_spot_job_that_gets_no_instance_ends_after_its_wait(hurried: Any) -> None:
    hurried.aws.set_capacity("ml.m5.large", 0)
    limits = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}
    name = hurried.create(**{**SPOT, "StoppingCondition": limits})
    job = hurried.ended(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert "TrainingStartTime" not in job and "BillableTimeInSeconds" not in job


def test_a_lost_host_is_an_error_of_the_service(training: Any, aws: Emulator) -> None:
    name = training.create(SLEEP)
    training.says(name, "ready")
    aws.lose_host(name)
    job = training.ended(name)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: ")


def test_an_error_of_the_service_is_retried_as_often_as_the_job_says(
    training: Any, aws: Emulator
) -> None:
    name = training.create(SLEEP, RetryStrategy={"MaximumRetryAttempts": 1})
    training.says(name, "ready")
    aws.lose_host(name)
    training.says(name, "ready", times=2)
    aws.lose_host(name)
    assert training.ended(name)["FailureReason"].startswith("InternalServerError: ")
    assert training.history(name).count("Restarting") == 1


def test_only_a_training_job_on_a_host_can_lose_it(training: Any, aws: Emulator) -> None:
    name = training.create()
    training.ended(name)
    with pytest.raises(ValueError, match="Completed"):
        aws.lose_host(name)


def test_stopping_the_emulator_kills_training_jobs(connect_training: Any) -> None:
    with Emulator() as aws:
        training = connect_training(aws)
        name = training.create(STUBBORN, **SPOT)
        training.says(name, "ready")
        pid = aws.job_processes()[name]
    assert not Path(f"/proc/{pid}").exists()
