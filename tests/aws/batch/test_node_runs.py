"""A job on several nodes from its submission to its end, with the permissions of a user.

Its spec does not exist, so that each node ends at once. What nodes do together is tested with the
runner of jobs (`tests/contracts`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3 import Session

from flowyml_aws.aws.batch.backend import BatchBackend
from flowyml_aws.aws.batch.definition import JobImage
from flowyml_aws.aws.batch.diagnosis import RunnableDiagnosis
from flowyml_aws.aws.batch.jobs import END_REASON
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.runtime.exit_codes import BAD_INPUT
from flowyml_aws.submission.backend import JobState
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.machines.image_environment import image_environment
from tests.support.plans import a_job, a_plan, a_record
from tests.support.rigs import eventually, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("batch-nodes")]

QUEUE = "flowyml-emulator-cpu-nodes"
# Batch ends the other nodes with the main node, so it must start after they have ended.
MAIN_NODE_LAST = """
import atexit, os, pathlib, time

ended = pathlib.Path(__file__).with_name("ended")
if os.environ["AWS_BATCH_JOB_NODE_INDEX"] == os.environ["AWS_BATCH_JOB_MAIN_NODE_INDEX"]:
    while not ended.exists():
        time.sleep(0.01)
else:
    atexit.register(ended.touch)
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator(nodes=["cpu"]) as aws:
        yield aws


@pytest.fixture
def plan(tmp_path: Path) -> ExecutionPlan:
    """A job on two nodes, of which the main node starts last."""
    (tmp_path / "sitecustomize.py").write_text(MAIN_NODE_LAST, "utf-8")
    paths = [str(tmp_path), image_environment()["PYTHONPATH"]]
    job = a_job("train", target=QUEUE, needs=Needs(vcpus=1, memory_mib=512, nodes=2))
    return a_plan(job.model_copy(update={"environment": {"PYTHONPATH": os.pathsep.join(paths)}}))


@pytest.fixture
def backend(aws: Emulator, tmp_path: Path, plan: ExecutionPlan) -> BatchBackend:
    """The backend of a run with one job on two nodes."""
    session = Session(
        aws_access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=aws.environment["AWS_SESSION_TOKEN"],
        region_name="us-east-1",
    )
    batch: Any = session.client("batch", endpoint_url=aws.endpoint_url)
    settings = aws.environment
    return BatchBackend(
        batch=batch,
        logs=session.client("logs", endpoint_url=aws.endpoint_url),
        store=DirectoryArtifactStore(tmp_path),
        record=a_record(plan).model_copy(update={"run_id": f"run-{tmp_path.name}"}),
        plan=plan,
        image=JobImage(
            settings["FLOWYML_AWS_IMAGE"],
            settings["FLOWYML_AWS_JOB_ROLE"],
            settings["FLOWYML_AWS_EXECUTION_ROLE"],
            settings["FLOWYML_AWS_LOG_GROUP"],
        ),
        poll_s=0.05,
        diagnosis=RunnableDiagnosis(lambda _: batch, load_catalog, time.time),
    )


def test_the_nodes_run_and_their_main_node_says_how_the_job_ended(
    aws: Emulator, backend: BatchBackend, plan: ExecutionPlan
) -> None:
    backend.submit(plan.jobs, ())
    eventually(lambda: backend.statuses()["train"].state.ended)
    status = backend.statuses()["train"]
    assert (status.state, status.attempt) == (JobState.FAILED, 1)
    assert f"exit code {BAD_INPUT}" in (status.reason or "")
    assert not backend.is_active(plan.jobs)
    aws.calls.clear()
    lines, cursor = backend.logs("train", None)
    assert sum(call.operation == "DescribeJobs" for call in aws.calls) == 1
    of_main = [line.message for line in lines if not line.message.startswith("[node")]
    of_other = [line.message for line in lines if line.message.startswith("[node 1] ")]
    assert of_main and of_other
    assert len(of_main) + len(of_other) == len(lines)
    assert backend.logs("train", cursor) == ([], cursor)


def test_a_cancelled_job_leaves_no_node(
    aws: Emulator, backend: BatchBackend, plan: ExecutionPlan
) -> None:
    aws.faults.withhold(QUEUE)
    backend.submit(plan.jobs, ())
    backend.cancel(plan.jobs)
    aws.advance(5)  # listings are up to date
    batch = aws.client("batch")
    job = batch.list_jobs(jobQueue=QUEUE, jobStatus="FAILED")["jobSummaryList"][0]
    assert job["statusReason"] == END_REASON
    nodes = batch.list_jobs(multiNodeJobId=job["jobId"], jobStatus="FAILED")["jobSummaryList"]
    assert len(nodes) == 2
