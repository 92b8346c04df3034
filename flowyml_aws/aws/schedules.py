"""Schedules of EventBridge Scheduler that submit a job to AWS Batch.

The target is the universal one of an API operation: its input is the request, with names that begin
with a capital letter ("Using universal targets" and "Adding context attributes" in the user guide
of EventBridge Scheduler).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.schedule_times import ScheduleTimes

__all__ = [
    "SCHEDULED_TIME",
    "TARGET",
    "AwsSchedule",
    "create_schedule",
    "delete_schedule",
    "list_schedules",
    "set_enabled",
    "target_input",
]

TARGET = "arn:{partition}:scheduler:::aws-sdk:batch:submitJob"
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
"""Replaced by the time of the schedule, in UTC."""

# A time that could not be served within an hour is left out.
_RETRIES = {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10}
_FREE_FORM = ("Tags", "Parameters")  # their keys are not names of members
_UPDATED = (
    *("Name", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "StartDate"),
    *("EndDate", "Description", "KmsKeyArn", "Target", "FlexibleTimeWindow"),
)


@dataclass(frozen=True, slots=True)
class AwsSchedule:
    """A schedule as EventBridge Scheduler has it.

    Attributes:
        start: First time of a rate, in seconds since the epoch; None for a cron expression.
        command: Command of the job that it submits.
    """

    name: str
    times: ScheduleTimes
    is_enabled: bool
    start: float | None
    command: tuple[str, ...]


def target_input(request: Mapping[str, Any]) -> str:
    """Return the input of the target for the arguments of SubmitJob."""
    return json.dumps(_capitalized(request))


def create_schedule(
    client: Any,
    group: str,
    name: str,
    times: ScheduleTimes,
    start: float | None,
    role: str,
    request: Mapping[str, Any],
    description: str,
) -> None:
    """Create a schedule.

    Args:
        client: Client of EventBridge Scheduler.
        group: Group of the schedules.
        name: Name of the schedule.
        times: Its times.
        start: First time of a rate, in seconds since the epoch; None for a cron expression.
        role: ARN of the role with which the job is submitted.
        request: Arguments of SubmitJob.
        description: Description for people.

    Raises:
        SettingsError: The group has a schedule of this name.
        AwsRefusedError: AWS denied the call.
    """
    started = {} if start is None else {"StartDate": datetime.fromtimestamp(start, timezone.utc)}
    partition = role.split(":")[1]
    try:
        client.create_schedule(
            Name=name,
            GroupName=group,
            ScheduleExpression=times.expression,
            ScheduleExpressionTimezone=times.zone,
            Description=description[:512],
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": TARGET.format(partition=partition),
                "RoleArn": role,
                "Input": target_input(request),
                "RetryPolicy": _RETRIES,
            },
            **started,
        )
    except ClientError as error:
        if error_code(error) == "ConflictException":
            raise SettingsError(
                what=f"Schedule {name!r} exists",
                why="names are unique in the account",
                fix="delete it with `flowyml-aws schedule delete`, or use another --name",
            ) from error
        raise refused(error, f"create the schedule {name!r}") from error
    except BotoCoreError as error:
        raise refused(error, f"create the schedule {name!r}") from error


def list_schedules(client: Any, group: str) -> list[AwsSchedule]:
    """Return the schedules of a group, by name.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    try:
        pages = client.get_paginator("list_schedules").paginate(GroupName=group)
        names = sorted(each["Name"] for page in pages for each in page["Schedules"])
        found = [client.get_schedule(GroupName=group, Name=name) for name in names]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "list the schedules of the account") from error
    return [_schedule(each) for each in found]


def set_enabled(client: Any, group: str, name: str, is_enabled: bool) -> None:
    """Pause a schedule, or let it continue.

    Raises:
        SettingsError: There is no such schedule.
        AwsRefusedError: AWS denied a call.
    """
    try:
        known = client.get_schedule(GroupName=group, Name=name)
        # An update replaces all members.
        members = {key: known[key] for key in _UPDATED if known.get(key) is not None}
        client.update_schedule(**members, State="ENABLED" if is_enabled else "DISABLED")
    except (ClientError, BotoCoreError) as error:
        raise _not_changed(error, name) from error


def delete_schedule(client: Any, group: str, name: str) -> None:
    """Delete a schedule.

    Raises:
        SettingsError: There is no such schedule.
        AwsRefusedError: AWS denied the call.
    """
    try:
        client.delete_schedule(GroupName=group, Name=name)
    except (ClientError, BotoCoreError) as error:
        raise _not_changed(error, name) from error


def _not_changed(error: ClientError | BotoCoreError, name: str) -> Exception:
    if isinstance(error, ClientError) and error_code(error) == "ResourceNotFoundException":
        return SettingsError(
            what=f"No schedule {name!r}",
            why="the account has no schedule of this name",
            fix="list the schedules with `flowyml-aws schedule list`",
        )
    return refused(error, f"change the schedule {name!r}")


def _schedule(known: Mapping[str, Any]) -> AwsSchedule:
    start = known.get("StartDate")
    request = json.loads(known["Target"].get("Input") or "{}")
    return AwsSchedule(
        name=known["Name"],
        times=ScheduleTimes(
            known["ScheduleExpression"], known.get("ScheduleExpressionTimezone") or "UTC"
        ),
        is_enabled=known["State"] == "ENABLED",
        start=None if start is None else start.timestamp(),
        command=tuple(request.get("ContainerOverrides", {}).get("Command", ())),
    )


def _capitalized(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name[0].upper() + name[1:]: member
            if name[0].upper() + name[1:] in _FREE_FORM
            else _capitalized(member)
            for name, member in value.items()
        }
    if isinstance(value, list | tuple):
        return [_capitalized(item) for item in value]
    return value
