"""Access control in the emulator: users, jobs and services may do what their policies allow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import BUCKET

pytestmark = pytest.mark.contract

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role"


def client(aws: Emulator, service: str, keys: Mapping[str, str] | None = None) -> Any:
    """Return a client with the credentials of the account's user, or with others."""
    environment = {**aws.environment, **(keys or {})}
    return boto3.session.Session().client(
        service,  # type: ignore[call-overload]  # any service
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=environment.get("AWS_SESSION_TOKEN") or None,
    )


def denied(call: Any, **arguments: Any) -> dict[str, Any]:
    """Return the error of a call that must be denied."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return dict(caught.value.response["Error"])


def define(batch: Any, **container: Any) -> str:
    """Register a job definition whose jobs have the account's job role."""
    roles = {"jobRoleArn": f"{ROLE}/flowyml-emulator-job", **container}
    return str(batch.define("other", containerProperties=roles))


PRINT_ERROR = """
import boto3, botocore
try:
    {call}
except botocore.exceptions.ClientError as error:
    print(error.response["Error"]["Code"])
except botocore.exceptions.NoCredentialsError:
    print("no credentials")
else:
    print("allowed")
"""


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code"),
    [
        ("s3", "list_buckets", {}, "AccessDenied"),
        ("s3", "create_bucket", {"Bucket": "another"}, "AccessDenied"),
        ("s3", "delete_bucket", {"Bucket": BUCKET}, "AccessDenied"),
        ("iam", "list_roles", {}, "AccessDenied"),
        ("ec2", "run_instances", {"MinCount": 1, "MaxCount": 1}, "UnauthorizedOperation"),
        ("ssm", "get_parameter", {"Name": "/other"}, "AccessDeniedException"),
        ("logs", "create_log_group", {"logGroupName": "g"}, "AccessDeniedException"),
        ("batch", "delete_job_queue", {"jobQueue": "q"}, "AccessDeniedException"),
        ("sagemaker", "list_tags", {"ResourceArn": "arn:x"}, "AccessDeniedException"),
    ],
)
def test_a_user_may_do_only_what_the_policy_allows(
    aws: Emulator, service: str, operation: str, arguments: dict[str, Any], code: str
) -> None:
    error = denied(getattr(client(aws, service), operation), **arguments)
    assert error["Code"] == code
    assert error["Message"].startswith(
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/flowyml-emulator-user/emulator is not "
        f"authorized to perform: {service}:"
    )
    assert "because no identity-based policy allows the" in error["Message"]


@pytest.mark.parametrize(
    "call",
    [
        "boto3.client('s3').list_buckets()",
        "boto3.client('iam').list_roles()",
        "boto3.client('ssm').put_parameter(Name='/flowyml-aws/emulator', Value='x')",
        f"boto3.client('s3').delete_object(Bucket='{BUCKET}', Key='flowyml/artifacts/x')",
        f"boto3.client('s3').put_object(Bucket='{BUCKET}', Key='flowyml/runs/r/run.json')",
    ],
)
def test_a_job_may_do_only_what_its_role_allows(batch: Any, call: str) -> None:
    code = PRINT_ERROR.format(call=call)
    job = batch.submit(code, jobDefinition=define(batch))
    batch.ended(job)
    assert batch.log(job) in (["AccessDenied"], ["AccessDeniedException"])


def test_a_job_has_the_permissions_of_its_role(batch: Any) -> None:
    target = {"Bucket": BUCKET, "Key": "flowyml/artifacts/ab/abcd", "IfNoneMatch": "*"}
    call = f"boto3.client('s3').put_object(**{target})"
    job = batch.submit(PRINT_ERROR.format(call=call), jobDefinition=define(batch))
    batch.ended(job)
    assert batch.log(job) == ["allowed"]


def test_a_job_without_a_role_has_no_credentials(batch: Any) -> None:
    job = batch.submit(PRINT_ERROR.format(call="boto3.client('s3').list_buckets()"))
    batch.ended(job)
    assert batch.log(job) == ["no credentials"]


def test_a_missing_object_is_denied_to_those_who_may_not_list(aws: Emulator) -> None:
    iam = aws.client("iam")
    allowed = {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
    }
    iam.put_role_policy(
        RoleName="flowyml-emulator-user",
        PolicyName="user",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    aws.client("s3").put_object(Bucket=BUCKET, Key="k", Body=b"content")
    s3 = client(aws, "s3")
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"content"
    assert denied(s3.get_object, Bucket=BUCKET, Key="missing")["Code"] == "AccessDenied"
    assert denied(s3.head_object, Bucket=BUCKET, Key="missing")["Code"] == "403"


def test_a_missing_object_is_missing_to_those_who_may_list(aws: Emulator) -> None:
    s3 = client(aws, "s3")
    assert denied(s3.get_object, Bucket=BUCKET, Key="flowyml/missing")["Code"] == "NoSuchKey"


def test_changes_of_a_policy_apply_to_the_next_call(aws: Emulator) -> None:
    s3 = client(aws, "s3")
    s3.put_object(Bucket=BUCKET, Key="flowyml/cache/k", Body=b"")
    deny = {"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"}
    aws.client("iam").put_role_policy(
        RoleName="flowyml-emulator-user",
        PolicyName="no-writes",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": deny}),
    )
    error = denied(s3.put_object, Bucket=BUCKET, Key="flowyml/cache/k", Body=b"")
    assert "with an explicit deny in an identity-based policy" in error["Message"]


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("ec2", "describe_instances", "AuthFailure"),
        ("sagemaker", "list_training_jobs", "UnrecognizedClientException"),
    ],
)
def test_unknown_credentials_are_refused(
    aws: Emulator, service: str, operation: str, code: str
) -> None:
    keys = {
        "AWS_ACCESS_KEY_ID": "AKIAUNKNOWN",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "",
    }
    assert denied(getattr(client(aws, service, keys), operation))["Code"] == code


