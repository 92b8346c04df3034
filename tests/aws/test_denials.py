from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.aws.denials import parse_denial
from flowyml_aws.aws.errors import refused

SESSION = "arn:aws:sts::123456789012:assumed-role/flowyml-main-job/0123abcd"


@pytest.mark.parametrize(
    ("message", "why", "fix"),
    [
        (
            f"User: {SESSION} is not authorized to perform: s3:GetObject on resource: "
            '"arn:aws:s3:::bucket/cache/k.json" because no identity-based policy allows the '
            "s3:GetObject action",
            "role 'flowyml-main-job' is not allowed s3:GetObject on "
            "arn:aws:s3:::bucket/cache/k.json because no identity-based policy allows the "
            "s3:GetObject action",
            "add to the policies of role 'flowyml-main-job': "
            '{"Effect": "Allow", "Action": "s3:GetObject", '
            '"Resource": "arn:aws:s3:::bucket/cache/k.json"}',
        ),
        (
            "User: arn:aws:iam::123456789012:user/mary is not authorized to perform: "
            "batch:ListJobs because no identity-based policy allows the batch:ListJobs action",
            "arn:aws:iam::123456789012:user/mary is not allowed batch:ListJobs because no "
            "identity-based policy allows the batch:ListJobs action",
            "add to the policies of arn:aws:iam::123456789012:user/mary: "
            '{"Effect": "Allow", "Action": "batch:ListJobs", "Resource": "*"}',
        ),
        (
            f"User: {SESSION} is not authorized to perform: s3:PutObject on resource: "
            "arn:aws:s3:::bucket/k with an explicit deny in a resource-based policy",
            "role 'flowyml-main-job' is not allowed s3:PutObject on arn:aws:s3:::bucket/k with an "
            "explicit deny in a resource-based policy",
            "remove the Deny statement for s3:PutObject from a resource-based policy",
        ),
        (
            f"User: {SESSION} is not authorized to perform: batch:SubmitJob on resource: arn:q "
            "because no permissions boundary allows the batch:SubmitJob action",
            "role 'flowyml-main-job' is not allowed batch:SubmitJob on arn:q because no "
            "permissions boundary allows the batch:SubmitJob action",
            "add to the permissions boundary of role 'flowyml-main-job': "
            '{"Effect": "Allow", "Action": "batch:SubmitJob", "Resource": "arn:q"}',
        ),
    ],
    ids=["no policy", "no resource", "explicit deny", "boundary"],
)
def test_a_denial_names_the_action_the_principal_and_the_statement_to_add(
    message: str, why: str, fix: str
) -> None:
    response: Any = {"Error": {"Code": "AccessDenied", "Message": message}}
    error = refused(ClientError(response, "AnOperation"), "do it")
    assert error.why == f"AnOperation: AccessDenied: {why}"
    assert error.fix == fix


def test_another_message_is_no_denial() -> None:
    assert parse_denial("Access Denied") is None
