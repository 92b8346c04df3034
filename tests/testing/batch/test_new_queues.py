"""Compute environments and job queues while they are created and changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator

pytestmark = pytest.mark.contract

Eventually = Callable[..., Any]

CPU = "flowyml-emulator-cpu"


@pytest.fixture(autouse=True)
def busy(batch: Any) -> None:
    """Let a job run, so that the account's clock moves only when a test says so."""
    batch.wait_for_status(batch.submit("import time; time.sleep(60)"), "RUNNING")


def environment(batch: Any, name: str) -> dict[str, Any]:
    (described,) = batch.api.describe_compute_environments(computeEnvironments=[name])[
        "computeEnvironments"
    ]
    return dict(described)


def create_environment(batch: Any, name: str) -> str:
    resources = environment(batch, CPU)["computeResources"]
    response = batch.api.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", state="ENABLED", computeResources=resources
    )
    return str(response["computeEnvironmentArn"])


def create_queue(batch: Any, name: str, environment: str) -> None:
    batch.api.create_job_queue(
        jobQueueName=name,
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
    )


def queue_status(batch: Any, name: str) -> str:
    return str(batch.api.describe_job_queues(jobQueues=[name])["jobQueues"][0]["status"])


def test_a_new_environment_is_creating_and_has_no_queue_until_it_is_valid(
    aws: Emulator, batch: Any
) -> None:
    arn = create_environment(batch, "new")
    assert environment(batch, "new")["status"] == "CREATING"
    for reference in ("new", arn):
        with pytest.raises(ClientError, match="not VALID, but CREATING"):
            create_queue(batch, "new", reference)
    aws.advance(5)
    assert environment(batch, "new")["status"] == "VALID"
    create_queue(batch, "new", arn)


def test_a_new_queue_is_creating_and_takes_no_jobs_until_it_is_valid(
    aws: Emulator, batch: Any
) -> None:
    create_queue(batch, "new", CPU)
    assert queue_status(batch, "new") == "CREATING"
    with pytest.raises(ClientError, match="is not VALID"):
        batch.submit(jobQueue="new")
    aws.advance(5)
    assert queue_status(batch, "new") == "VALID"
    assert batch.ended(batch.submit(jobQueue="new"))["status"] == "SUCCEEDED"


def test_a_changed_environment_is_updating_and_can_be_changed_again_when_it_is_valid(
    aws: Emulator, batch: Any
) -> None:
    def change(max_vcpus: int) -> None:
        batch.api.update_compute_environment(
            computeEnvironment=CPU, computeResources={"maxvCpus": max_vcpus}
        )

    change(8)
    assert environment(batch, CPU)["status"] == "UPDATING"
    with pytest.raises(ClientError, match="resource is being modified"):
        change(16)
    assert batch.ended(batch.submit())["status"] == "SUCCEEDED"  # its jobs continue
    aws.advance(5)
    change(16)


def test_a_changed_queue_is_updating_and_can_be_changed_again_when_it_is_valid(
    aws: Emulator, batch: Any
) -> None:
    batch.api.update_job_queue(jobQueue=CPU, priority=2)
    assert queue_status(batch, CPU) == "UPDATING"
    with pytest.raises(ClientError, match="resource is being modified"):
        batch.api.update_job_queue(jobQueue=CPU, priority=3)
    aws.advance(5)
    assert queue_status(batch, CPU) == "VALID"


def test_an_invalid_environment_can_have_no_queue(aws: Emulator, batch: Any) -> None:
    aws.faults.invalidate(CPU, "CLIENT_ERROR - no such subnet")
    with pytest.raises(ClientError, match="not VALID, but INVALID"):
        create_queue(batch, "new", CPU)
