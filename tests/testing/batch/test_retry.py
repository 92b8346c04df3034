from __future__ import annotations

import pytest

from flowyml_aws.testing.batch.retry import Outcome, is_retried

FAILED = Outcome("Essential container in task exited", exit_code=1)
LOST = Outcome("Host EC2 (instance i-0123456789abcdef0) terminated.")


def strategy(*rules: dict[str, str], attempts: int = 3) -> dict[str, object]:
    return {"attempts": attempts, "evaluateOnExit": list(rules)}


def test_without_a_strategy_a_job_has_one_attempt() -> None:
    assert not is_retried({}, 1, FAILED)


def test_attempts_limit_the_retries() -> None:
    assert is_retried({"attempts": 2}, 1, FAILED)
    assert not is_retried({"attempts": 2}, 2, FAILED)


def test_a_job_is_retried_if_no_rule_matches() -> None:
    rules = strategy({"onExitCode": "7", "action": "EXIT"})
    assert is_retried(rules, 1, FAILED)


def test_the_first_matching_rule_decides() -> None:
    retry, stop = {"onExitCode": "1", "action": "RETRY"}, {"onExitCode": "1*", "action": "EXIT"}
    assert is_retried(strategy(retry, stop), 1, FAILED)
    assert not is_retried(strategy(stop, retry), 1, FAILED)


def test_all_fields_of_a_rule_must_match() -> None:
    rule = {"onExitCode": "1", "onStatusReason": "Host EC2*", "action": "EXIT"}
    assert is_retried(strategy(rule), 1, FAILED)
    assert not is_retried(strategy(rule), 1, Outcome(LOST.status_reason, exit_code=1))


def test_a_trailing_asterisk_matches_any_suffix() -> None:
    rules = strategy(
        {"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}
    )
    assert is_retried(rules, 1, LOST)
    assert not is_retried(rules, 1, FAILED)


@pytest.mark.parametrize("pattern", ["Host", "Host*terminated.", "?ost EC2*", "host ec2*"])
def test_a_pattern_is_case_sensitive_and_has_no_other_wildcards(pattern: str) -> None:
    rules = strategy(
        {"onStatusReason": pattern, "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}
    )
    assert not is_retried(rules, 1, LOST)


def test_the_action_ignores_case() -> None:
    assert is_retried(strategy({"onExitCode": "1", "action": "retry"}), 1, FAILED)
    assert not is_retried(strategy({"onExitCode": "1", "action": "exit"}), 1, FAILED)


def test_the_reason_of_the_container_is_matched() -> None:
    outcome = Outcome("Task failed to start", reason="CannotPullContainerError: no such image")
    rules = strategy({"onReason": "CannotPullContainerError:*", "action": "EXIT"})
    assert not is_retried(rules, 1, outcome)


def test_an_attempt_ended_by_a_user_or_a_timeout_is_not_retried() -> None:
    assert not is_retried({"attempts": 10}, 1, Outcome("terminated", is_final=True))
