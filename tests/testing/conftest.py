from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from flowyml_aws.testing import Emulator

DEADLINE_S = 30
TRAINING_LOG = "/aws/sagemaker/TrainingJobs"


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


class TrainingClient:
    """Uses an emulator's SageMaker as a client does."""

    def __init__(self, aws: Emulator) -> None:
        self.aws = aws
        self.api = aws.client("sagemaker")
        self._number = 0

    def request(self, code: str = "pass", name: str = "job", **members: Any) -> dict[str, Any]:
        """CreateTrainingJob's members for Python code; a member that is None is left out."""
        # Arguments hold no line ends, the values of variables do.
        environment = {"CODE": code, **(members.pop("Environment", None) or {})}
        request = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": aws_image(self.aws),
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python"],
                "ContainerArguments": ["-c", "import os; exec(os.environ['CODE'])"],
            },
            "RoleArn": "arn:aws:iam::123456789012:role/training",
            "OutputDataConfig": {"S3OutputPath": "s3://flowyml-aws-emulator/output"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            "Environment": environment,
            **members,
        }
        return {member: value for member, value in request.items() if value is not None}

    def create(self, code: str = "pass", name: str | None = None, **members: Any) -> str:
        """Create a job of Python code and return its name."""
        if name is None:
            self._number += 1
            name = f"job-{self._number}"
        self.api.create_training_job(**self.request(code, name, **members))
        return name

    def job(self, name: str) -> dict[str, Any]:
        return dict(self.api.describe_training_job(TrainingJobName=name))

    def ended(self, name: str) -> dict[str, Any]:
        final = ("Completed", "Failed", "Stopped")
        wait_until(lambda: self.job(name)["TrainingJobStatus"] in final, f"the end of {name}")
        return self.job(name)

    def when(self, name: str, secondary: str) -> dict[str, Any]:
        """The job as soon as it has this secondary status."""
        wait_until(lambda: self.job(name)["SecondaryStatus"] == secondary, f"{name} {secondary}")
        return self.job(name)

    def history(self, name: str) -> list[str]:
        """The secondary statuses that it had, in order."""
        told = [one["Status"] for one in self.job(name)["SecondaryStatusTransitions"]]
        return [status for at, status in enumerate(told) if at == 0 or told[at - 1] != status]

    def streams(self, name: str) -> list[str]:
        """The job's log streams, the first one first."""
        logs = self.aws.client("logs")
        found = logs.describe_log_streams(logGroupName=TRAINING_LOG, logStreamNamePrefix=f"{name}/")
        return sorted(stream["logStreamName"] for stream in found["logStreams"])

    def log(self, name: str) -> list[str]:
        """The lines that all its containers have printed so far."""
        logs = self.aws.client("logs")
        return [
            str(event["message"])
            for stream in self.streams(name)
            for event in logs.get_log_events(
                logGroupName=TRAINING_LOG, logStreamName=stream, startFromHead=True
            )["events"]
        ]

    def says(self, name: str, line: str, times: int = 1) -> None:
        """Wait until the job has printed a line."""
        self.when(name, "Training")
        wait_until(lambda: self.log(name).count(line) == times, f"{name} printing {line!r}")


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


@pytest.fixture
def connect_training() -> type[TrainingClient]:
    """Makes a client of an emulator that the test starts itself."""
    return TrainingClient


@pytest.fixture
def training(aws: Emulator) -> TrainingClient:
    return TrainingClient(aws)
