"""Jobs whose image is in the emulated registry, and accounts that are empty at the start."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.core.errors import MissingEngineError
from flowyml_aws.testing import Emulator
from tests.support.registry_client import RegistryClient, login_of
from tests.testing.conftest import BatchClient, TrainingClient

pytestmark = pytest.mark.contract

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
REPOSITORY = f"{HOST}/flowyml-emulator"
MISSING = f"{HOST}/missing"


def push(aws: Emulator, tag: str) -> str:
    return RegistryClient(aws, login_of(aws), REPOSITORY).push(tag, b"layer")


def start(batch: BatchClient, image: str) -> tuple[str, str]:
    """Run a job of an image, and return its status and the reason of its container."""
    batch.definition = batch.define("pulling", containerProperties={"image": image})
    job = batch.ended(batch.submit())
    return job["status"], job["container"].get("reason", "")


def test_a_batch_job_needs_an_image_that_was_pushed(aws: Emulator, batch: BatchClient) -> None:
    failure = "CannotPullContainerError: Error response from daemon"
    uri = f"{REPOSITORY}:1"
    assert start(batch, uri) == (
        "FAILED",
        f"{failure}: manifest for {uri} not found: manifest unknown: Requested image not found",
    )
    assert start(batch, f"{MISSING}:1") == (
        "FAILED",
        f"{failure}: repository {MISSING} not found: name unknown: The repository with name "
        "'missing' does not exist in the registry with id '123456789012'",
    )
    digest = push(aws, "1")
    assert start(batch, uri) == ("SUCCEEDED", "")
    assert start(batch, f"{REPOSITORY}@{digest}") == ("SUCCEEDED", "")


def test_a_training_job_needs_an_image_that_was_pushed(
    aws: Emulator, training: TrainingClient
) -> None:
    def create(uri: str) -> str:
        algorithm = training.request()["AlgorithmSpecification"]
        return training.create(AlgorithmSpecification={**algorithm, "TrainingImage": uri})

    with pytest.raises(ClientError, match=r"Cannot find the requested image: .*:1 with tag: 1 and"):
        create(f"{REPOSITORY}:1")
    with pytest.raises(ClientError, match="Cannot find repository: missing in registry ID: 1234"):
        create(f"{MISSING}:1")
    push(aws, "1")
    assert training.ended(create(f"{REPOSITORY}:1"))["TrainingJobStatus"] == "Completed"


def test_an_empty_account_has_an_administrator_and_no_resources() -> None:
    with Emulator(empty=True) as aws:
        assert aws.client("s3").list_buckets()["Buckets"] == []
        assert aws.client("batch").describe_job_queues()["jobQueues"] == []
        assert aws.client("ecr").describe_repositories()["repositories"] == []
        assert aws.client("ssm").describe_parameters()["Parameters"] == []
        assert "AWS_SESSION_TOKEN" not in aws.environment
        settings = [name for name in aws.environment if name.startswith("FLOWYML_AWS_")]
        # Jobs are processes, but a run needs the name of an image.
        assert settings == ["FLOWYML_AWS_IMAGE", "FLOWYML_AWS_POLL_S"]
        policy = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
        assert aws.client("iam").get_policy(PolicyArn=policy)["Policy"]["Arn"] == policy
        assert any("account: empty" in line for line in aws.describe())


def test_jobs_in_their_own_images_need_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingEngineError):
        Emulator(job_images=True)
