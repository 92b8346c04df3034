from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.testing.batch.validation import (
    ClientException,
    check_job_definition,
    check_reason,
    check_submission,
)

RULE = {"onExitCode": "1", "action": "RETRY"}


def submission(**members: Any) -> dict[str, Any]:
    return {"jobName": "job", **members}


@pytest.mark.parametrize(
    "members",
    [
        {"jobName": "a"},
        {"arrayProperties": {"size": 2}},
        {"arrayProperties": {"size": 10_000}},
        {"jobName": "A-b_9" + "x" * 123},
        {"dependsOn": [{"jobId": str(n)} for n in range(20)]},
        {"timeout": {"attemptDurationSeconds": 60}},
        {"retryStrategy": {"attempts": 10, "evaluateOnExit": [RULE] * 5}},
        {"tags": {str(n): "" for n in range(50)}},
        {"containerOverrides": {"command": ["x" * (8192 - len('{"command":[""]}'))]}},
        {"containerOverrides": {"environment": [{"name": "BATCH", "value": "1"}]}},
        {"containerOverrides": {"resourceRequirements": [{"type": "GPU", "value": "8"}]}},
    ],
)
def test_valid_requests_are_accepted(members: dict[str, Any]) -> None:
    check_submission(submission(**members), size_bytes=30 * 1024)


@pytest.mark.parametrize(
    "members",
    [
        {"jobName": ""},
        {"jobName": "-job"},
        {"jobName": "my job"},
        {"jobName": "job\n"},
        {"jobName": "x" * 129},
        {"dependsOn": [{"jobId": str(n)} for n in range(21)]},
        {"timeout": {"attemptDurationSeconds": 59}},
        {"retryStrategy": {"attempts": 0}},
        {"retryStrategy": {"attempts": 11}},
        {"retryStrategy": {"attempts": 2, "evaluateOnExit": [RULE] * 6}},
        {"retryStrategy": {"evaluateOnExit": [RULE]}},
        {"retryStrategy": {"attempts": 2, "evaluateOnExit": [RULE | {"onExitCode": "1?"}]}},
        {"retryStrategy": {"attempts": 2, "evaluateOnExit": [RULE | {"action": "STOP"}]}},
        {"retryStrategy": {"attempts": 2, "evaluateOnExit": [RULE | {"onReason": "x" * 513}]}},
        {"retryStrategy": {"attempts": 2, "evaluateOnExit": [RULE | {"onReason": "no-such"}]}},
        {"tags": {str(n): "" for n in range(51)}},
        {"tags": {"k" * 129: ""}},
        {"tags": {"k": "v" * 257}},
        {"tags": {"aws:k": "v"}},
        {"containerOverrides": {"command": ["x" * 8192]}},
        {"containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}},
        {"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": "0.5"}]}},
        {"containerOverrides": {"resourceRequirements": [{"type": "MEMORY", "value": "16Gi"}]}},
        {"containerOverrides": {"resourceRequirements": [{"type": "DISK", "value": "1"}]}},
        {"arrayProperties": {"size": 1}},
        {"arrayProperties": {"size": 10_001}},
    ],
)
def test_invalid_requests_are_rejected(members: dict[str, Any]) -> None:
    with pytest.raises(ClientException):
        check_submission(submission(**members), size_bytes=1024)


def test_a_submission_above_30_kib_is_rejected() -> None:
    with pytest.raises(ClientException, match="payload"):
        check_submission(submission(), size_bytes=30 * 1024 + 1)


