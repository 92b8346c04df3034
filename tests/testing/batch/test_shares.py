"""Fair-share queues: their policies, and the shares and priorities of their jobs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing.batch.shares import check_share
from flowyml_aws.testing.batch.validation import ClientException

FIFO: Any = SimpleNamespace(schedule_policy=None)
FAIR: Any = SimpleNamespace(schedule_policy="arn")
CPU = "flowyml-emulator-cpu"


@pytest.mark.parametrize(
    ("queue", "request_"),
    [
        (FIFO, {}),
        (FAIR, {"shareIdentifier": "team1", "schedulingPriorityOverride": 0}),
        (FAIR, {"shareIdentifier": "team*", "schedulingPriorityOverride": 9999}),
    ],
)
def test_a_job_has_a_share_if_its_queue_has_a_policy(queue: Any, request_: dict[str, Any]) -> None:
    check_share(request_, queue)


@pytest.mark.parametrize(
    ("queue", "request_", "message"),
    [
        (FIFO, {"shareIdentifier": "team"}, "FIFO"),
        (FAIR, {"schedulingPriorityOverride": 1}, "shareIdentifier must be specified."),
        (FAIR, {"shareIdentifier": "a-b", "schedulingPriorityOverride": 1}, "letters and digits"),
        (FAIR, {"shareIdentifier": "team"}, "schedulingPriorityOverride is required"),
        (FAIR, {"shareIdentifier": "team", "schedulingPriorityOverride": -1}, "from 0 to 9999"),
        (FAIR, {"shareIdentifier": "team", "schedulingPriorityOverride": 10_000}, "from 0 to 9999"),
    ],
)
def test_a_share_or_a_priority_that_its_queue_can_t_have_is_refused(
    queue: Any, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientException, match=message):
        check_share(request_, queue)


@pytest.mark.contract
def test_a_queue_has_a_policy_from_the_start_or_never(batch: Any) -> None:
    (cpu,) = batch.api.describe_job_queues(jobQueues=[CPU])["jobQueues"]
    policy = batch.api.create_scheduling_policy(name="shares", fairsharePolicy={})["arn"]
    with pytest.raises(ClientError, match="FIFO"):
        batch.api.update_job_queue(jobQueue=CPU, schedulingPolicyArn=policy)
    new = {
        "priority": 1,
        "state": "ENABLED",
        "computeEnvironmentOrder": cpu["computeEnvironmentOrder"],
    }
    with pytest.raises(ClientError, match="does not exist"):
        batch.api.create_job_queue(jobQueueName="new", schedulingPolicyArn=f"{policy}2", **new)
    batch.api.create_job_queue(jobQueueName="new", schedulingPolicyArn=policy, **new)
    batch.api.update_job_queue(jobQueue="new", schedulingPolicyArn=policy)
