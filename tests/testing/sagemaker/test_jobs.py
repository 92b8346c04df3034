from __future__ import annotations

import io
import json
import os
import tarfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator

pytestmark = pytest.mark.contract

BUCKET = "flowyml-emulator-123456789012-us-east-1"
PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"
BASE = "import os, pathlib; base = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])\n"


def failing_with(message: str, code: int = 3) -> str:
    return f"{BASE}(base / 'output/failure').write_text({message}); raise SystemExit({code})"


def test_a_job_completes_when_its_process_does(training: Any) -> None:
    name = training.create("pass")
    job = training.ended(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    assert training.history(name) == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] >= 1


def test_each_transition_ends_when_the_next_begins(training: Any) -> None:
    job = training.ended(training.create())
    transitions = job["SecondaryStatusTransitions"]
    for before, after in pairwise(transitions):
        assert before["EndTime"] == after["StartTime"]
    assert transitions[0]["StatusMessage"] == "Starting the training job"
    assert transitions[-1]["StatusMessage"] == "Training job completed"


def test_the_failure_message_of_a_job_is_the_failure_reason(training: Any) -> None:
    job = training.ended(training.create(failing_with("'no data: ü'")))
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == "AlgorithmError: no data: ü, exit code: 3"
    assert "BillableTimeInSeconds" in job


def test_a_failure_reason_is_truncated_to_1024_characters(training: Any) -> None:
    job = training.ended(training.create(failing_with("'x' * 2000")))
    assert job["FailureReason"] == f"AlgorithmError: {'x' * 1008}"


def test_a_job_that_fails_without_a_message_reports_its_exit_code(training: Any) -> None:
    job = training.ended(training.create("import os; os.kill(os.getpid(), 9)"))
    assert job["FailureReason"] == "AlgorithmError: , exit code: 137"


def test_a_failure_message_is_ignored_if_the_process_succeeds(training: Any) -> None:
    job = training.ended(training.create(failing_with("'never mind'", code=0)))
    assert job["TrainingJobStatus"] == "Completed"
    assert "FailureReason" not in job


def test_a_program_that_cannot_start_fails_the_job(training: Any, aws: Emulator) -> None:
    algorithm = training.request()["AlgorithmSpecification"]
    algorithm["ContainerEntrypoint"] = ["no-such-program"]
    name = training.create(AlgorithmSpecification=algorithm)
    job = training.ended(name)
    assert job["FailureReason"].startswith("ClientError: CannotStartContainerError")
    assert "no-such-program" in job["FailureReason"]
    assert "TrainingTimeInSeconds" not in job


def test_a_jobs_environment_identifies_the_job_and_the_emulator(
    training: Any, aws: Emulator
) -> None:
    name = training.create(PRINT_ENVIRONMENT, Environment={"MINE": "1"})
    arn = training.ended(name)["TrainingJobArn"]
    environment = json.loads(training.log(name)[0])
    assert environment["TRAINING_JOB_NAME"] == name
    assert environment["TRAINING_JOB_ARN"] == arn
    assert environment["AWS_ENDPOINT_URL"] == aws.endpoint_url
    assert environment["MINE"] == "1"
    assert environment["PATH"] == os.environ["PATH"]
    assert "AWS_BATCH_JOB_ID" not in environment


def test_a_container_finds_the_folders_and_documents_of_sagemaker(training: Any) -> None:
    code = f"{BASE}os.chdir(base)\n" + (
        "print(sorted(str(path) for path in pathlib.Path().rglob('*')))\n"
        "print(pathlib.Path('input/config/hyperparameters.json').read_text())\n"
    )
    name = training.create(code, HyperParameters={"epochs": "3"})
    training.ended(name)
    tree, parameters = training.log(name)
    for path in ("model", "output/data", "checkpoints", "input/config/resourceconfig.json"):
        assert f"'{path}'" in tree
    assert json.loads(parameters) == {"epochs": "3"}


