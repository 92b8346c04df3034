from __future__ import annotations

import pickle
from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, may_have_arrived, refused


def client_error_of_status(status: int) -> ClientError:
    response: Any = {"ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "SubmitJob")


def client_error(code: str, operation: str = "SubmitJob") -> ClientError:
    error: Any = {"Error": {"Code": code, "Message": "the message of AWS"}}
    return ClientError(error, operation)


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        ("AccessDenied", "allow SubmitJob"),
        ("AccessDeniedException", "allow SubmitJob"),
        ("403", "allow SubmitJob"),
        ("ExpiredToken", "sign in again"),
        ("ExpiredTokenException", "sign in again"),
        ("InvalidClientTokenId", "correct the keys"),
        ("UnrecognizedClientException", "correct the keys"),
        ("SignatureDoesNotMatch", "correct the secret key"),
        ("RequestTimeTooSkewed", "clock"),
        ("NoSuchBucket", "create the bucket"),
        ("PermanentRedirect", "AWS_REGION"),
        ("TooManyRequestsException", "wait a minute"),
        ("400", "sign in again"),
        ("ClientException", "correct what AWS reports"),
    ],
)
def test_a_refused_call_is_an_error_with_the_service_s_message_and_a_fix(
    code: str, fix: str
) -> None:
    error = refused(client_error(code), "submit job 'train'")
    assert error.what == "Can't submit job 'train'"
    assert f"SubmitJob: {code}: the message of AWS" in error.why
    assert fix in error.fix


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("UploadPart", "s3:PutObject"),
        ("ListObjectsV2", "s3:ListBucket"),
        # Without s3:ListBucket, S3 reports a missing object as denied.
        ("GetObject", "s3:GetObject and s3:ListBucket"),
    ],
)
def test_a_denied_s3_call_names_the_permission(operation: str, action: str) -> None:
    assert action in refused(client_error("AccessDenied", operation), "read").fix


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (exceptions.NoCredentialsError(), "aws configure"),
        (exceptions.PartialCredentialsError(provider="env", cred_var="key"), "aws configure"),
        (exceptions.UnauthorizedSSOTokenError(), "sign in again"),
        (exceptions.TokenRetrievalError(provider="sso", error_msg="expired"), "sign in again"),
        (exceptions.ProfileNotFound(profile="work"), "AWS_PROFILE"),
        (exceptions.NoRegionError(), "AWS_REGION"),
        (exceptions.EndpointConnectionError(endpoint_url="https://s3"), "network"),
        (exceptions.ConnectTimeoutError(endpoint_url="https://s3"), "network"),
        (exceptions.ReadTimeoutError(endpoint_url="https://s3"), "network"),
        (exceptions.ParamValidationError(report="bad"), "check the network"),
    ],
)
def test_a_call_that_does_not_reach_aws_is_an_error_with_a_fix(
    error: BotoCoreError, fix: str
) -> None:
    assert fix in refused(error, "read s3://bucket/key").fix
    assert str(error) in refused(error, "read s3://bucket/key").why


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ReadTimeoutError(endpoint_url="https://batch"),
        exceptions.ConnectionClosedError(endpoint_url="https://batch"),
        client_error_of_status(500),
    ],
)
def test_a_call_without_an_answer_may_have_arrived(error: ClientError | BotoCoreError) -> None:
    assert may_have_arrived(error)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.NoCredentialsError(),
        exceptions.ParamValidationError(report="bad"),
        client_error_of_status(400),
        ClientError({}, "SubmitJob"),
    ],
)
def test_a_call_that_was_refused_or_not_sent_has_had_no_effect(
    error: ClientError | BotoCoreError,
) -> None:
    assert not may_have_arrived(error)


def test_a_response_without_a_body_has_an_empty_code() -> None:
    assert error_code(ClientError({}, "HeadObject")) == ""


def test_the_error_survives_pickling() -> None:
    error = refused(client_error("AccessDenied"), "submit")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
