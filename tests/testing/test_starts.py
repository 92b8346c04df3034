from __future__ import annotations

from random import Random
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.starts import TRANSIENT_REASONS, Starts
from tests.support.rigs import raised_emulator
from tests.testing.conftest import BatchClient

TIMEOUT = "DockerTimeoutError: Could not transition to started; timed out after waiting 3m0s"


def starts(rate: float, seed: int = 0) -> Starts:
    return Starts(rate, Random(seed))


def test_by_default_no_start_fails() -> None:
    quiet = starts(0.0)
    assert [quiet.failure(1) for _ in range(100)] == [None] * 100


def test_the_seed_decides_which_starts_fail_and_why() -> None:
    def failures(seed: int) -> list[str | None]:
        some = starts(0.2, seed)
        return [some.failure(1) for _ in range(100)]

    assert failures(1) == failures(1) != failures(2)
    reasons = [reason for reason in failures(1) if reason is not None]
    assert 5 <= len(reasons) <= 40
    assert set(reasons) <= set(TRANSIENT_REASONS)


def test_at_most_the_first_two_attempts_of_a_job_fail_at_random() -> None:
    always = starts(1.0)
    assert [always.failure(attempt) is None for attempt in (1, 2, 3)] == [False, False, True]


def test_a_requested_failure_comes_first() -> None:
    some = starts(0.0)
    some.fail(2, TIMEOUT)
    assert [some.failure(attempt) for attempt in (4, 5, 6)] == [TIMEOUT, TIMEOUT, None]


@pytest.mark.contract
def test_a_start_fails_with_the_reason_of_ecs_and_without_a_log(aws: Emulator, batch: Any) -> None:
    aws.faults.fail_starts(reason=TIMEOUT)
    job = batch.ended(batch.submit())
    (attempt,) = job["attempts"]
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert attempt["container"]["reason"] == job["container"]["reason"] == TIMEOUT
    assert not {"exitCode", "logStreamName"} & set(attempt["container"])
    assert batch.ended(batch.submit())["status"] == "SUCCEEDED"


@pytest.mark.contract
def test_a_container_whose_end_is_unknown_has_the_status_reason_of_an_exit(
    aws: Emulator, batch: Any
) -> None:
    aws.faults.fail_starts(reason="CannotInspectContainerError: timed out after waiting 30s")
    assert batch.ended(batch.submit())["statusReason"] == "Essential container in task exited"


@pytest.mark.contract
def test_only_starts_of_main_nodes_fail_by_chance() -> None:
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
    with raised_emulator(nodes=["cpu"], failed_start_rate=0.5) as aws:
        batch = BatchClient(aws)
        container = {"image": aws.environment["FLOWYML_AWS_IMAGE"], "command": ["true"]}
        nodes = {"targetNodes": "0:", "container": {**container, "resourceRequirements": needs}}
        definition = batch.api.register_job_definition(
            jobDefinitionName="nodes",
            type="multinode",
            nodeProperties={"numNodes": 8, "mainNode": 0, "nodeRangeProperties": [nodes]},
        )["jobDefinitionArn"]
        job = batch.api.submit_job(
            jobName="job",
            jobQueue="flowyml-emulator-cpu-nodes",
            jobDefinition=definition,
            retryStrategy={"attempts": 3},
        )["jobId"]
        assert batch.ended(job)["status"] == "SUCCEEDED"
        for node in range(1, 8):
            reason = batch.ended(f"{job}#{node}")["container"].get("reason")
            assert reason not in TRANSIENT_REASONS
