"""New roles, which services and clients can't see for seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator
from tests.support.rigs import raised_emulator

pytestmark = pytest.mark.contract

LONGEST_DELAY_S = 24 * 3600.0
"""A fraction of it is still longer than a test takes on a busy machine."""


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with raised_emulator(propagation_s=LONGEST_DELAY_S) as aws:
        yield aws


@pytest.fixture
def role(aws: Emulator, batch: Any) -> str:
    """The ARN of a new role, in an account that skips no delays because a job is running."""
    batch.wait_for_status(batch.submit("import time; time.sleep(60)"), "RUNNING")
    service = {"Service": "sagemaker.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": service, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    created = aws.client("iam").create_role(RoleName="new", AssumeRolePolicyDocument=document)
    return str(created["Role"]["Arn"])


def test_a_new_role_is_found_after_a_delay(aws: Emulator, role: str) -> None:
    iam = aws.client("iam")
    with pytest.raises(iam.exceptions.NoSuchEntityException, match="new cannot be found"):
        iam.get_role(RoleName="new")
    aws.advance(LONGEST_DELAY_S)
    assert iam.get_role(RoleName="new")["Role"]["Arn"] == role


def test_policies_can_be_added_to_a_new_role_at_once(aws: Emulator, role: str) -> None:
    iam = aws.client("iam")
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName="new", PolicyName="p", PolicyDocument=document)
    aws.advance(LONGEST_DELAY_S)
    assert iam.list_role_policies(RoleName="new")["PolicyNames"] == ["p"]


def test_sagemaker_cannot_assume_a_new_role(aws: Emulator, role: str, training: Any) -> None:
    with pytest.raises(ClientError, match="Could not assume role"):
        training.create(RoleArn=role)
    aws.advance(LONGEST_DELAY_S)
    assert training.ended(training.create(RoleArn=role))["TrainingJobStatus"] == "Completed"


def test_roles_of_the_account_are_visible_from_the_start(aws: Emulator) -> None:
    assert aws.client("iam").get_role(RoleName="flowyml-emulator-job")["Role"]
