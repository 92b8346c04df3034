"""Why queued jobs of a run do not start: asks the account for the facts that `runnable` judges.

Only read calls, and none that has to be allowed: what AWS denies is left out of the judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.account import offered_types
from flowyml_aws.aws.batch_jobs import describe_jobs
from flowyml_aws.aws.errors import refused
from flowyml_aws.aws.queues import Queue, read_queues
from flowyml_aws.aws.quotas import Quota, quota_of, read_limits, running_vcpus
from flowyml_aws.aws.runnable import CERTAIN_S, Persistence, WaitingJob, diagnose
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.families import expanded
from flowyml_aws.planning.needs import Needs

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import JobDetailTypeDef
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_service_quotas import ServiceQuotasClient

__all__ = ["Queued", "RunnableDiagnosis", "summary"]

Answer = TypeVar("Answer")

_EVERY_S = 30.0  # between two looks of who watches


@dataclass(frozen=True, slots=True)
class Queued:
    """A job that Batch says is RUNNABLE."""

    detail: JobDetailTypeDef
    needs: Needs


class RunnableDiagnosis:
    """Asks about queued jobs, and remembers what it found, so that only what lasts is told.

    Args:
        client: A client of a service, by boto3's name of it; asked only when a job waits.
        catalog: Reads the region's.
        clock: Seconds since the epoch.
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
        self._looked_at = float("-inf")
        self._lasting: Mapping[str, tuple[Finding, ...]] = {}

    def watch(self, queued: Mapping[str, Queued]) -> Mapping[str, tuple[Finding, ...]]:
        """What two looks in a row found, by job; looks again only after a while."""
        if not queued:
            return {}
        if self._clock() - self._looked_at >= _EVERY_S:
            self._lasting = self._persistence.lasting(self.look(queued))
            self._looked_at = self._clock()
        return {job: told for job, told in self._lasting.items() if told and job in queued}

    def look(self, queued: Mapping[str, Queued]) -> dict[str, tuple[Finding, ...]]:
        """What is found now, by job; nothing for a job that is not old enough to tell."""
        ages = self._ages(queued)
        old = {job: queued[job] for job, age_s in ages.items() if age_s >= CERTAIN_S}
        queues = _allowed(lambda: read_queues(self._batch)) if old else None
        if queues is None:
            return dict.fromkeys(queued, ())
        ours = {name: queues[name] for name in map(_queue_name, old.values()) if name in queues}
        limits = _allowed(lambda: read_limits(self._quotas, self._quotas_of(ours.values()))) or {}
        used = _allowed(lambda: running_vcpus(self._ec2, self._catalog)) if limits else None
        fronts = {name: _allowed(partial(self._front, name)) for name in ours}
        found: dict[str, tuple[Finding, ...]] = dict.fromkeys(queued, ())
        for job, one in old.items():
            name = _queue_name(one)
            front = fronts.get(name)
            arn = one.detail["jobArn"]
            is_in_front = front is not None and arn in front
            found[job] = diagnose(
                WaitingJob(
                    name=job,
                    needs=one.needs,
                    queue_name=name,
                    queue=ours.get(name),
                    age_s=ages[job],
                    catalog=self._catalog,
                    status_reason=one.detail.get("statusReason", ""),
                    ahead=front.index(arn) if front is not None and is_in_front else None,
                    is_behind_front=bool(front) and not is_in_front,
                    offered=self._offered,
                    limits=limits,
                    used=used,
                )
            )
        return found

    def _ages(self, queued: Mapping[str, Queued]) -> dict[str, float]:
        """For how long each job could have started, in seconds."""
        parents = {
            parent["jobId"]
            for one in queued.values()
            for parent in one.detail.get("dependsOn", ())
            if "jobId" in parent
        }
        ended_ms = {
            detail["jobId"]: detail.get("stoppedAt", 0)
            for detail in describe_jobs(self._batch, sorted(parents))
        }
        now_ms = self._clock() * 1000
        return {
            job: (now_ms - _since_ms(one.detail, ended_ms)) / 1000 for job, one in queued.items()
        }

    def _front(self, queue: str) -> list[str]:
        """ARNs of the queue's first jobs, in order."""
        try:
            told = self._batch.get_job_queue_snapshot(jobQueue=queue)
        except (ClientError, BotoCoreError) as error:
            raise refused(error, f"look at the front of queue {queue!r}") from error
        return [job["jobArn"] for job in told["frontOfQueue"]["jobs"]]

    def _quotas_of(self, queues: Iterable[Queue]) -> Collection[Quota]:
        found = (
            quota_of(name.partition(".")[0], one.capacity)
            for queue in queues
            for one in queue.working
            for name in expanded(one.types, self._catalog)
        )
        return {quota: None for quota in found if quota is not None}

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
        return _allowed(lambda: offered_types(self._ec2))


def summary(found: Sequence[Finding]) -> str | None:
    """Findings about one job in one text, or None."""
    told = [f"{one.what}: {one.why} (fix: {one.fix})" for one in found]
    return "; ".join(told) or None


def _allowed(ask: Callable[[], Answer]) -> Answer | None:
    """The answer, or None where AWS refuses it: why a job waits is no reason to stop watching."""
    try:
        return ask()
    except AwsRefusedError:
        return None


def _queue_name(one: Queued) -> str:
    return one.detail["jobQueue"].rpartition("/")[2]


def _since_ms(detail: JobDetailTypeDef, ended_ms: Mapping[str, int]) -> float:
    """When the job could have started: submitted, its parents ended, its last attempt ended."""
    parents = [ended_ms.get(parent.get("jobId", ""), 0) for parent in detail.get("dependsOn", ())]
    attempts = [attempt.get("stoppedAt", 0) for attempt in detail.get("attempts", ())]
    return max(detail.get("createdAt", 0), *parents, *attempts, 0)
