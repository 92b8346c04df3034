from __future__ import annotations

import copy
from typing import Any

import pytest

from flowyml_aws.testing.sagemaker.errors import ValidationException
from flowyml_aws.testing.sagemaker.validation import check_creation

VALID: dict[str, Any] = {
    "TrainingJobName": "run-1-job",
    "AlgorithmSpecification": {
        "TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:1",
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python", "-m", "module"],
        "ContainerArguments": ["an argument"],
    },
    "RoleArn": "arn:aws:iam::123456789012:role/path/training",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/output"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
}
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
}


def requested(changes: dict[str, Any]) -> dict[str, Any]:
    """Return `VALID` with changed members; `A.B` is a nested member, None removes a member."""
    request = copy.deepcopy(VALID)
    for path, value in changes.items():
        *parents, last = path.split(".")
        members = request
        for parent in parents:
            members = members[parent]
        if value is None:
            del members[last]
        else:
            members[last] = value
    return request


def preferring(*types: str, **members: Any) -> dict[str, Any]:
    preferences = [{"InstanceType": name} for name in types]
    return {"InstancePreferences": preferences, "InstanceCount": 1, "VolumeSizeInGB": 30, **members}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"TrainingJobName": "a" * 63},
        {"Environment": {f"N{n}": "v" * 512 for n in range(100)}},
        {"Tags": [{"Key": f"team/{n}", "Value": "Größe: 1 @ x=y"} for n in range(50)]},
        {"AlgorithmSpecification.ContainerArguments": ["x" * 256] * 100},
        SPOT,
        {"ResourceConfig": preferring("ml.m5.large", "ml.c5.xlarge", "ml.m5.xlarge")},
        {"ResourceConfig.KeepAlivePeriodInSeconds": 21_600},
        {"StoppingCondition": None},
        {"ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1}},  # local disks
    ],
)
def test_valid_requests_are_accepted(changes: dict[str, Any]) -> None:
    check_creation(requested(changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TrainingJobName": "with_underscore"}, "trainingJobName.*regular expression"),
        ({"TrainingJobName": "ends-"}, "trainingJobName.*regular expression"),
        ({"TrainingJobName": "a" * 64}, "length less than or equal to 63"),
        ({"RoleArn": "arn:aws:iam::12:role/training"}, "roleArn.*regular expression"),
        ({"OutputDataConfig": None}, "null at 'outputDataConfig'.*must not be null"),
        ({"OutputDataConfig.S3OutputPath": "bucket/output"}, "s3OutputPath.*regular"),
        ({"Environment": {f"N{n}": "" for n in range(101)}}, "environment.*equal to 100"),
        ({"Environment": {"N": "v" * 513}}, "environment.N.value.*equal to 512"),
        ({"Environment": {"a-b": "v"}}, "environment.a-b.key.*regular expression"),
        ({"AlgorithmSpecification.ContainerArguments": ["x" * 257]}, "equal to 256"),
        ({"AlgorithmSpecification.ContainerArguments": ["x"] * 101}, "equal to 100"),
        ({"AlgorithmSpecification.ContainerArguments": ["two\nlines"]}, "regular expression"),
        ({"AlgorithmSpecification.ContainerArguments": []}, "greater than or equal to 1"),
        ({"AlgorithmSpecification.ContainerEntrypoint": ["x" * 257]}, "equal to 256"),
        ({"AlgorithmSpecification.TrainingImage": "x" * 256}, "trainingImage.*equal to 255"),
        ({"AlgorithmSpecification.TrainingImage": None}, "TrainingImage"),
        ({"AlgorithmSpecification.TrainingInputMode": "Files"}, "enum value set"),
        ({"AlgorithmSpecification": None}, "AlgorithmSpecification is required"),
        ({"Tags": [{"Key": str(n), "Value": ""} for n in range(51)]}, "tags.*equal to 50"),
        ({"Tags": [{"Key": "a", "Value": "x" * 257}]}, "tags.1.member.value.*equal to 256"),
        ({"Tags": [{"Key": "a", "Value": "semi;colon"}]}, "regular expression"),
        ({"Tags": [{"Key": "aws:a", "Value": ""}]}, "aws: prefixed"),
        ({"Tags": [{"Key": "a", "Value": ""}] * 2}, "Duplicate tag keys"),
        ({"ResourceConfig": None}, "ResourceConfig is required"),
        ({"ResourceConfig.InstanceType": "ml.m6a.large"}, "enum value set"),
        ({"ResourceConfig.InstanceType": "m5.large"}, "enum value set"),
        ({"ResourceConfig.InstanceType": None}, "needs InstanceType or InstancePreferences"),
        ({"ResourceConfig.InstanceCount": 0}, "InstanceCount must be at least 1"),
        ({"ResourceConfig.VolumeSizeInGB": None}, "VolumeSizeInGB is required"),
        (
            {"ResourceConfig.InstanceType": "ml.g5.xlarge", "ResourceConfig.VolumeSizeInGB": 300},
            "larger than the 250 GB of local storage",
        ),
        (
            {
                "ResourceConfig.InstanceType": "ml.g5.xlarge",
                "ResourceConfig.VolumeSizeInGB": None,
                "ResourceConfig.VolumeKmsKeyId": "alias/disks",
            },
            "VolumeKmsKeyId is not supported for instance type ml.g5.xlarge",
        ),
        ({"ResourceConfig.SelectedInstanceType": "ml.m5.large"}, "read-only"),
        ({"ResourceConfig.KeepAlivePeriodInSeconds": 21_601}, "equal to 21600"),
        ({"ResourceConfig.KeepAlivePeriodInSeconds": 60, **SPOT}, "KeepAlivePeriodInSeconds"),
        ({"ResourceConfig": preferring(*["ml.m5.large"] * 6)}, "equal to 5"),
        ({"ResourceConfig": preferring("ml.m5.large", "ml.m5.large")}, "only once"),
        ({"ResourceConfig": preferring("ml.m5.large"), **SPOT}, "mutually exclusive"),
        (
            {"ResourceConfig": preferring("ml.m5.large", InstanceType="ml.m5.large")},
            "mutually exclusive",
        ),
        ({"ResourceConfig": {"InstancePreferences": []}}, "greater than or equal to 1"),
        (
            {
                "ResourceConfig": {
                    "InstancePreferences": [{"InstanceType": "ml.m5.large"}],
                    "VolumeSizeInGB": 1,
                }
            },
            "InstanceCount must be set",
        ),
        ({"StoppingCondition.MaxRuntimeInSeconds": 0}, "greater than or equal to 1"),
        ({"StoppingCondition.MaxRuntimeInSeconds": 2_419_201}, "MaxRuntimeInSeconds"),
        ({"StoppingCondition.MaxWaitTimeInSeconds": 3600}, "only supported when"),
        ({"EnableManagedSpotTraining": True}, "It must be present"),
        (
            {"EnableManagedSpotTraining": True, "StoppingCondition.MaxWaitTimeInSeconds": 3599},
            "greater than or equal to MaxRuntimeInSeconds",
        ),
        ({"VpcConfig": {"Subnets": ["subnet-1"]}}, "securityGroupIds.*must not be null"),
        ({"RetryStrategy": {"MaximumRetryAttempts": 31}}, "equal to 30"),
        ({"Invented": 1}, "Invented"),
        ({"ServerlessJobConfig": {"BaseModelArn": "x"}}, "baseModelArn|ServerlessJobConfig"),
    ],
)
def test_invalid_requests_are_rejected_with_the_reason(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationException, match=message):
        check_creation(requested(changes))


def test_all_violations_are_reported_together() -> None:
    with pytest.raises(ValidationException, match="3 validation errors") as error:
        check_creation(requested({"TrainingJobName": "a_b", "RoleArn": "x"}))
    assert "trainingJobName" in str(error.value) and "roleArn" in str(error.value)
