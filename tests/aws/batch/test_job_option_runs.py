"""A run whose steps choose queue, priority, role, image, limits, mounts and job definition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.core.errors import AwsRefusedError, InvalidPipelineError
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import NAMES
from flowyml_aws.testing.account_policies import account_policy
from tests.support.queues import make_queue
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = pytest.mark.contract

QUEUE = "flowyml-emulator-shared"
ROLE = "arn:aws:iam::123456789012:role/training"


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        batch: Any = aws.client("batch")
        policy = batch.create_scheduling_policy(name="shares", fairsharePolicy={})["arn"]
        make_queue(batch, QUEUE, ["m6i.large"], policy=policy)
        yield aws


@pytest.fixture
def rig(aws: Emulator, tmp_path: Path) -> BackendRig:
    queues = {"FLOWYML_AWS_QUEUES": f"flowyml-emulator-cpu,{QUEUE}"}
    return BackendRig("batch", tmp_path / "project", {**aws.environment, **queues})


def create_role(aws: Emulator) -> None:
    """Create the role of the step, with the policy of the account's jobs."""
    iam: Any = aws.client("iam")
    iam.create_role(
        RoleName="training", AssumeRolePolicyDocument=account_policy("trust-tasks", NAMES)
    )
    iam.put_role_policy(
        RoleName="training", PolicyName="job", PolicyDocument=account_policy("job", NAMES)
    )


def allow_passing(aws: Emulator) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": ROLE,
        "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
    }
    iam: Any = aws.client("iam")
    iam.put_role_policy(
        RoleName="flowyml-emulator-user",
        PolicyName="step-roles",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


def define(aws: Emulator) -> str:
    """Register the job definition that a step names, and return its ARN."""
    environment = aws.environment
    batch: Any = aws.client("batch")
    return str(
        batch.register_job_definition(
            jobDefinitionName="flowyml-aws-team",
            type="container",
            containerProperties={
                "image": environment["FLOWYML_AWS_IMAGE"],
                "jobRoleArn": environment["FLOWYML_AWS_JOB_ROLE"],
                "command": ["true"],
                "resourceRequirements": [
                    {"type": "VCPU", "value": "1"},
                    {"type": "MEMORY", "value": "512"},
                ],
            },
        )["jobDefinitionArn"]
    )


def described_jobs(aws: Emulator) -> dict[str, Any]:
    batch: Any = aws.client("batch")
    found = {}
    for queue in (QUEUE, "flowyml-emulator-cpu"):
        listed = batch.list_jobs(
            jobQueue=queue, filters=[{"name": "AFTER_CREATED_AT", "values": ["0"]}]
        )["jobSummaryList"]
        details = batch.describe_jobs(jobs=[job["jobId"] for job in listed])["jobs"]
        found.update({detail["tags"]["flowyml-aws:job"]: detail for detail in details})
    return found


def test_each_job_has_the_options_of_its_step(aws: Emulator, rig: BackendRig) -> None:
    create_role(aws)
    allow_passing(aws)
    with rig.entered():
        pipeline = rig.pipeline("job_options")
        with pytest.raises(InvalidPipelineError, match="No active job definition") as caught:
            pipeline.submit(backend="batch")
        assert len(caught.value.problems) == 1
        team = define(aws)
        result = pipeline.run(backend="batch", progress=False)
    assert result.success, result.summary()
    assert result["identity"].startswith("arn:aws:sts::123456789012:assumed-role/training/")
    assert result["number"] == 1
    jobs = described_jobs(aws)
    assert jobs["report"]["jobDefinition"] == team
    assert jobs["train"]["jobQueue"].endswith(f":job-queue/{QUEUE}")
    container = jobs["train"]["container"]
    assert container["jobRoleArn"] == ROLE
    assert container["linuxParameters"]["sharedMemorySize"] == 256
    assert container["ulimits"] == [{"name": "nofile", "softLimit": 1024, "hardLimit": 65536}]
    assert container["mountPoints"] == [
        {"sourceVolume": "mount-0", "containerPath": "/mnt/models", "readOnly": True}
    ]


def test_a_role_that_the_user_may_not_pass_is_an_error_that_names_it(
    aws: Emulator, rig: BackendRig
) -> None:
    define(aws)
    with rig.entered(), pytest.raises(AwsRefusedError, match="iam:PassRole") as caught:
        rig.pipeline("job_options").submit(backend="batch")
    assert ROLE in str(caught.value)
