from __future__ import annotations

import pickle
from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused


def told(code: str, operation: str = "SubmitJob") -> ClientError:
    error: Any = {"Error": {"Code": code, "Message": "as AWS says"}}
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
        ("ClientException", "read the message"),
    ],
)
def test_each_refusal_tells_the_service_s_words_and_what_to_do(code: str, fix: str) -> None:
    error = refused(told(code), "submit job 'train'")
    assert error.what == "Can't submit job 'train'"
    assert f"SubmitJob: {code}: as AWS says" in error.why
    assert fix in error.fix


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("UploadPart", "s3:PutObject"),
        ("ListObjectsV2", "s3:ListBucket"),
        # S3 says "denied" of a missing object to who may not list the bucket.
        ("GetObject", "s3:GetObject and s3:ListBucket"),
    ],
)
def test_a_denied_call_to_s3_names_the_permission(operation: str, action: str) -> None:
    assert action in refused(told("AccessDenied", operation), "read").fix


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
        (exceptions.ParamValidationError(report="bad"), "read the message"),
    ],
)
def test_what_stops_a_call_on_its_way_tells_what_to_do(error: BotoCoreError, fix: str) -> None:
    assert fix in refused(error, "read s3://bucket/key").fix
    assert str(error) in refused(error, "read s3://bucket/key").why


def test_an_answer_without_a_body_has_an_empty_code() -> None:
    assert error_code(ClientError({}, "HeadObject")) == ""


def test_a_refusal_survives_pickling() -> None:
    error = refused(told("AccessDenied"), "submit")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