def test_a_container_finds_its_instance_type_in_the_resource_configuration(training: Any) -> None:
    code = f"{BASE}print((base / 'input/config/resourceconfig.json').read_text())"
    name = training.create(code)
    job = training.ended(name)
    config = json.loads(training.log(name)[-1])
    assert config["current_instance_type"] == job["ResourceConfig"]["InstanceType"]
    assert [group["instance_type"] for group in config["instance_groups"]] == [
        config["current_instance_type"]
    ]


def test_the_model_folder_is_uploaded_to_s3(training: Any, aws: Emulator) -> None:
    code = f"{BASE}(base / 'model/weights').write_bytes(b'w')"
    job = training.ended(training.create(code))
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    key = f"flowyml/runs/r/jobs/j/sagemaker/{job['TrainingJobName']}/output/model.tar.gz"
    assert uri == f"s3://{BUCKET}/{key}"
    body = aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        member = archive.extractfile("weights")
        assert member is not None and member.read() == b"w"


def test_a_missing_bucket_fails_the_upload(training: Any, aws: Emulator) -> None:
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::no-such-*"}
    aws.client("iam").put_role_policy(
        RoleName="flowyml-emulator-sagemaker",
        PolicyName="another-bucket",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
    )
    code = f"{BASE}(base / 'model/weights').write_bytes(b'w')"
    job = training.ended(
        training.create(code, OutputDataConfig={"S3OutputPath": "s3://no-such-bucket/x"})
    )
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed")
    assert job["TrainingTimeInSeconds"] >= 1


def test_a_channel_is_downloaded_from_s3(training: Any, aws: Emulator) -> None:
    aws.client("s3").put_object(Bucket=BUCKET, Key="flowyml/runs/data/deep/x.txt", Body=b"content")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/flowyml/runs/data/"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    code = f"{BASE}print((base / 'input/data/train/deep/x.txt').read_text())"
    name = training.create(code, InputDataConfig=[channel])
    assert training.ended(name)["TrainingJobStatus"] == "Completed"
    assert training.log(name) == ["content"]
    source["S3Uri"] = f"s3://{BUCKET}/flowyml/runs/nothing/"
    job = training.ended(training.create(code, InputDataConfig=[channel]))
    assert job["FailureReason"].startswith("ClientError: Data download failed: No S3 objects found")


def test_lines_appear_in_the_log_while_the_job_runs(training: Any) -> None:
    name = training.create("import time; print('here'); time.sleep(60)")
    training.wait_for_line(name, "here")
    (stream,) = training.streams(name)
    assert stream.startswith(f"{name}/algo-1-")


def test_a_described_job_has_the_members_of_its_request(training: Any) -> None:
    request = training.request(
        Tags=[{"Key": "team", "Value": "a b"}],
        Environment={"A": "1"},
        VpcConfig={"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        RetryStrategy={"MaximumRetryAttempts": 2},
    )
    arn = training.api.create_training_job(**request)["TrainingJobArn"]
    job = training.ended("job")
    assert {name: job[name] for name in request if name != "Tags"} == {
        name: value for name, value in request.items() if name != "Tags"
    }
    assert training.api.list_tags(ResourceArn=arn)["Tags"] == request["Tags"]
    training.api.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "c"}])
    assert training.api.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "c"}]


@pytest.mark.parametrize("operation", ["describe_training_job", "stop_training_job"])
def test_an_unknown_job_is_not_found(training: Any, operation: str) -> None:
    with pytest.raises(ClientError, match="Requested resource not found") as error:
        getattr(training.api, operation)(TrainingJobName="no-such-job")
    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_a_name_can_be_used_only_once(training: Any) -> None:
    training.create(name="taken")
    with pytest.raises(training.api.exceptions.ResourceInUse, match="already exists"):
        training.create(name="taken")
    assert training.ended("taken")["TrainingJobStatus"] == "Completed"


def test_the_folder_of_a_job_is_removed_at_the_end(training: Any) -> None:
    name = training.create(f"{BASE}print(base, os.getcwd())")
    training.ended(name)
    base, folder = training.log(name)[0].split()
    assert not Path(base).exists() and not Path(folder).exists()
