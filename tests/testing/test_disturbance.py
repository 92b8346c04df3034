from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.testing import ApiCall, Emulator
from flowyml_aws.testing.disturbance import CallFault
from tests.support.rigs import raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("disturbance")]

ONCE = Config(retries={"total_max_attempts": 1, "mode": "standard"})


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


def client(aws: Emulator, service: str) -> Any:
    environment = aws.administrator
    session: Any = boto3.Session()
    return session.client(
        service,
        config=ONCE,
        endpoint_url=aws.endpoint_url,
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=environment.get("AWS_SESSION_TOKEN"),
    )


@pytest.fixture(scope="module")
def bucket(aws: Emulator) -> str:
    return aws.environment["FLOWYML_AWS_STORE"].split("/")[2]


@pytest.fixture
def s3(aws: Emulator) -> Iterator[Any]:
    client_of_s3 = client(aws, "s3")
    yield client_of_s3
    aws.faults.disturb(None)
    client_of_s3.close()


def disturb(aws: Emulator, operation: str, fault: CallFault) -> None:
    def fault_of(call: ApiCall, access_key: str) -> CallFault | None:
        assert access_key
        return fault if call.operation == operation else None

    aws.faults.disturb(fault_of)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (CallFault.UNAVAILABLE, 503),
        (CallFault.INTERNAL_ERROR, 500),
        (CallFault.THROTTLED, 429),
    ],
)
def test_a_service_that_refuses_a_call_does_nothing(
    aws: Emulator, s3: Any, bucket: str, fault: CallFault, status: int
) -> None:
    disturb(aws, "PutObject", fault)
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key=f"refused-{status}", Body=b"1")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix=f"refused-{status}")


@pytest.mark.parametrize(
    ("service", "operation", "call", "code"),
    [
        ("s3", "ListBuckets", "list_buckets", "ExpiredToken"),
        ("ec2", "DescribeInstanceTypes", "describe_instance_types", "RequestExpired"),
        ("iam", "ListRoles", "list_roles", "ExpiredToken"),
        ("batch", "ListJobs", "list_jobs", "ExpiredTokenException"),
        ("sagemaker", "ListTrainingJobs", "list_training_jobs", "ExpiredTokenException"),
    ],
)
@pytest.mark.usefixtures("s3")
def test_each_service_has_its_own_error_for_expired_credentials(
    aws: Emulator, service: str, operation: str, call: str, code: str
) -> None:
    disturb(aws, operation, CallFault.EXPIRED)
    with closing(client(aws, service)) as caller, pytest.raises(ClientError) as caught:
        getattr(caller, call)()
    assert caught.value.response["Error"]["Code"] == code


@pytest.mark.usefixtures("s3")
def test_a_head_request_with_expired_credentials_has_no_code(aws: Emulator, bucket: str) -> None:
    disturb(aws, "HeadObject", CallFault.EXPIRED)
    with closing(client(aws, "s3")) as caller, pytest.raises(ClientError) as caught:
        caller.head_object(Bucket=bucket, Key="any")
    assert caught.value.response["Error"]["Code"] == "400"


@pytest.mark.parametrize(("fault", "is_stored"), [(CallFault.RESET, False), (CallFault.LOST, True)])
def test_a_call_whose_answer_is_lost_takes_effect_and_a_reset_one_does_not(
    aws: Emulator, s3: Any, bucket: str, fault: CallFault, is_stored: bool
) -> None:
    disturb(aws, "PutObject", fault)
    with pytest.raises(BotoCoreError):
        s3.put_object(Bucket=bucket, Key=f"key-{fault.value}", Body=b"1")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"key-{fault.value}")
    assert ("Contents" in listed) is is_stored


def test_an_answer_that_is_cut_breaks_while_its_body_is_read(
    aws: Emulator, s3: Any, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="cut", Body=b"0123456789")
    disturb(aws, "GetObject", CallFault.CUT)
    with (
        closing(s3.get_object(Bucket=bucket, Key="cut")["Body"]) as body,
        pytest.raises(BotoCoreError),
    ):
        body.read()


def test_errors_of_services_with_json_are_recognized(aws: Emulator, s3: Any) -> None:
    disturb(aws, "DescribeJobs", CallFault.THROTTLED)
    with (
        closing(client(aws, "batch")) as batch,
        pytest.raises(ClientError, match="ThrottlingException"),
    ):
        batch.describe_jobs(jobs=["x"])


def test_calls_that_are_not_chosen_are_answered(aws: Emulator, s3: Any, bucket: str) -> None:
    disturb(aws, "PutObject", CallFault.RESET)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] >= 0
