from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.contract

FAIL_ONCE = "import os; raise SystemExit(5 if os.environ['AWS_BATCH_JOB_ATTEMPT'] == '1' else 0)"


def test_a_job_succeeds_if_its_second_attempt_does(batch: Any) -> None:
    job = batch.ended(batch.submit(FAIL_ONCE, retryStrategy={"attempts": 3}))
    assert job["status"] == "SUCCEEDED"
    assert job["retryStrategy"]["attempts"] == 3
    first, second = job["attempts"]
    assert (first["container"]["exitCode"], second["container"]["exitCode"]) == (5, 0)
    assert first["statusReason"] == "Essential container in task exited"
    assert first["stoppedAt"] <= second["startedAt"]
    assert job["container"]["logStreamName"] == second["container"]["logStreamName"]
    assert first["container"]["logStreamName"] != second["container"]["logStreamName"]


def test_a_job_fails_after_its_last_attempt(batch: Any) -> None:
    job = batch.ended(batch.submit("raise SystemExit(1)", retryStrategy={"attempts": 3}))
    assert (job["status"], len(job["attempts"])) == ("FAILED", 3)


def test_the_definitions_retry_strategy_applies_unless_the_submission_has_one(batch: Any) -> None:
    definition = batch.define("retried", retryStrategy={"attempts": 2})
    job = batch.ended(batch.submit("raise SystemExit(1)", jobDefinition=definition))
    assert len(job["attempts"]) == 2
    job = batch.ended(
        batch.submit("raise SystemExit(1)", jobDefinition=definition, retryStrategy={"attempts": 1})
    )
    assert len(job["attempts"]) == 1


def test_the_rules_of_the_definition_apply_to_exit_codes(batch: Any) -> None:
    rules = [{"onExitCode": "5", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    definition = batch.define("with-rules", retryStrategy={"attempts": 3, "evaluateOnExit": rules})
    assert batch.ended(batch.submit(FAIL_ONCE, jobDefinition=definition))["status"] == "SUCCEEDED"
    unmatched = batch.ended(batch.submit("raise SystemExit(6)", jobDefinition=definition))
    assert len(unmatched["attempts"]) == 1
