from __future__ import annotations

import pytest

from flowyml_aws.aws.batch.retry import MAX_ATTEMPTS, RETRY_RULES
from flowyml_aws.runtime.exit_codes import SECOND_COPY, STORE_OUTAGE
from flowyml_aws.testing.batch.retry import Outcome, is_retried
from flowyml_aws.testing.starts import TRANSIENT_REASONS

EXITED = "Essential container in task exited"
NOT_STARTED = "Task failed to start"
STRATEGY = {"attempts": MAX_ATTEMPTS, "evaluateOnExit": RETRY_RULES}
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/main:1"


def is_repeated(outcome: Outcome) -> bool:
    return is_retried(STRATEGY, 1, outcome)


def test_a_lost_host_is_retried() -> None:
    assert is_repeated(Outcome("Host EC2 (instance i-0123456789abcdef0) terminated."))


def test_a_runner_that_received_sigterm_is_retried() -> None:
    assert is_repeated(Outcome(EXITED, exit_code=143))


def test_a_runner_that_gave_up_on_its_store_is_retried() -> None:
    assert is_repeated(Outcome(EXITED, exit_code=STORE_OUTAGE))


@pytest.mark.parametrize("exit_code", [0, 1, 3, 10, 11, SECOND_COPY, 134, 137, 139, 255])
def test_a_container_that_ended_with_another_code_is_not_retried(exit_code: int) -> None:
    assert not is_repeated(Outcome(EXITED, exit_code=exit_code))


def test_a_container_that_used_too_much_memory_is_not_retried() -> None:
    reason = "OutOfMemoryError: Container killed due to memory usage"
    assert not is_repeated(Outcome(EXITED, exit_code=137, reason=reason))


@pytest.mark.parametrize("status_reason", [NOT_STARTED, EXITED])
def test_a_container_whose_end_is_unknown_is_retried(status_reason: str) -> None:
    reason = "CannotInspectContainerError: Could not transition to inspecting; timed out"
    assert is_repeated(Outcome(status_reason, reason=reason))


@pytest.mark.parametrize("reason", TRANSIENT_REASONS)
def test_a_start_that_failed_by_chance_is_retried(reason: str) -> None:
    assert is_repeated(Outcome(NOT_STARTED, reason=reason))


@pytest.mark.parametrize(
    "reason",
    [
        f"CannotPullContainerError: Error response from daemon: manifest for {IMAGE} not found: "
        "manifest unknown: Requested image not found",
        "CannotPullContainerError: Check if image exists and role 'main' has permissions to pull "
        f"images from Amazon ECR. Error response from daemon: pull access denied for {IMAGE}",
    ],
)
def test_an_image_that_is_missing_or_denied_is_not_retried(reason: str) -> None:
    assert not is_repeated(Outcome(NOT_STARTED, reason=reason))


@pytest.mark.parametrize("status_reason", ["cancelled by the user", EXITED])
def test_a_terminated_job_is_not_retried_although_its_runner_ends_with_143(
    status_reason: str,
) -> None:
    assert not is_repeated(Outcome(status_reason, exit_code=143, is_final=True))


def test_the_rules_are_within_batchs_limit() -> None:
    assert len(RETRY_RULES) <= 5
