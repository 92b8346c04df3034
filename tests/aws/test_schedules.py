"""Requests to EventBridge Scheduler, as its model accepts them, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import botocore.session
import pytest
from botocore.stub import ANY, Stubber

from flowyml_aws.aws.schedules import (
    create_schedule,
    delete_schedule,
    list_schedules,
    set_enabled,
    target_input,
)
from flowyml_aws.core.errors import AwsRefusedError, SettingsError
from flowyml_aws.core.schedule_times import cron_times, rate_times

ROLE = "arn:aws:iam::123456789012:role/scheduler"
REQUEST = {
    "jobName": "schedule-nightly",
    "containerOverrides": {"command": ("a", "b"), "environment": [{"name": "N", "value": "v"}]},
    "tags": {"flowyml-aws:run": "r"},
    "propagateTags": True,
}
INPUT = {
    "JobName": "schedule-nightly",
    "ContainerOverrides": {"Command": ["a", "b"], "Environment": [{"Name": "N", "Value": "v"}]},
    "Tags": {"flowyml-aws:run": "r"},
    "PropagateTags": True,
}
START = datetime(2026, 12, 1, tzinfo=timezone.utc)
KNOWN = {
    "Name": "nightly",
    "GroupName": "group",
    "ScheduleExpression": "rate(1 days)",
    "ScheduleExpressionTimezone": "Europe/Berlin",
    "StartDate": START,
    "State": "ENABLED",
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "Target": {"Arn": "a", "RoleArn": ROLE, "Input": json.dumps(INPUT)},
}


@pytest.fixture
def scheduler() -> Iterator[Stubber]:
    client = botocore.session.get_session().create_client(
        "scheduler", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def create(client: Any, times: Any, start: float | None) -> None:
    create_schedule(client, "group", "nightly", times, start, ROLE, REQUEST, "Runs")


def test_members_of_the_input_begin_with_a_capital_letter_and_tags_stay() -> None:
    assert json.loads(target_input(REQUEST)) == INPUT


def test_a_schedule_submits_a_job_with_limited_retries(scheduler: Stubber) -> None:
    expected = {
        "Name": "nightly",
        "GroupName": "group",
        "ScheduleExpression": "cron(0 6 * * ? *)",
        "ScheduleExpressionTimezone": "Europe/Berlin",
        "Description": "Runs",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": "arn:aws:scheduler:::aws-sdk:batch:submitJob",
            "RoleArn": ROLE,
            "Input": json.dumps(INPUT),
            "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10},
        },
    }
    scheduler.add_response("create_schedule", {"ScheduleArn": "arn"}, expected)
    create(scheduler.client, cron_times("0 6 * * ? *", "Europe/Berlin"), None)


def test_a_rate_starts_after_its_interval_instead_of_at_once(scheduler: Stubber) -> None:
    names = {*KNOWN, "Description"} - {"State"}
    expected: dict[str, Any] = dict.fromkeys(names, ANY)
    expected["StartDate"] = START
    scheduler.add_response("create_schedule", {"ScheduleArn": "arn"}, expected)
    create(scheduler.client, rate_times("1 day"), START.timestamp())


def test_a_name_that_exists_is_an_error(scheduler: Stubber) -> None:
    scheduler.add_client_error("create_schedule", "ConflictException")
    with pytest.raises(SettingsError, match="'nightly' exists"):
        create(scheduler.client, rate_times("1 day"), None)


def test_a_pause_keeps_all_members(scheduler: Stubber) -> None:
    scheduler.add_response("get_schedule", KNOWN)
    scheduler.add_response(
        "update_schedule", {"ScheduleArn": "arn"}, {**KNOWN, "State": "DISABLED"}
    )
    set_enabled(scheduler.client, "group", "nightly", False)


def test_schedules_are_listed_with_the_command_of_their_job(scheduler: Stubber) -> None:
    scheduler.add_response("list_schedules", {"Schedules": [{"Name": "nightly"}]})
    scheduler.add_response("get_schedule", KNOWN)
    (found,) = list_schedules(scheduler.client, "group")
    assert (found.name, found.is_enabled, found.command) == ("nightly", True, ("a", "b"))
    assert (found.times.expression, found.times.zone) == ("rate(1 days)", "Europe/Berlin")
    assert found.start == START.timestamp()


def test_a_schedule_that_does_not_exist_is_an_error(scheduler: Stubber) -> None:
    scheduler.add_client_error("delete_schedule", "ResourceNotFoundException")
    with pytest.raises(SettingsError, match="No schedule 'nightly'"):
        delete_schedule(scheduler.client, "group", "nightly")


def test_a_denied_call_is_refused(scheduler: Stubber) -> None:
    scheduler.add_client_error("list_schedules", "AccessDeniedException")
    with pytest.raises(AwsRefusedError, match="list the schedules"):
        list_schedules(scheduler.client, "group")