@pytest.mark.parametrize(
    "members",
    [
        {"jobDefinitionName": "my definition"},
        {"timeout": {"attemptDurationSeconds": 1}},
        {"retryStrategy": {"attempts": 11}},
        {"containerProperties": {"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}},
    ],
)
def test_a_job_definition_has_the_same_limits(members: dict[str, Any]) -> None:
    with pytest.raises(ClientException):
        check_job_definition({"jobDefinitionName": "definition", **members})


@pytest.mark.parametrize("reason", ["", "x" * 1025])
def test_an_empty_or_long_reason_is_rejected(reason: str) -> None:
    with pytest.raises(ClientException, match="reason"):
        check_reason({"jobId": "1", "reason": reason})


EFA = "/dev/infiniband/uverbs0"


def definition(*devices: dict[str, Any], **members: Any) -> dict[str, Any]:
    container = {"linuxParameters": {"devices": list(devices)}}
    return {"jobDefinitionName": "d", "containerProperties": container, **members}


@pytest.mark.parametrize(
    "device",
    [
        {"hostPath": EFA},
        {"hostPath": EFA, "containerPath": EFA, "permissions": ["READ", "MKNOD", "WRITE"]},
        {"hostPath": "/dev/fuse", "containerPath": "/dev/other", "permissions": ["READ"]},
    ],
)
def test_devices_of_containers_are_accepted(device: dict[str, Any]) -> None:
    check_job_definition(definition(device))


@pytest.mark.parametrize(
    ("device", "members", "message"),
    [
        ({"hostPath": ""}, {}, "requires hostPath"),
        ({"hostPath": EFA, "containerPath": "/dev/efa"}, {}, "containerPath must be"),
        ({"hostPath": EFA, "permissions": ["READ"]}, {}, "must be READ, WRITE and MKNOD"),
        ({"hostPath": EFA}, {"platformCapabilities": ["FARGATE"]}, "on Fargate"),
    ],
)
def test_devices_that_a_container_can_t_have_are_refused(
    device: dict[str, Any], members: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientException, match=message):
        check_job_definition(definition(device, **members))


FILES = {"fileSystemId": "fs-0123456789abcdef0"}
ENCRYPTED = {**FILES, "transitEncryption": "ENABLED"}
WITH_POINT = {"authorizationConfig": {"accessPointId": "fsap-0123456789abcdef0"}}
WITH_IAM = {"authorizationConfig": {"iam": "ENABLED"}}


def with_efs(**configuration: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", "efsVolumeConfiguration": configuration}]}


@pytest.mark.parametrize(
    "container",
    [
        with_efs(**FILES),
        {**with_efs(**ENCRYPTED, **WITH_IAM), "jobRoleArn": "arn"},
        with_efs(**ENCRYPTED, **WITH_POINT, rootDirectory="/"),
        {
            "volumes": [{"name": "v", "host": {"sourcePath": "/mnt"}}],
            "mountPoints": [{"sourceVolume": "v", "containerPath": "/mnt"}],
        },
        {"ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}]},
        {"linuxParameters": {"sharedMemorySize": 64}},
    ],
)
def test_mounts_and_limits_of_containers_are_accepted(container: dict[str, Any]) -> None:
    check_job_definition({"jobDefinitionName": "d", "containerProperties": container})


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (with_efs(**FILES, **WITH_IAM), "require transitEncryption"),
        (with_efs(**ENCRYPTED, **WITH_IAM), "requires jobRoleArn"),
        (with_efs(**ENCRYPTED, **WITH_POINT, rootDirectory="/a"), "rootDirectory must be"),
        ({"volumes": [{"name": "my volume"}]}, "Volume name"),
        ({"mountPoints": [{"sourceVolume": "v", "containerPath": "/a"}]}, "unknown volume v"),
        ({"ulimits": [{"name": "files", "softLimit": 1, "hardLimit": 2}]}, "Unknown ulimit"),
        ({"linuxParameters": {"sharedMemorySize": 0}}, "must be above 0"),
    ],
)
def test_mounts_and_limits_that_a_container_can_t_have_are_refused(
    container: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientException, match=message):
        check_job_definition({"jobDefinitionName": "d", "containerProperties": container})


@pytest.mark.parametrize(
    "container",
    [
        {"ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}]},
        {"linuxParameters": {"sharedMemorySize": 64}},
        {"volumes": [{"name": "v", "host": {}}]},
    ],
)
def test_a_definition_for_fargate_has_none_of_them(container: dict[str, Any]) -> None:
    members = {"containerProperties": container, "platformCapabilities": ["FARGATE"]}
    with pytest.raises(ClientException, match="Fargate"):
        check_job_definition({"jobDefinitionName": "d", **members})
