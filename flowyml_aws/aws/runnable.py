"""Why a job on AWS Batch does not start: decided from facts, without a call.

Source of Batch's own reasons:
https://docs.aws.amazon.com/batch/latest/userguide/troubleshooting.html#job_stuck_in_runnable
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flowyml_aws.aws.queue_findings import (
    QUOTA_PAGE,
    environment_fault,
    in_batchs_words,
    no_environment,
    no_gpu_image,
    queue_fault,
    quota_too_low,
)
from flowyml_aws.aws.queues import Environment, Queue
from flowyml_aws.aws.quotas import Quota, quota_of
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.eligibility import fits
from flowyml_aws.planning.families import expanded, given
from flowyml_aws.planning.needs import Needs, mib_text
from flowyml_aws.planning.targets import Candidate, Target, candidates_on

__all__ = ["CERTAIN_S", "LIKELY_S", "PATIENCE_S", "Persistence", "WaitingJob", "diagnose"]

CERTAIN_S = 60
"""Seconds of RUNNABLE before what can only be mended by somebody is told."""
LIKELY_S = 300
"""Seconds of RUNNABLE before what may pass by itself is told."""
PATIENCE_S = 900
"""Seconds of RUNNABLE after which it is strange, though nothing is wrong with what can be seen.

MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT stands there for some minutes while a compute environment
comes up from nothing, so Batch's own reasons count from LIKELY_S on."""

_FRONT = 100  # GetJobQueueSnapshot tells the first hundred


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """What is known of a job that is RUNNABLE, and of what it waits for.

    Attributes:
        age_s: For how long it could have started.
        status_reason: In Batch's words, or empty.
        queue: None where the account has none of this name.
        ahead: Jobs before it in the queue; None where nobody could ask.
        is_behind_front: It is not among the jobs that Batch tells of.
        offered: Instance types that the region offers; None where nobody could ask.
        limits: vCPUs that the account may have, by code of the quota; those that are known.
        used: vCPUs that run now, by code of the quota; None where nobody could ask.
    """

    name: str
    needs: Needs
    queue_name: str
    queue: Queue | None
    age_s: float
    catalog: Catalog
    status_reason: str = ""
    ahead: int | None = None
    is_behind_front: bool = False
    offered: Collection[str] | None = None
    limits: Mapping[str, int] = field(default_factory=dict, hash=False)
    used: Mapping[str, int] | None = field(default=None, hash=False)


def diagnose(job: WaitingJob) -> tuple[Finding, ...]:
    """Why the job does not start, the surest first; empty while it is too early to say.

    A finding of level `error` needs somebody; one of level `warning` may pass; a note explains.
    """
    found = list(_hard(job)) if job.age_s >= CERTAIN_S else []
    if not any(one.level == "error" for one in found) and job.age_s >= LIKELY_S:
        found += _soft(job)
        if not found and job.age_s >= PATIENCE_S:
            found.append(_unexplained())
    return tuple(found)


def _hard(job: WaitingJob) -> Iterator[Finding]:
    """What keeps it from ever starting as things are."""
    queue = job.queue
    if queue is None:
        yield Finding(
            "queue-missing",
            "error",
            f"Queue {job.queue_name!r} does not exist any more",
            "the job was submitted to it",
            "cancel the run, and start it again with the queues that there are now",
        )
        return
    if queue.fault is not None:
        yield queue_fault(queue)
    if not queue.working:
        yield from (environment_fault(queue, one) for one in queue.environments)
        if not queue.environments:
            yield no_environment(queue)
        return
    yield from (environment_fault(queue, one) for one in queue.environments if one.fault)
    places = [_Place.of(one, job) for one in queue.working]
    if any(place.is_unknown for place in places):
        return  # types that the catalog does not know may fit
    if all(not place.fitting for place in places):
        yield from _no_type(job, places)
    elif all(place.least_vcpus > place.environment.max_vcpus for place in places if place.fitting):
        yield from (_too_few(job, place) for place in places if place.fitting)
    else:
        yield from _quotas_too_low(job, places)


@dataclass(frozen=True, slots=True)
class _Place:
    """A compute environment with those of its types that the job fits.

    Attributes:
        given: All of its types that the catalog knows.
        fitting: The smallest first.
        is_unknown: It names types that the catalog does not know.
    """

    environment: Environment
    given: tuple[Candidate, ...]
    fitting: tuple[Candidate, ...]
    is_unknown: bool

    @classmethod
    def of(cls, environment: Environment, job: WaitingJob) -> _Place:
        named = dict.fromkeys(expanded(environment.types, job.catalog))
        types, _ = given(named, job.offered, job.catalog)
        capacity = environment.capacity
        target = Target(environment.name, "batch", types, capacity=capacity)
        found = candidates_on(target, job.catalog)
        fitting = sorted(fits(job.needs, found), key=lambda c: (c.gives.vcpus, c.name))
        unknown = any(job.catalog.get(name) is None for name in types) or not named
        return cls(environment, found, tuple(fitting), unknown)

    @property
    def least_vcpus(self) -> int:
        """Of the smallest instance that the job fits."""
        return self.fitting[0].gives.vcpus

    @property
    def quota(self) -> Quota | None:
        """That of the smallest instance that the job fits."""
        return quota_of(self.fitting[0].instance.family, self.environment.capacity)


