from __future__ import annotations

import io
import json
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.testing import serve

pytestmark = pytest.mark.contract


class Terminal(io.StringIO):
    """Output stream for `serve` that calls a function when everything is printed."""

    def __init__(self, when_printed: Callable[[dict[str, str]], None]) -> None:
        super().__init__()
        self._when_printed = when_printed
        self._is_printed = False

    def flush(self) -> None:
        if self._is_printed:
            return
        lines = [shlex.split(line) for line in self.getvalue().splitlines()]
        assert all(command == "export" for command, _ in lines)
        settings = {}
        for _, setting in lines:
            name, _, value = setting.partition("=")
            settings[name] = value
        self._is_printed = True
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
    err = io.StringIO()
    serve(out=Terminal(use_and_stop), err=err)
    with pytest.raises(ProcessLookupError):
        os.kill(jobs[0], 0)
    assert signal.getsignal(number) == before
    assert err.getvalue().splitlines()[-1] == f"Stopped by {number.name}: 1 job was killed"


def stop(settings: dict[str, str]) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_it_says_where_it_is_ready_what_it_emulates_and_how_it_ended() -> None:
    endpoints: list[str] = []

    def note_and_stop(settings: dict[str, str]) -> None:
        endpoints.append(settings["AWS_ENDPOINT_URL"])
        stop(settings)

    err = io.StringIO()
    serve(out=Terminal(note_and_stop), err=err)
    first, *rules, last = err.getvalue().splitlines()
    assert first == f"Ready at {endpoints[0]}, stop with Ctrl-C"
    topics = [line.strip().partition(":")[0] for line in rules]
    assert topics.pop(7).startswith("disks of jobs are ")
    assert topics == [
        *("account", "jobs", "emulated", "not emulated", "permissions", "quotas", "registry"),
        "instance metadata",
        "lenient",
    ]
    assert rules[-1].endswith("lenient: nothing")
    assert last == "Stopped by SIGINT: no jobs were killed"


def test_it_names_the_lenient_switches() -> None:
    err = io.StringIO()
    options: dict[str, Any] = {"time_scale": 0.01, "warm_imports": ["json"], "lenient": ["iam"]}
    serve(**options, out=Terminal(stop), err=err)
    assert (
        "lenient: iam (every caller may do everything; missing permissions are printed); "
        "time_scale (a second of a time limit lasts 0.01 s); "
        "warm_imports (jobs find json imported)\n"
    ) in err.getvalue()


def test_it_prints_denied_permissions_and_the_least_policies_of_what_was_run() -> None:
    def use_and_stop(settings: dict[str, str]) -> None:
        s3: Any = boto3.session.Session(
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=settings["AWS_SESSION_TOKEN"],
        ).client("s3", endpoint_url=settings["AWS_ENDPOINT_URL"])
        bucket = settings["FLOWYML_AWS_STORE"].split("/")[2]
        s3.put_object(Bucket=bucket, Key="flowyml/artifacts/a", Body=b"", IfNoneMatch="*")
        with pytest.raises(ClientError):
            s3.list_buckets()
        stop(settings)

    out, err = Terminal(use_and_stop), io.StringIO()
    serve(print_policy=True, out=out, err=err)
    assert "denied: flowyml-emulator-user: s3:ListAllMyBuckets" in err.getvalue()
    policies = json.loads(out.getvalue().partition("{")[2].join(["{", ""]))
    (statement,) = policies["flowyml-emulator-user"]["Statement"]
    assert statement["Action"] == "s3:PutObject"
    assert statement["Resource"].endswith("/flowyml/artifacts/*")


class LostTerminal(io.StringIO):
    """Stream of a terminal that no longer exists."""

    def write(self, text: str) -> int:
        raise OSError("Input/output error")


def test_it_stops_if_its_terminal_is_lost() -> None:
    serve(out=Terminal(stop), err=LostTerminal())


def test_an_image_that_can_not_run_is_an_error_before_settings_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tmp_path / "docker"
    engine.write_text(
        '#!/bin/sh\ntest "$1" = version || { echo "$5: image not known" >&2; exit 125; }\n'
    )
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SettingsError, match="docker can't run jobs of the image jobs:1") as caught:
        serve(containers="jobs:1", out=out, err=err)
    assert caught.value.why.endswith("image not known")
    assert out.getvalue() == ""
    assert err.getvalue() == "Trying the image jobs:1 …\n"


def test_it_listens_on_the_requested_port() -> None:
    with pytest.raises(SettingsError, match="port 70000"):
        serve(port=70_000)


@pytest.mark.parametrize(
    ("quotas", "text"), [("new-account", "without GPUs"), ("raised", "quotas: raised")]
)
def test_the_quotas_are_described_on_stderr(
    quotas: Any, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(lambda settings: os.kill(os.getpid(), signal.SIGTERM))
    serve(out=terminal, quotas=quotas)
    assert text in capsys.readouterr().err
