"""Reasons that an AWS Batch job does not start, derived from known facts without API calls.

Source of Batch's own reasons:
https://docs.aws.amazon.com/batch/latest/userguide/troubleshooting.html#job_stuck_in_runnable
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flowyml_aws.aws.batch.queue_findings import (
    batch_reason,
    environment_fault,
    no_environment,
    no_gpu_image,
    no_nodes,
    queue_fault,
    quota_too_low,
)
from flowyml_aws.aws.batch.queues import Environment, Queue
from flowyml_aws.aws.ec2.quotas import Quota, quota_of
from flowyml_aws.aws.quota_requests import quota_request
from flowyml_aws.catalog.families import available_types, expand_families
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.eligibility import fits
from flowyml_aws.planning.needs import Needs, mib_text
from flowyml_aws.planning.targets import Candidate, Target, candidates_on

__all__ = ["CERTAIN_S", "LIKELY_S", "PATIENCE_S", "Persistence", "WaitingJob", "diagnose"]

CERTAIN_S = 60
"""Seconds of RUNNABLE before problems that need a user's action are reported."""
LIKELY_S = 300
"""Seconds of RUNNABLE before problems that may pass by themselves are reported.

Batch's own reasons count from then on: while a compute environment scales up from zero, Batch
reports MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT for some minutes."""
PATIENCE_S = 900
"""Seconds of RUNNABLE before a wait without a visible reason is reported."""

