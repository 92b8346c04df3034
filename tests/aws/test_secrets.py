"""Secrets of steps: where their values are, and where they are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import NAMES
from flowyml_aws.testing.account_policies import account_policy
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("secrets")]

VALUE = "correct-horse-battery"
PASSWORD = "staple-9471"
PROGRAM = """
import os
from flowyml_aws import Pipeline, step

@step(outputs=["size"], secrets={{"TOKEN": {token!r}}})
def use():
    print("the token is", os.environ["TOKEN"], "and", os.environ["PASSWORD"])
    if {fails}:
        raise ValueError(f"refused {{os.environ['TOKEN']}}")
    return len(os.environ["TOKEN"])

pipeline = Pipeline("secret", secrets={{"PASSWORD": {password!r}}})
pipeline.add_step(use)
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


@pytest.fixture(scope="module")
def references(aws: Emulator) -> tuple[str, str]:
    """A secret with two keys, and a parameter."""
    text = json.dumps({"password": PASSWORD, "user": "ana"})
    arn = aws.client("secretsmanager").create_secret(Name="team/login", SecretString=text)["ARN"]
    aws.client("ssm").put_parameter(Name="/team/token", Value=VALUE, Type="SecureString")
    return "/team/token", f"{arn}:password::"


@pytest.fixture
def allowed(aws: Emulator, references: tuple[str, str]) -> None:
    """The option `secret_arns` of infra/. Not by requests, which take effect after a delay."""
    arns = [
        f"arn:aws:ssm:us-east-1:{DEFAULT_ACCOUNT_ID}:parameter/team/*",
        references[1].removesuffix(":password::"),
    ]
    names = {**NAMES, "secret_arns": json.dumps(arns)}
    for role in ("execution", "sagemaker"):
        iam_backends[DEFAULT_ACCOUNT_ID]["aws"].put_role_policy(
            f"flowyml-emulator-{role}", "secrets", account_policy("optional/secrets", names)
        )


@pytest.fixture
def denied(aws: Emulator) -> None:
    for role in ("execution", "sagemaker"):
        backend = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
        backend.get_role(f"flowyml-emulator-{role}").policies.pop("secrets", None)


def program(rig: BackendRig, token: str, password: str, fails: bool = False) -> Any:
    file = rig.folder / "secret.py"
    file.write_text(PROGRAM.format(token=token, password=password, fails=fails))
    return load_pipeline(str(file))


def everything(aws: Emulator, rig: BackendRig) -> str:
    """Return all objects of the store, all descriptions of jobs, and all logs."""
    bucket, _, prefix = rig.environment["FLOWYML_AWS_STORE"].removeprefix("s3://").partition("/")
    s3, logs, batch = aws.client("s3"), aws.client("logs"), aws.client("batch")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())
    parts = [s3.get_object(Bucket=bucket, Key=o["Key"])["Body"].read() for o in listed]
    texts = [part.decode(errors="replace") for part in parts]
    for group in (found["logGroupName"] for found in logs.describe_log_groups()["logGroups"]):
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
            events = logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )
            texts += [event["message"] for event in events["events"]]
    texts.append(json.dumps(batch.describe_job_definitions(), default=str))
    for status in ("SUCCEEDED", "FAILED"):
        found = batch.list_jobs(jobQueue="flowyml-emulator-cpu", jobStatus=status)["jobSummaryList"]
        described = batch.describe_jobs(jobs=[job["jobId"] for job in found])
        texts.append(json.dumps(described, default=str))
    texts.append(json.dumps(aws.training_requests(), default=str))
    return "\n".join(texts)


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(("backend", "fails"), [("batch", False), ("sagemaker", True)])
def test_only_the_job_gets_the_values(
    aws: Emulator, rig: BackendRig, references: tuple[str, str], backend: str, fails: bool
) -> None:
    result = program(rig, *references, fails).run(backend=backend, progress=False)
    assert result.success is not fails, str(result.status.jobs)
    if not fails:
        assert result["size"] == len(VALUE)
    aws.advance(5)
    seen = everything(aws, rig)
    assert "the token is *** and ***" in seen
    assert references[0] in seen
    assert VALUE not in seen and PASSWORD not in seen
    if fails:
        assert "refused ***" in result.step_results["use"].error


@pytest.mark.usefixtures("denied")
@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("batch", "Fetching secret data from "),
        ("sagemaker", "is not allowed secretsmanager:GetSecretValue on arn:aws:"),
    ],
)
def test_a_role_that_may_not_read_a_secret_fails_the_job_with_the_reason(
    rig: BackendRig, references: tuple[str, str], backend: str, reason: str
) -> None:
    result = program(rig, *references).run(backend=backend, progress=False)
    assert not result.success
    text = str(result.status.jobs)
    assert reason in text, text


@pytest.mark.parametrize(
    ("backend", "missing"),
    [
        ("batch", "/team/missing"),
        ("sagemaker", "arn:aws:secretsmanager:us-east-1:123456789012:secret:missing-AbCdEf"),
        ("local", "/team/missing"),
    ],
)
def test_a_missing_secret_is_refused_before_submission(
    aws: Emulator, rig: BackendRig, references: tuple[str, str], backend: str, missing: str
) -> None:
    aws.calls.clear()
    with pytest.raises(InvalidPipelineError) as caught:
        program(rig, missing, references[1]).run(backend=backend, progress=False)
    assert f"The secret {missing} does not exist" in str(caught.value)
    submitted = {"SubmitJob", "CreateTrainingJob", "GetSecretValue", "GetParameter"}
    assert not submitted & {call.operation for call in aws.calls if "team" in call.resource}


def test_a_local_job_uses_the_variable_of_the_client(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "local-token")
    monkeypatch.setenv("PASSWORD", "local-password")
    run = program(rig, "/team/missing", "/team/missing").submit(backend="local")
    assert run.wait()["size"] == len("local-token")
    assert any("the token is *** and ***" in line.message for line in run.logs())


def test_a_local_job_reads_other_secrets_with_the_credentials_of_the_client(
    aws: Emulator, rig: BackendRig, references: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.administrator.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    assert program(rig, *references).run(backend="local", progress=False)["size"] == len(VALUE)


def test_batch_needs_an_execution_role_for_secrets(
    rig: BackendRig, references: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWYML_AWS_EXECUTION_ROLE")
    with pytest.raises(InvalidPipelineError, match="Setting `execution_role` is missing"):
        program(rig, *references).run(backend="batch", progress=False)