def test_temporary_credentials_need_their_session_token(aws: Emulator) -> None:
    sts = client(aws, "sts", {"AWS_SESSION_TOKEN": "another"})
    assert denied(sts.get_caller_identity)["Code"] == "InvalidClientTokenId"


def test_a_session_policy_limits_an_assumed_role(aws: Emulator) -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    session = aws.client("sts").assume_role(
        RoleArn=f"{ROLE}/flowyml-emulator-user",
        RoleSessionName="reader",
        Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )["Credentials"]
    keys = {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
    error = denied(
        client(aws, "s3", keys).put_object, Bucket=BUCKET, Key="flowyml/cache/k", Body=b""
    )
    assert "because no session policy allows the s3:PutObject action" in error["Message"]


def test_a_users_access_key_has_the_policies_of_the_user_and_its_groups(aws: Emulator) -> None:
    iam = aws.client("iam")
    iam.create_user(UserName="mary")
    iam.create_group(GroupName="readers")
    statement = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
    iam.put_group_policy(
        GroupName="readers",
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    key = iam.create_access_key(UserName="mary")["AccessKey"]
    keys = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_SESSION_TOKEN": "",
    }
    s3 = client(aws, "s3", keys)
    assert denied(s3.list_buckets)["Code"] == "AccessDenied"
    iam.add_user_to_group(UserName="mary", GroupName="readers")
    assert s3.list_buckets()["Buckets"]


def test_a_job_whose_role_does_not_trust_ecs_does_not_start(batch: Any, aws: Emulator) -> None:
    definition = define(batch, jobRoleArn=f"{ROLE}/flowyml-emulator-sagemaker")
    job = batch.ended(batch.submit(jobDefinition=definition))
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert "unable to assume the role" in job["attempts"][0]["container"]["reason"]


def test_a_job_does_not_start_if_its_execution_role_may_not_write_the_log(batch: Any) -> None:
    options = {"awslogs-group": "/another"}
    definition = define(
        batch,
        executionRoleArn=f"{ROLE}/flowyml-emulator-execution",
        logConfiguration={"logDriver": "awslogs", "options": options},
    )
    job = batch.ended(batch.submit(jobDefinition=definition))
    reason = job["attempts"][0]["container"]["reason"]
    assert reason.startswith("CannotStartContainerError")
    assert "logs:CreateLogStream" in reason


def test_a_job_does_not_start_if_its_execution_role_may_not_pull_the_image(batch: Any) -> None:
    definition = define(
        batch,
        executionRoleArn=f"{ROLE}/flowyml-emulator-execution",
        image=f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/another:1",
    )
    job = batch.ended(batch.submit(jobDefinition=definition))
    reason = job["attempts"][0]["container"]["reason"]
    assert reason.startswith("CannotPullECRContainerError")
    assert "repository/another" in reason


def test_a_training_job_needs_a_role_that_sagemaker_can_assume(training: Any) -> None:
    for role in ("flowyml-emulator-job", "no-such-role"):
        error = denied(training.create, RoleArn=f"{ROLE}/{role}")
        assert error["Code"] == "ValidationException"
        assert "Could not assume role" in error["Message"]


def test_a_training_job_fails_if_its_role_may_not_read_a_channel(
    training: Any, aws: Emulator
) -> None:
    aws.client("s3").put_object(Bucket=BUCKET, Key="private/x", Body=b"")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/private/"}
    channel = {"ChannelName": "c", "DataSource": {"S3DataSource": source}}
    job = training.ended(training.create(InputDataConfig=[channel]))
    assert job["TrainingJobStatus"] == "Failed"
    assert "s3:GetObject" in job["FailureReason"]


def test_denials_and_used_permissions_are_recorded(aws: Emulator) -> None:
    s3 = client(aws, "s3")
    s3.put_object(Bucket=BUCKET, Key="flowyml/cache/k", Body=b"")
    denied(s3.list_buckets)
    (denial,) = aws.guard.denials
    assert denial.caller == "flowyml-emulator-user"
    assert denial.need.action == "s3:ListAllMyBuckets"
    assert denial.statement is not None
    assert denial.statement["Action"] == "s3:ListAllMyBuckets"
    used = {(need.action, need.resource) for need in aws.guard.used["flowyml-emulator-user"]}
    assert used == {("s3:PutObject", f"arn:aws:s3:::{BUCKET}/flowyml/cache/*")}


def test_the_lenient_switch_allows_and_records_what_would_be_denied() -> None:
    with Emulator(lenient=["iam"]) as aws:
        assert client(aws, "s3").list_buckets()["Buckets"]
        assert [denial.need.action for denial in aws.guard.denials] == ["s3:ListAllMyBuckets"]


def test_a_bucket_policy_applies_to_every_caller_of_the_account(aws: Emulator) -> None:
    resource = f"arn:aws:s3:::{BUCKET}/flowyml/cache/*"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": resource}
    tls = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny, tls]})
    aws.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=policy)
    s3 = client(aws, "s3")
    s3.put_object(Bucket=BUCKET, Key="flowyml/cache/k", Body=b"")
    error = denied(s3.delete_object, Bucket=BUCKET, Key="flowyml/cache/k")
    assert "with an explicit deny in a resource-based policy" in error["Message"]


def test_a_missing_bucket_is_missing_to_everybody(aws: Emulator) -> None:
    s3 = client(aws, "s3")
    assert denied(s3.head_bucket, Bucket="no-such-bucket")["Code"] == "404"
    assert denied(s3.get_object, Bucket="no-such-bucket", Key="k")["Code"] == "NoSuchBucket"
