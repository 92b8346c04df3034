"""Faults of the calls of clients and jobs, drawn so that a seed replays with concurrent callers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock

from flowyml_aws.testing import ApiCall
from flowyml_aws.testing.disturbance import CallFault
from tests.chaos.schedule import Schedule, fraction

__all__ = ["Disturber"]

_JOB = re.compile(r"/runs/([^/]+)/jobs/([^/]+)/")
_KINDS = tuple(CallFault)
_NEVER = 10**9
_SUBMISSIONS = ("SubmitJob", "CreateTrainingJob")
_SUBMISSION_FACTOR = 4  # there are few of them, and they must not be repeated


class Disturber:
    """Decides about each call of the emulated account, and loses hosts.

    The decision depends on the seed, the principal, the job, the operation, and how many such
    calls came before: not on the order of concurrent callers.

    Args:
        schedule: The schedule.
        clients: Names of the clients by access key, which grow while it runs. Calls of the
            emulator's administrator are never broken.
        administrator: Access key of the administrator.
        lose_host: Loses the host of a job, by run id and job. Returns whether it had one.

    Attributes:
        lost_hosts: Number of times that each job has lost its host.
        broken: Number of broken calls by kind.
    """

    def __init__(
        self,
        schedule: Schedule,
        clients: Mapping[str, str],
        administrator: str,
        lose_host: Callable[[str, str], bool],
    ) -> None:
        self.lost_hosts: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self._schedule = schedule
        self._clients = clients
        self._administrator = administrator
        self._lose_host = lose_host
        self._lock = Lock()
        self._calls: Counter[tuple[str, str, str]] = Counter()
        self._job_calls: Counter[str] = Counter()
        self._jobs: dict[str, str] = {}  # by access key
        self._pending = {loss.job: loss.at_call for loss in schedule.host_losses}
        self._outages = {outage.job: outage.calls for outage in schedule.outages}

    def __call__(self, call: ApiCall, access_key: str) -> CallFault | None:
        if access_key == self._administrator:
            return None
        principal = self._clients.get(access_key, "job")
        match = _JOB.search(call.resource)
        loses = False
        with self._lock:
            if principal == "job" and match:
                self._jobs[access_key] = match[2]
            job = self._jobs.get(access_key, match[2] if match else "")
            self._calls[principal, job, call.operation] += 1
            number = self._calls[principal, job, call.operation]
            if principal == "job" and job:
                self._job_calls[job] += 1
                loses = self._job_calls[job] >= self._pending.get(_group_of(job), _NEVER)
        if loses and match:
            self._lose(match[1], job)
        if call.operation == "PutObject" and call.resource.endswith("/result.json"):
            with self._lock:
                if self._outages.get(name := _group_of(job), 0):
                    self._outages[name] -= 1
                    self.broken[CallFault.UNAVAILABLE.value] += 1
                    return CallFault.UNAVAILABLE
        rate = self._schedule.fault_rate
        rate *= _SUBMISSION_FACTOR if call.operation in _SUBMISSIONS else 1
        return self._fault(rate, principal, job, call.operation, number)

    def _lose(self, run_id: str, job: str) -> None:
        with self._lock:
            if self._pending.pop(_group_of(job), None) is None:
                return
            # Before the loss, which ends the process that makes this call.
            self.lost_hosts[job] += 1
        if not self._lose_host(run_id, job):
            with self._lock:
                self.lost_hosts[job] -= 1

    def _fault(self, rate: float, *call: object) -> CallFault | None:
        seed = self._schedule.seed
        if fraction(seed, "breaks", *call) >= rate:
            return None
        kind = _KINDS[int(fraction(seed, "kind", *call) * len(_KINDS))]
        with self._lock:
            self.broken[kind.value] += 1
        return kind


def _group_of(job: str) -> str:
    """Return the group of a job, which is named `x_1` if the group is split, or its own name."""
    return job.partition("_")[0]
