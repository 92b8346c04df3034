"""EventBridge Scheduler in the emulated account; `tests/aws/test_scheduled_runs.py` runs a job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import DRIVER_QUEUE, NAMES, PREFIX

pytestmark = pytest.mark.contract

TARGET = "arn:aws:scheduler:::aws-sdk:batch:submitJob"
JOB = {"JobName": "j", "JobQueue": DRIVER_QUEUE, "JobDefinition": "flowyml-aws-missing"}


def test_an_invocation_that_aws_would_refuse_has_its_reason(aws: Emulator) -> None:
    scheduler = aws.client("scheduler")

    def create(name: str, request: dict[str, Any], role: str, arn: str = TARGET) -> None:
        scheduler.create_schedule(
            Name=name,
            GroupName=PREFIX,
            ScheduleExpression="rate(1 minutes)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": arn, "RoleArn": NAMES[role], "Input": json.dumps(request)},
        )

    own = "scheduler_role_arn"
    create("definition", JOB, own)
    create("lower-case", {"jobName": "j"}, own)
    create("queue", {**JOB, "JobQueue": f"{PREFIX}-cpu"}, own)
    create("target", {}, own, "arn:aws:scheduler:::aws-sdk:sqs:sendMessage")
    create("trust", JOB, "driver_role_arn")
    create("paused", JOB, own)
    paused = scheduler.get_schedule(GroupName=PREFIX, Name="paused")
    names = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    scheduler.update_schedule(**{name: paused[name] for name in names}, State="DISABLED")
    aws.advance(61)
    reasons = {each.rule.rpartition("/")[2]: each.reason for each in aws.failed_invocations}
    assert reasons.keys() == {"definition", "lower-case", "queue", "target", "trust"}
    assert "flowyml-aws-missing not found" in reasons["definition"]
    assert "begin with a capital letter" in reasons["lower-case"]
    assert "batch:SubmitJob" in reasons["queue"]
    assert "no other targets" in reasons["target"]
    assert "does not trust scheduler.amazonaws.com" in reasons["trust"]
