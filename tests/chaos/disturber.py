"""Faults of the calls of clients and jobs, drawn so that a seed replays with concurrent callers."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock

from flowyml_aws.testing import ApiCall
from flowyml_aws.testing.disturbance import CallFault
from tests.chaos.schedule import Loss, Schedule, fraction
from tests.chaos.waits import SPEED

__all__ = ["Disturber"]

_JOB = re.compile(r"/runs/([^/]+)/jobs/([^/]+)/")
_KINDS = tuple(kind for kind in CallFault if kind is not CallFault.EXPIRED)
_NEVER = 10**9
_SUBMISSIONS = ("SubmitJob", "CreateTrainingJob")
_SUBMISSION_FACTOR = 4  # there are few of them, and they must not be repeated


class Disturber:
    """Decides about each call of the emulated account, and ends containers.

    The decision depends on the seed, the principal, the job, the operation, and how many such
    calls came before: not on the order of concurrent callers.

    Args:
        schedule: The schedule.
        clients: Names of the clients by access key, which grow while it runs. Calls of the
            emulator's administrator are never broken.
        expiries: Number of the call, by the name of a client, from which on its credentials have
            expired; they grow, too.
        administrator: Access key of the administrator.
        lose: Ends the container of a job, by run id and job. Returns whether it had one.

    Attributes:
        lost: Number of times that each job has lost its container, by the kind of the loss, then
            by run id and job.
        faults: Number of faults by kind.
    """

    def __init__(
        self,
        schedule: Schedule,
        clients: Mapping[str, str],
        expiries: Mapping[str, int],
        administrator: str,
        lose: Callable[[Loss, str, str], bool],
    ) -> None:
        self.lost: dict[Loss, Counter[str]] = {kind: Counter() for kind in Loss}
        self.faults: Counter[str] = Counter()
        self._schedule = schedule
        self._clients = clients
        self._administrator = administrator
        self._lose_container = lose
        self._client_expiries = expiries
        self._lock = Lock()
        self._calls: Counter[tuple[str, str, str]] = Counter()
        self._calls_of: Counter[str] = Counter()  # by job, or name of a client
        self._jobs: dict[str, str] = {}  # by access key
        self._losses = {loss.job: loss for loss in schedule.losses}
        self._outages = {outage.job: outage.seconds for outage in schedule.outages}
        self._expiries = {expiry.job: expiry for expiry in schedule.expiries}
        self._outage_ends = 0.0
        self._renewals: dict[str, float] = {}  # times by job

    def __call__(self, call: ApiCall, access_key: str) -> CallFault | None:
        if access_key == self._administrator:
            return None
        principal = self._clients.get(access_key, "job")
        match = _JOB.search(call.resource)
        is_lost = False
        with self._lock:
            if principal == "job" and match:
                self._jobs[access_key] = match[2]
            job = self._jobs.get(access_key, match[2] if match else "")
            self._calls[principal, job, call.operation] += 1
            number = self._calls[principal, job, call.operation]
            caller = job if principal == "job" else principal
            self._calls_of[caller] += 1
            if principal == "job" and (loss := self._losses.get(_group_of(job))) is not None:
                is_lost = self._calls_of[job] >= loss.at_call
            lasting = self._lasting_fault(call, caller)
        if is_lost and match:
            self._lose(match[1], job)
        if lasting is not None:
            return lasting
        rate = self._schedule.fault_rate
        rate *= _SUBMISSION_FACTOR if call.operation in _SUBMISSIONS else 1
        return self._fault(rate, principal, job, call.operation, number)

    def _lasting_fault(self, call: ApiCall, caller: str) -> CallFault | None:
        """Return the fault of a call that is made while a fault lasts."""
        now, number, group = time.monotonic(), self._calls_of[caller], _group_of(caller)
        if number >= self._client_expiries.get(caller, _NEVER):
            self.faults["calls with expired credentials"] += 1
            return CallFault.EXPIRED
        expiry = self._expiries.get(group)
        if expiry is not None and number >= expiry.at_call:
            self._renewals[caller] = now + expiry.seconds / SPEED
            del self._expiries[group]
        if now < self._renewals.get(caller, 0.0):
            self.faults["calls with expired credentials"] += 1
            return CallFault.EXPIRED
        if call.operation == "PutObject" and call.resource.endswith("/result.json"):
            self._outage_ends = max(self._outage_ends, now + self._outages.pop(group, 0) / SPEED)
        if call.service == "s3" and now < self._outage_ends:
            self.faults["calls in an outage"] += 1
            return CallFault.UNAVAILABLE
        return None

    def _lose(self, run_id: str, job: str) -> None:
        with self._lock:
            if (loss := self._losses.pop(_group_of(job), None)) is None:
                return
            # Before the loss, which ends the process that makes this call.
            self.lost[loss.kind][f"{run_id} {job}"] += 1
        is_lost = self._lose_container(loss.kind, run_id, job)
        with self._lock:
            self.lost[loss.kind][f"{run_id} {job}"] -= not is_lost
            self.faults[f"jobs: {loss.kind.value}"] += is_lost

    def _fault(self, rate: float, *call: object) -> CallFault | None:
        seed = self._schedule.seed
        if fraction(seed, "breaks", *call) >= rate:
            return None
        kind = _KINDS[int(fraction(seed, "kind", *call) * len(_KINDS))]
        with self._lock:
            self.faults["broken calls"] += 1
        return kind


def _group_of(job: str) -> str:
    """Return the group of a job, or its step: `x` of the parts `x_1` and the items `x-0-3`."""
    return re.split("[-_]", job)[0]