def _no_type(job: WaitingJob, places: Sequence[_Place]) -> Iterator[Finding]:
    for place in places:
        most = max(place.given, key=lambda c: (c.gives.gpu_count, c.gives.memory_mib), default=None)
        has = (
            "the region offers none of its types"
            if most is None
            else f"its largest, {most.name}, gives {most.gives.vcpus} vCPUs, "
            f"{mib_text(most.gives.memory_mib)}, {most.gives.gpu_count} GPUs"
        )
        yield Finding(
            "no-type-fits",
            "error",
            f"No instance type of compute environment {place.environment.name!r} fits",
            f"the job needs {job.needs}; {has}",
            "ask for less, or give the compute environment larger instance types",
        )


def _too_few(job: WaitingJob, place: _Place) -> Finding:
    name, most = place.environment.name, place.environment.max_vcpus
    least = place.fitting[0]
    return Finding(
        "max-vcpus-too-low",
        "error",
        f"Compute environment {name!r} may have {most} vCPUs in all",
        f"the smallest instance that fits, {least.name}, has {least.gives.vcpus}",
        f"aws batch update-compute-environment --compute-environment {name} "
        f"--compute-resources maxvCpus={least.gives.vcpus}",
    )


def _quotas_too_low(job: WaitingJob, places: Sequence[_Place]) -> Iterator[Finding]:
    short = []
    for place in places:
        if not place.fitting:
            continue
        quota = place.quota
        limit = None if quota is None else job.limits.get(quota.code)
        if quota is None or limit is None or place.least_vcpus <= limit:
            return  # this one can start it, or may
        short.append(quota_too_low(quota, limit, place.fitting[0].name, place.least_vcpus))
    yield from dict.fromkeys(short)


def _soft(job: WaitingJob) -> Iterator[Finding]:
    """What may pass by itself."""
    if job.status_reason:
        yield in_batchs_words(job.status_reason)
    assert job.queue is not None  # its absence is an error
    places = [place for one in job.queue.working if (place := _Place.of(one, job)).fitting]
    if job.needs.gpu_count:
        found = (no_gpu_image(place.environment) for place in places)
        yield from (one for one in found if one is not None)
    full = [
        place
        for place in places
        if place.environment.desired_vcpus + place.least_vcpus > place.environment.max_vcpus
    ]
    if full and len(full) == len(places):
        for place in full:
            one = place.environment
            yield Finding(
                "max-vcpus-in-use",
                "warning",
                f"Compute environment {one.name!r} has {one.desired_vcpus} of the "
                f"{one.max_vcpus} vCPUs that it may have",
                f"the smallest instance that fits, {place.fitting[0].name}, has "
                f"{place.least_vcpus}: it waits for others to end",
                "wait, end other jobs, or raise maxvCpus of the compute environment",
            )
    yield from _quotas_in_use(job, places)
    if job.ahead:
        yield Finding(
            "behind-others",
            "note",
            f"{job.ahead} {'job is' if job.ahead == 1 else 'jobs are'} before it in queue "
            f"{job.queue_name!r}",
            "a queue starts its jobs in order",
            f"wait; `aws batch get-job-queue-snapshot --job-queue {job.queue_name}` lists them",
        )
    elif job.is_behind_front:
        yield Finding(
            "behind-others",
            "note",
            f"It is not among the first {_FRONT} jobs of queue {job.queue_name!r}",
            "a queue starts its jobs in order",
            "wait, or use another queue",
        )


def _quotas_in_use(job: WaitingJob, places: Sequence[_Place]) -> Iterator[Finding]:
    used = job.used
    if used is None or not places:
        return
    found = []
    for place in places:
        quota = place.quota
        limit = None if quota is None else job.limits.get(quota.code)
        if quota is None or limit is None:
            return
        if used.get(quota.code, 0) + place.least_vcpus <= limit:
            return
        found.append(
            Finding(
                "quota-in-use",
                "warning",
                f"{used.get(quota.code, 0)} of the {limit} vCPUs of the account's quota "
                f"{quota.name!r} are in use",
                f"the smallest instance that fits, {place.fitting[0].name}, has "
                f"{place.least_vcpus}: EC2 starts none until others end",
                f"wait, or ask AWS for more: {QUOTA_PAGE}/{quota.code}",
            )
        )
    yield from dict.fromkeys(found)


def _unexplained() -> Finding:
    return Finding(
        "unexplained",
        "warning",
        f"It could have started over {PATIENCE_S // 60} minutes ago, and nothing that can be seen "
        "keeps it",
        "instances may start and not reach ECS: without a route to the internet or VPC endpoints, "
        "with a wrong instance role, or with an image for machines without GPUs",
        "look at the instances of the compute environment: EC2's console, Auto Scaling's activity",
    )


class Persistence:
    """Of what is found again and again, what was there in the look before as well."""

    def __init__(self) -> None:
        self._before: Mapping[str, Collection[str]] = {}

    def lasting(self, found: Mapping[str, Sequence[Finding]]) -> dict[str, tuple[Finding, ...]]:
        """Findings by job, of those that the last call had as well."""
        kept = {
            job: tuple(one for one in told if one.code in self._before.get(job, ()))
            for job, told in found.items()
        }
        self._before = {job: {one.code for one in told} for job, told in found.items()}
        return kept
