"""Diagnosis of queued jobs: collects the account's facts for `runnable` to evaluate.

All calls are read-only, and none has to be permitted: facts that AWS denies are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from flowyml_aws.aws.account import offered_types
from flowyml_aws.aws.batch.fronts import front_of
from flowyml_aws.aws.batch.jobs import describe_jobs
from flowyml_aws.aws.batch.queues import Queue, read_queues
from flowyml_aws.aws.batch.runnable import CERTAIN_S, Persistence, WaitingJob, diagnose
from flowyml_aws.aws.ec2.quotas import Quota, quota_of, read_limits, running_vcpus
from flowyml_aws.catalog.families import expand_families
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.needs import Needs

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import JobDetailTypeDef
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_service_quotas import ServiceQuotasClient

__all__ = ["Queued", "RunnableDiagnosis", "summary"]

Answer = TypeVar("Answer")

_CHECK_INTERVAL_S = 30.0  # at least, between two checks of a watched run


@dataclass(frozen=True, slots=True)
class Queued:
    """A job that Batch reports as RUNNABLE.

    Attributes:
        queue: Name of its queue.
        reason: Status reason from Batch, or empty.
        parents: Ids of its parents.
        since_ms: Time of its submission, or of the end of its last attempt, in milliseconds since
            the epoch.
    """

    arn: str
    queue: str
    reason: str
    parents: tuple[str, ...]
    since_ms: int
    needs: Needs

    @classmethod
    def of(cls, detail: JobDetailTypeDef, needs: Needs) -> Queued:
        """Return the job of its details, which take much more memory."""
        attempts = (attempt.get("stoppedAt", 0) for attempt in detail.get("attempts", ()))
        return cls(
            arn=detail["jobArn"],
            queue=detail["jobQueue"].rpartition("/")[2],
            reason=detail.get("statusReason", ""),
            parents=tuple(p["jobId"] for p in detail.get("dependsOn", ()) if "jobId" in p),
            since_ms=max(detail.get("createdAt", 0), *attempts, 0),
            needs=needs,
        )


class RunnableDiagnosis:
    """Diagnoses queued jobs, and remembers its findings, so that only persistent ones are reported.

    Args:
        client: Returns the client of a service by its boto3 name; called only when a job waits.
        catalog: Loads the region's catalog.
        clock: Returns seconds since the epoch.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        catalog: Callable[[], Catalog],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._make_catalog = catalog
        self._clock = clock
        self._persistence = Persistence()
        self._checked_at = float("-inf")
        self._lasting: Mapping[str, tuple[Finding, ...]] = {}

    def watch(self, queued: Mapping[str, Queued]) -> Mapping[str, tuple[Finding, ...]]:
        """Return findings that two consecutive checks share, by job; check once per interval."""
        if not queued:
            return {}
        if self._clock() - self._checked_at >= _CHECK_INTERVAL_S:
            self._lasting = self._persistence.lasting(self.check(queued))
            self._checked_at = self._clock()
        return {
            job: findings for job, findings in self._lasting.items() if findings and job in queued
        }

    def check(self, queued: Mapping[str, Queued]) -> dict[str, tuple[Finding, ...]]:
        """Return the current findings by job; none for a job that is too young to judge."""
        ages = self._ages(queued)
        old = {job: queued[job] for job, age_s in ages.items() if age_s >= CERTAIN_S}
        queues = _unless_denied(lambda: read_queues(self._batch)) if old else None
        if queues is None:
            return dict.fromkeys(queued, ())
        used_queues = {job.queue: queues[job.queue] for job in old.values() if job.queue in queues}
        limits = (
            _unless_denied(lambda: read_limits(self._quotas, self._quotas_of(used_queues.values())))
            or {}
        )
        used = _unless_denied(lambda: running_vcpus(self._ec2, self._catalog)) if limits else None
        fronts = {
            name: _unless_denied(partial(front_of, self._batch, name)) for name in used_queues
        }
        findings: dict[str, tuple[Finding, ...]] = dict.fromkeys(queued, ())
        for job, queued_job in old.items():
            name, arn = queued_job.queue, queued_job.arn
            front = fronts.get(name)
            is_in_front = front is not None and arn in front
            findings[job] = diagnose(
                WaitingJob(
                    name=job,
                    needs=queued_job.needs,
                    queue_name=name,
                    queue=used_queues.get(name),
                    age_s=ages[job],
                    catalog=self._catalog,
                    status_reason=queued_job.reason,
                    ahead=front.index(arn) if front is not None and is_in_front else None,
                    is_beyond_front=bool(front) and not is_in_front,
                    offered=self._offered,
                    limits=limits,
                    used=used,
                    region=self._client("batch").meta.region_name,
                )
            )
        return findings

    def _ages(self, queued: Mapping[str, Queued]) -> dict[str, float]:
        """Return for how many seconds each job has been ready to start."""
        parents = {parent for job in queued.values() for parent in job.parents}
        ended_ms = {
            detail["jobId"]: detail.get("stoppedAt", 0)
            for detail in describe_jobs(self._batch, sorted(parents))
        }
        now_ms = self._clock() * 1000
        return {name: (now_ms - _ready_at_ms(job, ended_ms)) / 1000 for name, job in queued.items()}

    def _quotas_of(self, queues: Iterable[Queue]) -> Collection[Quota]:
        quotas = (
            quota_of(name.partition(".")[0], environment.capacity)
            for queue in queues
            for environment in queue.working
            for name in expand_families(environment.types, self._catalog)
        )
        return {quota: None for quota in quotas if quota is not None}

    @cached_property
    def _batch(self) -> BatchClient:
        client: BatchClient = self._client("batch")
        return client

    @cached_property
    def _ec2(self) -> EC2Client:
        client: EC2Client = self._client("ec2")
        return client

    @cached_property
    def _quotas(self) -> ServiceQuotasClient:
        client: ServiceQuotasClient = self._client("service-quotas")
        return client

    @cached_property
    def _catalog(self) -> Catalog:
        return self._make_catalog()

    @cached_property
    def _offered(self) -> Collection[str] | None:
        return _unless_denied(lambda: offered_types(self._ec2))


def summary(findings: Sequence[Finding]) -> str | None:
    """Return the findings about a job as one string, or None if there are none."""
    parts = [f"{finding.what}: {finding.why} (fix: {finding.fix})" for finding in findings]
    return "; ".join(parts) or None


def _unless_denied(call: Callable[[], Answer]) -> Answer | None:
    """Return the answer, or None if AWS denies it: a missing diagnosis must not stop polling."""
    try:
        return call()
    except AwsRefusedError:
        return None


def _ready_at_ms(job: Queued, ended_ms: Mapping[str, int]) -> int:
    """Return when the job became ready: submitted, parents ended, last attempt ended."""
    return max(job.since_ms, *(ended_ms.get(parent, 0) for parent in job.parents), 0)
