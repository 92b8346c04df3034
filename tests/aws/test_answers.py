"""Answers that botocore can't read are errors with a reason and a fix, and reads are repeated."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from flowyml_aws.aws.connection.clients import AwsClients
from flowyml_aws.aws.errors import may_have_arrived
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, AwsRefusedError
from tests.support.refusing import Answer, answering

pytestmark = pytest.mark.contract

XML = {"Content-Type": "application/xml", "x-amz-request-id": "1"}
JSON = {"Content-Type": "application/json", "x-amzn-RequestId": "1"}
MISSING = b"<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>"
LISTING = b"<ListBucketResult><Contents><Key>runs/a</Key></Contents></ListBucketResult>"
PAGE = Answer(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html>Sign in</html>")
JOBS = b'{"jobs": [{"jobId": "1", "jobName": "train", "status": "RUNNABLE"}]}'
SUBMITTED = b'{"jobName": "train", "jobId": "1"}'
SUBMISSION = {"jobName": "train", "jobQueue": "cpu", "jobDefinition": "train"}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


def client_of(service: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    return AwsClients(None).client(service)


def test_a_read_is_repeated_after_a_reset_in_the_body_of_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering(Answer(404, XML, MISSING, "reset"), Answer(404, XML, MISSING)) as server:
        store = S3ArtifactStore(client_of("s3", server.endpoint, monkeypatch), "bucket")
        with pytest.raises(ArtifactNotFoundError):
            store.get("runs/a/run.json")
    assert len(server.calls) == 2


def test_a_read_is_repeated_after_a_list_that_was_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(Answer(200, XML, LISTING, "closed"), Answer(200, XML, LISTING)) as server:
        store = S3ArtifactStore(client_of("s3", server.endpoint, monkeypatch), "bucket")
        assert store.children("runs/") == ["a"]


def test_an_answer_in_json_that_was_cut_off_is_not_read_as_an_empty_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering(Answer(200, JSON, JOBS, "closed"), Answer(200, JSON, JOBS)) as server:
        batch = client_of("batch", server.endpoint, monkeypatch)
        assert batch.describe_jobs(jobs=["1"])["jobs"][0]["status"] == "RUNNABLE"


def test_a_submission_whose_answer_was_cut_off_is_not_repeated_and_may_have_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering(Answer(200, JSON, SUBMITTED, "closed")) as server:
        batch = client_of("batch", server.endpoint, monkeypatch)
        with pytest.raises(BotoCoreError, match="SubmitJob was cut off after") as caught:
            batch.submit_job(**SUBMISSION)
    assert len(server.calls) == 1
    assert may_have_arrived(caught.value)


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("s3", "get_object", {"Bucket": "bucket", "Key": "runs/a"}),
        ("s3", "head_object", {"Bucket": "bucket", "Key": "runs/a"}),
        ("s3", "list_objects_v2", {"Bucket": "bucket"}),
        ("batch", "describe_jobs", {"jobs": ["1"]}),
        ("batch", "submit_job", SUBMISSION),
        ("ssm", "get_parameter", {"Name": "/flowyml-aws/prod"}),
        ("sts", "get_caller_identity", {}),
        ("ec2", "describe_instance_types", {}),
    ],
)
def test_a_sign_in_page_is_not_an_answer_of_aws(
    service: str, operation: str, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(PAGE) as server:
        client = client_of(service, server.endpoint, monkeypatch)
        with pytest.raises(BotoCoreError, match=r"web page|can't be read"):
            getattr(client, operation)(**parameters)


def test_the_error_for_a_sign_in_page_says_so_in_place_of_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering(PAGE) as server:
        store = S3ArtifactStore(client_of("s3", server.endpoint, monkeypatch), "bucket")
        with pytest.raises(AwsRefusedError) as caught:
            store.get("runs/a/run.json")
    assert "a network that asks to sign in" in caught.value.why
    assert "check the network, the proxy" in caught.value.fix


@pytest.mark.parametrize("endpoint", ["localhost:4566", "http://[bad"])
def test_an_endpoint_that_is_not_a_url_is_an_error_that_names_it(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AwsRefusedError) as caught:
        client_of("s3", endpoint, monkeypatch)
    assert "AWS_ENDPOINT_URL" in caught.value.fix
