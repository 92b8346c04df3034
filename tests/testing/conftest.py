from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from tests.support.rigs import raised_emulator

DEADLINE_S = 30
TRAINING_LOG = "/aws/sagemaker/TrainingJobs"


def wait_until(condition: Callable[[], Any], what: str = "it") -> Any:
    """Wait until `condition` returns a true value, and return that value."""
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_S} s"
        time.sleep(0.01)
    return value


class BatchClient:
    """A client of an emulator's Batch."""

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
        response = self.api.register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=container, **members
        )
        return str(response["jobDefinitionArn"])

    def submit(self, code: str = "pass", *, after: Sequence[str] = (), **members: Any) -> str:
        """Submit Python code, by default to the CPU queue, and return the job id."""
        overrides = {"command": ["python", "-c", code], **members.pop("containerOverrides", {})}
        request = {
            "jobName": "job",
            "jobQueue": "flowyml-emulator-cpu",
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

    def wait_for_status(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """Wait until the job is in one of these states, and return it."""
        wait_until(lambda: self.status(job_id) in statuses, f"{job_id} in {statuses}")
        return self.job(job_id)

    def ended(self, job_id: str) -> dict[str, Any]:
        return self.wait_for_status(job_id, "SUCCEEDED", "FAILED")

    def log(self, job_id: str, group: str = "/aws/batch/job") -> list[str]:
        """Return the lines that the latest attempt has printed so far."""
        stream = self.job(job_id)["container"].get("logStreamName")
        if stream is None:
            return []
        events = self.aws.client("logs").get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=True
        )["events"]
        return [str(event["message"]) for event in events]

    def wait_for_line(self, job_id: str, line: str) -> None:
        """Wait until the job has printed a line."""
        wait_until(lambda: line in self.log(job_id), f"{job_id} printing {line!r}")


class TrainingClient:
    """A client of an emulator's SageMaker."""

    def __init__(self, aws: Emulator) -> None:
        self.aws = aws
        self.api = aws.client("sagemaker")
        self._number = 0

    def request(self, code: str = "pass", name: str = "job", **members: Any) -> dict[str, Any]:
        """Return a CreateTrainingJob request for Python code, without members that are None."""
        # Arguments can't contain line ends, environment variables can.
        environment = {"CODE": code, **(members.pop("Environment", None) or {})}
        store = self.aws.environment["FLOWYML_AWS_STORE"]
        request = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": aws_image(self.aws),
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python"],
                "ContainerArguments": ["-c", "import os; exec(os.environ['CODE'])"],
            },
            "RoleArn": self.aws.environment["FLOWYML_AWS_SAGEMAKER_ROLE"],
            "OutputDataConfig": {"S3OutputPath": f"{store}/runs/r/jobs/j/sagemaker"},
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
        """Create a job that runs Python code, and return its name."""
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

    def wait_for_status(self, name: str, secondary: str) -> dict[str, Any]:
        """Wait until the job has this secondary status, and return it."""
        wait_until(lambda: self.job(name)["SecondaryStatus"] == secondary, f"{name} {secondary}")
        return self.job(name)

    def history(self, name: str) -> list[str]:
        """Return the job's secondary statuses so far, in order."""
        transitions = self.job(name)["SecondaryStatusTransitions"]
        return [status for status, _ in groupby(entry["Status"] for entry in transitions)]

    def streams(self, name: str) -> list[str]:
        """Return the names of the job's log streams, oldest first."""
        streams = self.aws.client("logs").describe_log_streams(
            logGroupName=TRAINING_LOG, logStreamNamePrefix=f"{name}/"
        )["logStreams"]
        return sorted(stream["logStreamName"] for stream in streams)

    def log(self, name: str) -> list[str]:
        """Return the lines that all containers of the job have printed so far."""
        logs = self.aws.client("logs")
        return [
            str(event["message"])
            for stream in self.streams(name)
            for event in logs.get_log_events(
                logGroupName=TRAINING_LOG, logStreamName=stream, startFromHead=True
            )["events"]
        ]

    def wait_for_line(self, name: str, line: str, times: int = 1) -> None:
        """Wait until the job has printed a line `times` times."""
        self.wait_for_status(name, "Training")
        wait_until(lambda: self.log(name).count(line) == times, f"{name} printing {line!r}")


def aws_image(aws: Emulator) -> str:
    return aws.environment["FLOWYML_AWS_IMAGE"]


@pytest.fixture
def connect() -> type[BatchClient]:
    """Factory of Batch clients, for emulators that a test starts itself."""
    return BatchClient


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with raised_emulator(propagation_s=5.0) as aws:
        yield aws


@pytest.fixture
def batch(aws: Emulator) -> BatchClient:
    return BatchClient(aws)


@pytest.fixture
def connect_training() -> type[TrainingClient]:
    """Factory of SageMaker clients, for emulators that a test starts itself."""
    return TrainingClient


@pytest.fixture
def training(aws: Emulator) -> TrainingClient:
    return TrainingClient(aws)
