from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import BUCKET

pytestmark = pytest.mark.contract

PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def environment_of(batch: Any, job_id: str) -> dict[str, str]:
    assert batch.ended(job_id)["status"] == "SUCCEEDED"
    (line,) = batch.log(job_id)
    return dict(json.loads(line))


def test_a_job_succeeds_when_its_process_does(batch: Any) -> None:
    job = batch.ended(batch.submit("pass"))
    assert job["status"] == "SUCCEEDED"
    assert job["container"]["exitCode"] == 0
    assert job["createdAt"] <= job["startedAt"] <= job["stoppedAt"]


def test_a_job_fails_with_the_exit_code_of_its_process(batch: Any) -> None:
    job = batch.ended(batch.submit("raise SystemExit(7)"))
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 7)
    assert job["statusReason"] == "Essential container in task exited"
    assert "reason" not in job["container"]


def test_a_process_killed_by_a_signal_exits_with_128_plus_its_number(batch: Any) -> None:
    job = batch.ended(batch.submit("import os; os.kill(os.getpid(), 9)"))
    assert job["container"]["exitCode"] == 137


def test_a_program_that_cannot_start_fails_without_an_exit_code(batch: Any) -> None:
    job = batch.ended(batch.submit(containerOverrides={"command": ["no-such-program"]}))
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert job["container"]["reason"].startswith("CannotStartContainerError")
    assert "exitCode" not in job["container"]


def test_python_is_this_interpreter(batch: Any) -> None:
    for program in ("python", "python3"):
        command = {"command": [program, "-c", "import sys; print(sys.executable)"]}
        job_id = batch.submit(containerOverrides=command)
        batch.ended(job_id)
        assert batch.log(job_id) == [sys.executable]


def test_stdout_and_stderr_become_log_lines_in_order(batch: Any) -> None:
    job_id = batch.submit("import sys; print('one\\n\\nzwölf'); print('three', file=sys.stderr)")
    batch.ended(job_id)
    assert batch.log(job_id) == ["one", "zwölf", "three"]


def test_lines_appear_in_the_log_while_the_job_runs(batch: Any) -> None:
    job_id = batch.submit("import time; print('here'); time.sleep(60)")
    batch.wait_for_line(job_id, "here")
    assert batch.status(job_id) == "RUNNING"


def test_a_job_that_prints_nothing_has_an_empty_log(batch: Any) -> None:
    job_id = batch.submit("pass")
    batch.ended(job_id)
    assert batch.job(job_id)["container"]["logStreamName"].startswith("definition/default/")
    assert batch.log(job_id) == []


def test_the_log_options_of_the_definition_are_used(batch: Any) -> None:
    options = {"awslogs-group": "/mine", "awslogs-stream-prefix": "team"}
    log = {"logDriver": "awslogs", "options": options}
    definition = batch.define("with-log", containerProperties={"logConfiguration": log})
    job_id = batch.submit("print('there')", jobDefinition=definition)
    stream = batch.ended(job_id)["container"]["logStreamName"]
    assert stream.startswith("team/default/")
    assert batch.log(job_id, group="/mine") == ["there"]


def test_a_jobs_environment_identifies_the_job_and_the_emulator(batch: Any, aws: Emulator) -> None:
    job_id = batch.submit(PRINT_ENVIRONMENT, jobQueue="flowyml-emulator-t4")
    environment = environment_of(batch, job_id)
    assert environment["AWS_BATCH_JOB_ID"] == job_id
    assert environment["AWS_BATCH_JOB_ATTEMPT"] == "1"
    assert environment["AWS_BATCH_JQ_NAME"] == "flowyml-emulator-t4"
    for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        assert environment[name] == aws.environment[name]
    assert environment["PATH"] == os.environ["PATH"]


def test_a_job_inherits_no_other_variables(batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("MY_SECRET", "1")
    environment = environment_of(batch, batch.submit(PRINT_ENVIRONMENT))
    assert not {"AWS_PROFILE", "MY_SECRET"} & environment.keys()


def test_environment_overrides_take_precedence_over_the_definition(batch: Any) -> None:
    def entries(**values: str) -> list[dict[str, str]]:
        return [{"name": name, "value": value} for name, value in values.items()]

    definition = batch.define(
        "with-environment", containerProperties={"environment": entries(A="1", B="1")}
    )
    job_id = batch.submit(
        PRINT_ENVIRONMENT,
        jobDefinition=definition,
        containerOverrides={"environment": entries(B="2", C="2")},
    )
    environment = environment_of(batch, job_id)
    assert [environment[name] for name in "ABC"] == ["1", "2", "2"]
    described = batch.job(job_id)["container"]["environment"]
    assert sorted(described, key=lambda e: e["name"]) == entries(A="1", B="2", C="2")


def test_parameters_are_substituted_in_the_command(batch: Any) -> None:
    definition = batch.define(
        "with-parameters",
        parameters={"word": "default", "other": "kept"},
        containerProperties={"command": ["echo", "Ref::word", "x-Ref::other"]},
    )
    response = batch.api.submit_job(
        jobName="job",
        jobQueue="flowyml-emulator-cpu",
        jobDefinition=definition,
        parameters={"word": "given"},
    )
    batch.ended(response["jobId"])
    assert batch.log(response["jobId"]) == ["given x-kept"]


def test_a_job_can_import_the_package_but_not_its_checkout(batch: Any) -> None:
    code = (
        "import importlib.util as u, os, flowyml_aws\n"
        "root = os.environ['PYTHONPATH']\n"
        "print(sorted(os.listdir(root)), flowyml_aws.__file__.startswith(root))\n"
    )
    job_id = batch.submit(code)
    batch.ended(job_id)
    assert batch.log(job_id) == ["['flowyml_aws'] True"]


def test_each_attempt_has_a_fresh_folder_that_is_removed(batch: Any) -> None:
    code = "import os; print(os.getcwd(), os.listdir()); open('left', 'w').close(); os._exit(1)"
    job_id = batch.submit(code, retryStrategy={"attempts": 2})
    job = batch.ended(job_id)
    logs = batch.aws.client("logs")
    folders = set()
    for attempt in job["attempts"]:
        stream = attempt["container"]["logStreamName"]
        (event,) = logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream)[
            "events"
        ]
        folder, _, content = event["message"].partition(" ")
        assert content == "[]"
        folders.add(Path(folder))
    assert len(folders) == 2
    assert not any(folder.exists() for folder in folders)


def test_processes_that_a_job_leaves_running_are_killed(batch: Any, eventually: Any) -> None:
    code = (
        "import subprocess, sys\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)\n"
    )
    job_id = batch.submit(code)
    assert batch.ended(job_id)["status"] == "SUCCEEDED"
    (pid,) = batch.log(job_id)
    eventually(lambda: not is_alive(int(pid)), "the end of the child")


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_job_can_use_the_emulators_s3(batch: Any, aws: Emulator) -> None:
    code = (
        "import boto3\n"
        "s3 = boto3.client('s3')\n"
        f"s3.put_object(Bucket='{BUCKET}', Key='flowyml/cache/k', Body=b'from a job')\n"
    )
    role = {"jobRoleArn": aws.environment["FLOWYML_AWS_JOB_ROLE"]}
    definition = batch.define("with-a-role", containerProperties=role)
    assert batch.ended(batch.submit(code, jobDefinition=definition))["status"] == "SUCCEEDED"
    stored = aws.client("s3").get_object(Bucket=BUCKET, Key="flowyml/cache/k")
    assert stored["Body"].read() == b"from a job"
