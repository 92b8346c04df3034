"""EventBridge Scheduler: schedules that submit a job to Batch, on the account's clock.

moto stores the schedules and their groups, and never invokes a target. Not emulated: other targets,
retries of a failed invocation, flexible time windows, end dates, a second invocation for one time,
which AWS may make, and the invocation at once for a rate without a start date.

Sources: "Managing targets", "Adding context attributes" and "Setting up the execution role" in the
user guide of EventBridge Scheduler.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.schedule_times import read_times
from flowyml_aws.testing.api import Api
from flowyml_aws.testing.calls import ApiCall, ApiRequest
from flowyml_aws.testing.clock import Clock, Timer
from flowyml_aws.testing.events import FailedInvocation
from flowyml_aws.testing.iam.guard import Guard
from flowyml_aws.testing.iam.needs import needs_of
from flowyml_aws.testing.iam.principals import AssumeRoleError, Principals
from flowyml_aws.testing.refusal import Refusal

__all__ = ["Schedules"]

_SERVICE = "scheduler.amazonaws.com"
_TARGET = ":scheduler:::aws-sdk:batch:submitJob"
_FREE_FORM = ("Tags", "Parameters")  # their keys are not names of members


@dataclass(frozen=True, slots=True)
class _Planned:
    """The next time of a schedule, as it was when the time was planned."""

    members: tuple[Any, ...]
    timer: Timer


class Schedules:
    """The schedules of the account. Callers of its methods hold the lock.

    Args:
        clock: Clock of the account.
        guard: Access control.
        principals: The account's callers.
        batch: Batch.
        group: Group that infra/ creates.
        region: Region of the account.
        failed: List to which invocations that fail are added.
    """

    def __init__(
        self,
        clock: Clock,
        guard: Guard,
        principals: Principals,
        batch: Api,
        group: str | None,
        region: str,
        failed: list[FailedInvocation],
    ) -> None:
        self._clock, self._guard, self._principals = clock, guard, principals
        self._batch, self._group, self._region, self._failed = batch, group, region, failed
        self._planned: dict[str, _Planned] = {}

    def prepare(self) -> None:
        """Create the group of infra/ before the first request."""
        from moto.scheduler.models import scheduler_backends

        backend = scheduler_backends[DEFAULT_ACCOUNT_ID][self._region]
        if self._group is not None and self._group not in backend.schedule_groups:
            backend.create_schedule_group(self._group, [])

    def changed(self) -> None:
        """Plan the next time of each schedule, after a request."""
        schedules = {each.arn: each for each in self._schedules()}
        for arn, planned in list(self._planned.items()):
            if arn not in schedules or planned.members != _members(schedules[arn]):
                self._planned.pop(arn).timer.cancel()
        for arn, schedule in schedules.items():
            if arn not in self._planned and schedule.state == "ENABLED":
                self._plan(arn, schedule)

    def _schedules(self) -> Iterator[Any]:
        # moto loads a service with its first request: without that, there are no schedules.
        if "moto.scheduler.models" not in sys.modules:
            return
        from moto.scheduler.models import scheduler_backends

        for group in scheduler_backends[DEFAULT_ACCOUNT_ID][self._region].schedule_groups.values():
            yield from group.schedules.values()

    def _plan(self, arn: str, schedule: Any) -> None:
        now = self._clock.now()
        try:
            times = read_times(schedule.schedule_expression, schedule.schedule_expression_timezone)
        except SettingsError as error:
            self._fail(arn, schedule, f"flowyml_aws.testing does not emulate it: {error.what}")
            return
        start = None if schedule.start_date is None else float(schedule.start_date)
        due = next(times.after(now, start), None)
        if due is not None:
            timer = self._clock.after(max(0.0, due - now), lambda: self._fire(arn, due))
            self._planned[arn] = _Planned(_members(schedule), timer)

    def _fire(self, arn: str, due: float) -> None:
        self._planned.pop(arn, None)
        schedule = next((each for each in self._schedules() if each.arn == arn), None)
        if schedule is None or schedule.state != "ENABLED":
            return
        if (reason := self._invoke(schedule, due)) is not None:
            self._fail(arn, schedule, reason)
        self._plan(arn, schedule)

    def _invoke(self, schedule: Any, due: float) -> str | None:
        """Submit the job of a schedule. Return the reason if that fails."""
        target: Mapping[str, Any] = schedule.target
        if not target["Arn"].endswith(_TARGET):
            return "flowyml_aws.testing emulates no other targets than SubmitJob of Batch"
        time = f"{datetime.fromtimestamp(due, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        text = str(target.get("Input") or "{}").replace("<aws.scheduler.scheduled-time>", time)
        try:
            request = _lowered(json.loads(text))
        except ValueError as error:
            return f"the input is not a request of SubmitJob: {error}"
        role = target["RoleArn"]
        try:
            self._principals.assume(role, "scheduler", _SERVICE)
        except AssumeRoleError as error:
            return str(error)
        body = json.dumps(request).encode()
        call = ApiCall("batch", "SubmitJob", str(request.get("jobName")))
        needs = needs_of(ApiRequest(call, role, body), DEFAULT_ACCOUNT_ID, self._region)
        if (denied := self._guard.denial(role, "scheduler", needs)) is not None:
            return denied
        try:
            self._batch.handlers["SubmitJob"](request, self._region, len(body))
        except Refusal as refusal:
            return str(refusal)
        return None

    def _fail(self, arn: str, schedule: Any, reason: str) -> None:
        self._failed.append(FailedInvocation(arn, schedule.target["Arn"], reason))


def _members(schedule: Any) -> tuple[Any, ...]:
    return (
        schedule.schedule_expression,
        schedule.schedule_expression_timezone,
        schedule.start_date,
        schedule.state,
        schedule.creation_date,
    )


def _lowered(value: Any) -> Any:
    """Return a request with the names of members as in Batch's API.

    Raises:
        ValueError: A name does not begin with a capital letter, as the scheduler requires.
    """
    if isinstance(value, list):
        return [_lowered(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if wrong := [name for name in value if not name[:1].isupper()]:
        raise ValueError(f"names of members begin with a capital letter, got {wrong[0]!r}")
    return {
        name[0].lower() + name[1:]: member if name in _FREE_FORM else _lowered(member)
        for name, member in value.items()
    }
