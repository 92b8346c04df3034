from __future__ import annotations

import pytest

from flowyml_aws.testing.retry import Outcome, is_retried

FAILED = Outcome("Essential container in task exited", exit_code=1)
LOST = Outcome("Host EC2 (instance i-0123456789abcdef0) terminated.")


def strategy(*rules: dict[str, str], attempts: int = 3) -> dict[str, object]:
    return {"attempts": attempts, "evaluateOnExit": list(rules)}


def test_without_a_strategy_a_job_is_tried_once() -> None:
    assert not is_retried({}, 1, FAILED)


def test_attempts_bound_the_tries() -> None:
    assert is_retried({"attempts": 2}, 1, FAILED)
    assert not is_retried({"attempts": 2}, 2, FAILED)


def test_no_matching_rule_means_another_try() -> None:
    rules = strategy({"onExitCode": "7", "action": "EXIT"})
    assert is_retried(rules, 1, FAILED)


def test_the_first_matching_rule_decides() -> None:
    retry, leave = {"onExitCode": "1", "action": "RETRY"}, {"onExitCode": "1*", "action": "EXIT"}
    assert is_retried(strategy(retry, leave), 1, FAILED)
    assert not is_retried(strategy(leave, retry), 1, FAILED)


def test_all_fields_of_a_rule_must_match() -> None:
    rule = {"onExitCode": "1", "onStatusReason": "Host EC2*", "action": "EXIT"}
    assert is_retried(strategy(rule), 1, FAILED)
    assert not is_retried(strategy(rule), 1, Outcome(LOST.status_reason, exit_code=1))


def test_an_asterisk_at_the_end_matches_any_rest() -> None:
    rules = strategy(
        {"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}
    )
    assert is_retried(rules, 1, LOST)
    assert not is_retried(rules, 1, FAILED)


@pytest.mark.parametrize("pattern", ["Host", "Host*terminated.", "?ost EC2*", "host ec2*"])
def test_a_pattern_is_no_other_glob_and_keeps_case(pattern: str) -> None:
    rules = strategy(
        {"onStatusReason": pattern, "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}
    )
    assert not is_retried(rules, 1, LOST)


def test_the_action_ignores_case() -> None:
    assert is_retried(strategy({"onExitCode": "1", "action": "retry"}), 1, FAILED)
    assert not is_retried(strategy({"onExitCode": "1", "action": "exit"}), 1, FAILED)


def test_the_containers_reason_is_matched() -> None:
    outcome = Outcome("Task failed to start", reason="CannotPullContainerError: no such image")
    rules = strategy({"onReason": "CannotPullContainerError:*", "action": "EXIT"})
    assert not is_retried(rules, 1, outcome)


def test_what_the_user_or_the_timeout_ended_is_not_tried_again() -> None:
    assert not is_retried({"attempts": 10}, 1, Outcome("terminated", is_final=True))
