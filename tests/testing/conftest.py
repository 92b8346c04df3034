from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from flowyml_aws.testing import Emulator

DEADLINE_S = 30


def wait_until(condition: Callable[[], Any], what: str = "it") -> Any:
    """What `condition` returns as soon as it is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_S} s"
        time.sleep(0.01)
    return value


class BatchClient:
    """Uses an emulator's Batch as a client does."""

    def __init__(self, aws: Emulator) -> None:
        self.aws = aws
        self.api = aws.client("batch")
        self.definition = self.define()

    def define(self, name: str = "definition", **members: Any) -> str:
        container = {
            "image": aws_image(self.aws),
            "resourceRequirements": [
                {"type": "VCPU", "value": "1"},
                {"type": "MEMORY", "value": "512"},
            ],
            **members.pop("containerProperties", {}),
        }
        answer = self.api.register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=container, **members
        )
        return str(answer["jobDefinitionArn"])

    def submit(self, code: str = "pass", *, after: Sequence[str] = (), **members: Any) -> str:
        """Submit Python code, by default to the queue `cpu`, and return the job's id."""
        overrides = {"command": ["python", "-c", code], **members.pop("containerOverrides", {})}
        request = {
            "jobName": "job",
            "jobQueue": "cpu",
            "jobDefinition": self.definition,
            "dependsOn": [{"jobId": job_id} for job_id in after],
            "containerOverrides": overrides,
            **members,
        }
        return str(self.api.submit_job(**request)["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        (job,) = self.api.describe_jobs(jobs=[job_id])["jobs"]
        return dict(job)

    def status(self, job_id: str) -> str:
        return str(self.job(job_id)["status"])

    def when(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """The job as soon as it is in one of these states."""
        wait_until(lambda: self.status(job_id) in statuses, f"{job_id} in {statuses}")
        return self.job(job_id)

    def ended(self, job_id: str) -> dict[str, Any]:
        return self.when(job_id, "SUCCEEDED", "FAILED")

    def log(self, job_id: str, group: str = "/aws/batch/job") -> list[str]:
        """The lines that the latest attempt has printed so far."""
        stream = self.job(job_id)["container"].get("logStreamName")
        if stream is None:
            return []
        events = self.aws.client("logs").get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=True
        )["events"]
        return [str(event["message"]) for event in events]

    def says(self, job_id: str, line: str) -> None:
        """Wait until the job has printed a line."""
        wait_until(lambda: line in self.log(job_id), f"{job_id} printing {line!r}")


def aws_image(aws: Emulator) -> str:
    return aws.environment["FLOWYML_AWS_IMAGE"]


@pytest.fixture
def connect() -> type[BatchClient]:
    """Makes a client of an emulator that the test starts itself."""
    return BatchClient


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with Emulator() as aws:
        yield aws


@pytest.fixture
def batch(aws: Emulator) -> BatchClient:
    return BatchClient(aws)
