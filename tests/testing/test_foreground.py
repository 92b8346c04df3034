from __future__ import annotations

import io
import os
import shlex
import signal
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.testing import serve

pytestmark = pytest.mark.contract


class Terminal(io.StringIO):
    """Output stream for `serve` that calls a function when everything is printed."""

    def __init__(self, when_printed: Callable[[dict[str, str]], None]) -> None:
        super().__init__()
        self._when_printed = when_printed

    def flush(self) -> None:
        lines = [shlex.split(line) for line in self.getvalue().splitlines()]
        assert all(command == "export" for command, _ in lines)
        settings = {}
        for _, setting in lines:
            name, _, value = setting.partition("=")
            settings[name] = value
        self._when_printed(settings)


def start_a_job(settings: dict[str, str]) -> int:
    """Start a job with only the printed settings, and return its process id."""
    session: Any = boto3.session.Session(
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=settings["AWS_SESSION_TOKEN"],
        region_name=settings["AWS_DEFAULT_REGION"],
    )
    batch = session.client("batch", endpoint_url=settings["AWS_ENDPOINT_URL"])
    logs = session.client("logs", endpoint_url=settings["AWS_ENDPOINT_URL"])
    group = settings["FLOWYML_AWS_LOG_GROUP"]
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    batch.register_job_definition(
        jobDefinitionName="flowyml-aws-test",
        type="container",
        containerProperties={
            "image": settings["FLOWYML_AWS_IMAGE"],
            "command": ["sh", "-c", "echo $$; exec sleep 60"],
            "resourceRequirements": needs,
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": group}},
        },
    )
    queue = settings["FLOWYML_AWS_QUEUES"].partition(",")[0]
    job_id = batch.submit_job(jobName="job", jobQueue=queue, jobDefinition="flowyml-aws-test")[
        "jobId"
    ]
    while (job := batch.describe_jobs(jobs=[job_id])["jobs"][0])["status"] != "RUNNING":
        pass
    log = {"logGroupName": group, "logStreamName": job["container"]["logStreamName"]}
    while not (events := logs.get_log_events(**log, startFromHead=True)["events"]):
        pass
    return int(events[0]["message"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_serves_until_a_signal_and_then_kills_the_jobs(number: signal.Signals) -> None:
    jobs: list[int] = []

    def use_and_stop(settings: dict[str, str]) -> None:
        jobs.append(start_a_job(settings))
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    serve(out=Terminal(use_and_stop))
    with pytest.raises(ProcessLookupError):
        os.kill(jobs[0], 0)
    assert signal.getsignal(number) == before


def test_it_listens_on_the_requested_port() -> None:
    with pytest.raises(SettingsError, match="port 70000"):
        serve(port=70_000)
