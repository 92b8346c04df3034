"""The alerts of an account: which ends of jobs are reported, and what the messages contain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.aws.batch.jobs import MOVE_REASON
from flowyml_aws.runtime.exit_codes import MOVES, SECOND_COPY
from flowyml_aws.submission.record import RunState
from flowyml_aws.testing import Emulator
from tests.support.alerts import Inbox
from tests.support.rigs import BackendRig, eventually, raised_emulator
from tests.testing.conftest import BatchClient, TrainingClient

pytestmark = pytest.mark.contract

ACCOUNT, REGION = "123456789012", "us-east-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as emulator:
        yield emulator
        assert emulator.failed_invocations == []


@pytest.fixture(scope="module")
def shared_inbox(aws: Emulator) -> Inbox:
    return Inbox(aws)


@pytest.fixture(scope="module")
def training(aws: Emulator) -> TrainingClient:
    return TrainingClient(aws)


@pytest.fixture
def inbox(shared_inbox: Inbox) -> Inbox:
    shared_inbox.read()
    return shared_inbox


@pytest.fixture
def rig(aws: Emulator, tmp_path: Path) -> BackendRig:
    settings = {**aws.environment, "FLOWYML_AWS_POLL_S": "0.2"}
    return BackendRig("batch", tmp_path / "project", settings)


def test_a_run_sends_one_message_about_the_job_that_failed(rig: BackendRig, inbox: Inbox) -> None:
    with rig.entered():
        result = rig.pipeline("falling").run(backend="batch")
    assert not result.success
    (alert,) = inbox.read()
    assert alert["alert"] == "A Batch job failed"
    assert "fail" in alert["job"]
    assert alert["reason"] == "Essential container in task exited"


def test_a_cancelled_run_sends_none(rig: BackendRig, inbox: Inbox) -> None:
    with rig.entered():
        run = rig.pipeline("waiting").submit(backend="batch", cache=False)
        eventually(lambda: "wait" in rig.ran(), "the first job waiting")
        run.cancel()
        eventually(lambda: run.status().state is RunState.CANCELLED, "the end of the run")
    assert inbox.read() == []


@pytest.mark.thorough  # the test below replaces the driver by a small job
def test_a_detached_run_sends_none_about_its_driver_if_a_job_failed(
    aws: Emulator, rig: BackendRig, inbox: Inbox
) -> None:
    with rig.entered():
        rig.pipeline("falling").submit(backend="sagemaker", detach=True)
    batch = aws.client("batch")
    listed = {"jobQueue": "flowyml-emulator-driver", "jobStatus": "FAILED"}
    eventually(lambda: batch.list_jobs(**listed)["jobSummaryList"], "the end of the driver")
    (alert,) = inbox.read()
    assert alert["alert"] == "A training job failed"
    assert alert["reason"].startswith("AlgorithmError: ")


@pytest.mark.parametrize("code", [1, 3])
def test_a_driver_that_fails_by_itself_is_reported(code: int, aws: Emulator, inbox: Inbox) -> None:
    batch = BatchClient(aws)
    job = batch.submit(f"raise SystemExit({code})", jobQueue="flowyml-emulator-driver")
    batch.ended(job)
    assert [alert["alert"] for alert in inbox.read()] == (
        [] if code == 1 else ["The driver of a detached run failed"]
    )


@pytest.mark.parametrize("code", [SECOND_COPY, *MOVES, 3])
def test_a_second_copy_and_a_job_that_moves_send_none(
    code: int, aws: Emulator, inbox: Inbox
) -> None:
    batch = BatchClient(aws)
    batch.ended(batch.submit(f"raise SystemExit({code})", jobQueue="flowyml-emulator-cpu"))
    expected = ["A Batch job failed"] if code == 3 else []
    assert [alert["alert"] for alert in inbox.read()] == expected


def test_an_array_sends_a_message_about_each_child_that_failed_for_good(
    aws: Emulator, inbox: Inbox
) -> None:
    batch = BatchClient(aws)
    codes = [3, *MOVES]
    code = f"import os; raise SystemExit({codes}[int(os.environ['AWS_BATCH_JOB_ARRAY_INDEX'])])"
    batch.ended(batch.submit(code, arrayProperties={"size": len(codes)}))
    assert [alert["alert"] for alert in inbox.read()] == ["A Batch job failed"]


@pytest.mark.parametrize("node", [None, 0, 1])
def test_of_a_job_on_several_nodes_only_the_job_itself_sends_a_message(
    node: int | None, aws: Emulator, inbox: Inbox
) -> None:
    from moto.events.models import events_backends

    pattern = events_backends[ACCOUNT][REGION].event_buses["default"].rules["job-failed"]
    detail: dict[str, Any] = {
        "jobQueue": f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/flowyml-emulator-cpu",
        "status": "FAILED",
        "statusReason": "Essential container in task exited",
    }
    if node is None:
        detail["nodeProperties"] = {"numNodes": 2}
    else:
        detail["nodeDetails"] = {"nodeIndex": node, "isMainNode": node == 0}
    event: Any = {"source": "aws.batch", "detail-type": "Batch Job State Change", "detail": detail}
    assert pattern.event_pattern.matches_event(event) is (node is None)


def test_a_job_that_is_withdrawn_from_its_queue_sends_none(aws: Emulator, inbox: Inbox) -> None:
    batch = BatchClient(aws)
    aws.faults.withhold("flowyml-emulator-cpu")
    try:
        job = batch.submit("pass", jobQueue="flowyml-emulator-cpu")
        aws.client("batch").terminate_job(jobId=job, reason=MOVE_REASON)
        batch.ended(job)
    finally:
        aws.faults.withhold("flowyml-emulator-cpu", None)
    assert inbox.read() == []


@pytest.mark.parametrize("code", [*MOVES, 3])
def test_a_training_job_that_moves_sends_none(
    code: int, training: TrainingClient, inbox: Inbox
) -> None:
    training.ended(training.create(f"raise SystemExit({code})"))
    expected = ["A training job failed"] if code == 3 else []
    assert [alert["alert"] for alert in inbox.read()] == expected


def test_a_reason_with_quotes_and_line_breaks_arrives_unchanged(
    training: TrainingClient, inbox: Inbox
) -> None:
    reason = 'no "x" in\nline 2: \\<job>'
    name = training.create(
        "import os, pathlib; "
        "(pathlib.Path(os.environ['SAGEMAKER_BASE_DIR']) / 'output/failure')"
        f".write_text({reason!r}); raise SystemExit(1)"
    )
    training.ended(name)
    (alert,) = inbox.read()
    assert alert["job"] == name
    assert reason in alert["reason"]