_FRONT = 100  # GetJobQueueSnapshot returns the first 100 jobs


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A RUNNABLE job, with the known facts about what it waits for.

    Attributes:
        queue: Its queue, or None if the account has none of this name.
        age_s: Seconds since it was ready to start.
        status_reason: Status reason from Batch, or empty.
        ahead: Number of jobs before it in the queue, or None if unknown.
        is_beyond_front: Whether it is not among the first jobs of the queue, which Batch lists.
        offered: Instance types that the region offers, or None if unknown.
        limits: Known vCPU limits of the account, by quota code.
        used: vCPUs of running instances by quota code, or None if unknown.
        region: AWS region of the queue.
    """

    name: str
    needs: Needs
    queue_name: str
    queue: Queue | None
    age_s: float
    catalog: Catalog
    status_reason: str = ""
    ahead: int | None = None
    is_beyond_front: bool = False
    offered: Collection[str] | None = None
    limits: Mapping[str, int] = field(default_factory=dict, hash=False)
    used: Mapping[str, int] | None = field(default=None, hash=False)
    region: str = ""


def diagnose(job: WaitingJob) -> tuple[Finding, ...]:
    """Return why the job does not start, most certain first; empty if it is too early to say.

    An `error` needs a user's action, a `warning` may pass by itself, a `note` explains.
    """
    findings = list(_permanent_problems(job)) if job.age_s >= CERTAIN_S else []
    if not any(finding.level == "error" for finding in findings) and job.age_s >= LIKELY_S:
        findings += _temporary_problems(job)
        if not findings and job.age_s >= PATIENCE_S:
            findings.append(_unexplained())
    return tuple(findings)


def _permanent_problems(job: WaitingJob) -> Iterator[Finding]:
    """Yield the problems that keep the job from starting until a user fixes them."""
    queue = job.queue
    if queue is None:
        yield Finding(
            "queue-missing",
            "error",
            f"Queue {job.queue_name!r} no longer exists",
            "the job was submitted to it",
            "cancel the run, and start it again with the current queues",
        )
        return
    if queue.fault is not None:
        yield queue_fault(queue)
    if not queue.working:
        yield from (environment_fault(queue, member) for member in queue.environments)
        if not queue.environments:
            yield no_environment(queue)
        return
    yield from (environment_fault(queue, member) for member in queue.environments if member.fault)
    if job.needs.nodes > 1:
        impossible = [each for each in queue.working if each.nodes_fault is not None]
        yield from map(no_nodes, impossible)
        if impossible:
            return
    matches = [_TypeMatch.make(environment, job) for environment in queue.working]
    if any(match.has_unknown_types for match in matches):
        return  # types that the catalog does not know may fit
    fitting = [match for match in matches if match.fitting]
    if not fitting:
        yield from _no_type(job, matches)
    elif all(match.min_vcpus > match.environment.max_vcpus for match in fitting):
        yield from (_max_vcpus_too_low(match) for match in fitting)
    else:
        yield from _quotas_too_low(job, fitting)


@dataclass(frozen=True, slots=True)
class _TypeMatch:
    """A compute environment with its instance types that fit a job.

    Attributes:
        known: All of its types that the catalog knows.
        fitting: Types that fit the job, smallest first.
        has_unknown_types: Whether it names types that the catalog does not know.
        nodes: Number of nodes of the job.
    """

    environment: Environment
    known: tuple[Candidate, ...]
    fitting: tuple[Candidate, ...]
    has_unknown_types: bool
    nodes: int = 1

    @classmethod
    def make(cls, environment: Environment, job: WaitingJob) -> _TypeMatch:
        named = dict.fromkeys(expand_families(environment.types, job.catalog))
        types, _ = available_types(named, job.offered, job.catalog)
        capacity = environment.capacity
        target = Target(environment.name, "batch", types, capacity=capacity)
        known = candidates_on(target, job.catalog)
        fitting = sorted(fits(job.needs, known), key=lambda c: (c.gives.vcpus, c.name))
        unknown = any(job.catalog.get(name) is None for name in types) or not named
        return cls(environment, known, tuple(fitting), unknown, job.needs.nodes)

    @property
    def min_vcpus(self) -> int:
        """Number of vCPUs of the smallest type that fits, on all nodes of the job."""
        return self.nodes * self.fitting[0].gives.vcpus

    @property
    def machines(self) -> str:
        """Smallest type that fits, with the number of nodes if there are several."""
        name = self.fitting[0].name
        return name if self.nodes == 1 else f"{self.nodes} x {name}"

    @property
    def quota(self) -> Quota | None:
        """Quota of the smallest type that fits."""
        return quota_of(self.fitting[0].instance.family, self.environment.capacity)


def _no_type(job: WaitingJob, matches: Sequence[_TypeMatch]) -> Iterator[Finding]:
    for match in matches:
        largest = max(
            match.known, key=lambda c: (c.gives.gpu_count, c.gives.memory_mib), default=None
        )
        reason = (
            "the region offers none of its types"
            if largest is None
            else f"its largest type, {largest.name}, has {largest.gives.vcpus} vCPUs, "
            f"{mib_text(largest.gives.memory_mib)} and {largest.gives.gpu_count} GPUs"
        )
        yield Finding(
            "no-type-fits",
            "error",
            f"No instance type of compute environment {match.environment.name!r} fits",
            f"the job needs {job.needs}; {reason}",
            "request less, or add larger instance types to the compute environment",
        )


def _max_vcpus_too_low(match: _TypeMatch) -> Finding:
    name, max_vcpus = match.environment.name, match.environment.max_vcpus
    return Finding(
        "max-vcpus-too-low",
        "error",
        f"Compute environment {name!r} is limited to {max_vcpus} vCPUs",
        f"the smallest type that fits, {match.machines}, has {match.min_vcpus}",
        f"aws batch update-compute-environment --compute-environment {name} "
        f"--compute-resources maxvCpus={match.min_vcpus}",
    )


def _quotas_too_low(job: WaitingJob, matches: Sequence[_TypeMatch]) -> Iterator[Finding]:
    findings: dict[str, Finding] = {}
    for match in sorted(matches, key=lambda match: match.min_vcpus):
        quota = match.quota
        limit = None if quota is None else job.limits.get(quota.code)
        if quota is None or limit is None or match.min_vcpus <= limit:
            return  # this environment can start it, or may
        finding = quota_too_low(quota, limit, match.machines, match.min_vcpus, job.region)
        findings.setdefault(quota.code, finding)  # the smallest increase that helps
    yield from findings.values()


def _temporary_problems(job: WaitingJob) -> Iterator[Finding]:
    """Yield the problems that may pass by themselves, and notes."""
    if job.status_reason:
        yield batch_reason(job.status_reason)
    assert job.queue is not None  # a missing queue is a permanent problem
    matches = [
        match
        for environment in job.queue.working
        if (match := _TypeMatch.make(environment, job)).fitting
    ]
    if job.needs.gpu_count:
        findings = (no_gpu_image(match.environment) for match in matches)
        yield from (finding for finding in findings if finding is not None)
    full = [
        match
        for match in matches
        if match.environment.desired_vcpus + match.min_vcpus > match.environment.max_vcpus
    ]
    if full and len(full) == len(matches):
        for match in full:
            environment = match.environment
            yield Finding(
                "max-vcpus-in-use",
                "warning",
                f"Compute environment {environment.name!r} uses {environment.desired_vcpus} of its "
                f"{environment.max_vcpus} vCPUs",
                f"the smallest type that fits, {match.machines}, has "
                f"{match.min_vcpus}: the job waits for others to end",
                "wait, end other jobs, or raise maxvCpus of the compute environment",
            )
    yield from _quotas_in_use(job, matches)
    if job.ahead:
        yield Finding(
            "behind-others",
            "note",
            f"{job.ahead} {'job is' if job.ahead == 1 else 'jobs are'} ahead of it in queue "
            f"{job.queue_name!r}",
            "a queue starts its jobs in order",
            f"wait; `aws batch get-job-queue-snapshot --job-queue {job.queue_name}` lists them",
        )
    elif job.is_beyond_front:
        yield Finding(
            "behind-others",
            "note",
            f"The job is not among the first {_FRONT} jobs of queue {job.queue_name!r}",
            "a queue starts its jobs in order",
            "wait, or use another queue",
        )


def _quotas_in_use(job: WaitingJob, matches: Sequence[_TypeMatch]) -> Iterator[Finding]:
    used = job.used
    if used is None or not matches:
        return
    findings: dict[str, Finding] = {}
    for match in sorted(matches, key=lambda match: match.min_vcpus):
        quota = match.quota
        limit = None if quota is None else job.limits.get(quota.code)
        if quota is None or limit is None:
            return
        if used.get(quota.code, 0) + match.min_vcpus <= limit:
            return
        finding = Finding(
            "quota-in-use",
            "warning",
            f"{used.get(quota.code, 0)} of the {limit} vCPUs of the account's quota "
            f"{quota.name!r} are in use",
            f"the smallest type that fits, {match.machines}, has "
            f"{match.min_vcpus}: EC2 starts none until other instances end",
            "wait, or request a higher quota: "
            + quota_request("ec2", quota.code, limit + match.min_vcpus, job.region),
        )
        findings.setdefault(quota.code, finding)
    yield from findings.values()


def _unexplained() -> Finding:
    return Finding(
        "unexplained",
        "warning",
        f"The job has been ready to start for over {PATIENCE_S // 60} minutes, and no reason is "
        "visible",
        "instances may start but not reach ECS: without a route to the internet or VPC endpoints, "
        "with a wrong instance role, or with an image for machines without GPUs",
        "check the compute environment's instances in the EC2 console, and its Auto Scaling "
        "activity",
    )


class Persistence:
    """Filter for findings that two consecutive checks share."""

    def __init__(self) -> None:
        self._previous_codes: Mapping[str, Collection[str]] = {}

    def lasting(self, findings: Mapping[str, Sequence[Finding]]) -> dict[str, tuple[Finding, ...]]:
        """Return the findings by job that the previous call had as well."""
        lasting = {
            job: tuple(f for f in current if f.code in self._previous_codes.get(job, ()))
            for job, current in findings.items()
        }
        self._previous_codes = {
            job: {finding.code for finding in current} for job, current in findings.items()
        }
        return lasting
