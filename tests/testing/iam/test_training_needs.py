"""Permissions for subnets, keys and images from elsewhere, and the options of `infra/` for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import NAMES
from flowyml_aws.testing.account_policies import account_policy
from flowyml_aws.testing.iam.training_needs import METRICS_NEED

pytestmark = pytest.mark.contract

SUBNET, KEY = "subnet-0a1b2c3d", "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
ELSEWHERE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5"
REPOSITORY = "arn:aws:ecr:us-east-1:763104351884:repository/pytorch-training"
VOLUME = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}


def add_option(aws: Emulator, role: str, document: str, **values: Sequence[str]) -> None:
    """Give a role the policy that an option of `infra/` adds."""
    lists = {name: json.dumps(value) for name, value in values.items()}
    aws.client("iam").put_role_policy(
        RoleName=f"flowyml-emulator-{role}",
        PolicyName=document,
        PolicyDocument=account_policy(f"optional/{document}", {**NAMES, **lists}),
    )
    aws.advance(10)  # until the policy is in effect


def add_subnets(aws: Emulator, *subnets: str) -> None:
    arns = [f"arn:aws:ec2:us-east-1:*:subnet/{subnet}" for subnet in subnets]
    add_option(aws, "sagemaker", "vpc", sagemaker_subnet_arns=arns)


def end(training: Any, **members: Any) -> tuple[str, str]:
    job = training.ended(training.create(**members))
    return job["TrainingJobStatus"], job.get("FailureReason", "")


def test_subnets_need_their_option(training: Any, aws: Emulator) -> None:
    network = {"VpcConfig": {"Subnets": [SUBNET], "SecurityGroupIds": ["sg-0a1b2c3d"]}}
    status, reason = end(training, **network)
    assert status == "Failed"
    assert "ec2:CreateNetworkInterface" in reason
    add_subnets(aws, "subnet-other")
    assert f"subnet/{SUBNET}" in end(training, **network)[1]
    add_subnets(aws, "subnet-other", SUBNET)
    assert end(training, **network) == ("Completed", "")


@pytest.mark.parametrize(
    ("members", "action"),
    [
        ({"ResourceConfig": {**VOLUME, "VolumeKmsKeyId": KEY}}, "kms:CreateGrant"),
        ({"ResourceConfig": {**VOLUME, "VolumeKmsKeyId": "0a1b2c3d"}}, "kms:CreateGrant"),
        (
            {
                "OutputDataConfig": {
                    "S3OutputPath": f"s3://{NAMES['store_arn'][13:]}/runs/r/jobs/j",
                    "KmsKeyId": KEY,
                }
            },
            "kms:Decrypt",
        ),
    ],
    ids=["volume", "volume by id", "output"],
)
def test_keys_need_their_option(
    training: Any, aws: Emulator, members: dict[str, Any], action: str
) -> None:
    status, reason = end(training, **members)
    assert status == "Failed"
    assert action in reason
    add_option(aws, "sagemaker", "keys", sagemaker_key_arns=[KEY])
    assert end(training, **members) == ("Completed", "")


def test_training_jobs_pull_images_from_elsewhere_with_an_option(
    training: Any, aws: Emulator
) -> None:
    algorithm = training.request()["AlgorithmSpecification"]
    elsewhere = {"AlgorithmSpecification": {**algorithm, "TrainingImage": ELSEWHERE}}
    status, reason = end(training, **elsewhere)
    assert status == "Failed"
    assert REPOSITORY in reason
    add_option(aws, "sagemaker", "images", image_repository_arns=[REPOSITORY])
    assert end(training, **elsewhere) == ("Completed", "")


def test_batch_jobs_pull_images_from_elsewhere_with_an_option(batch: Any, aws: Emulator) -> None:
    properties = {
        "image": ELSEWHERE,
        "command": ["python", "-c", "pass"],
        "executionRoleArn": aws.environment["FLOWYML_AWS_EXECUTION_ROLE"],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": aws.environment["FLOWYML_AWS_LOG_GROUP"]},
        },
    }
    batch.definition = batch.define("elsewhere", containerProperties=properties)
    job = batch.ended(batch.submit())
    assert job["status"] == "FAILED"
    assert REPOSITORY in job["attempts"][0]["container"]["reason"]
    add_option(aws, "execution", "images", image_repository_arns=[REPOSITORY])
    assert batch.ended(batch.submit())["status"] == "SUCCEEDED"


def test_a_training_job_may_write_its_metrics_and_no_others(training: Any, aws: Emulator) -> None:
    assert end(training) == ("Completed", "")
    assert METRICS_NEED in aws.guard.used["flowyml-emulator-sagemaker"]
    assert aws.guard.denials == []
