"""Jobs that the account's quotas keep from being submitted: they wait, lose types, or fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from botocore.exceptions import ClientError

from flowyml_aws.aws.sagemaker.quotas import ExceededQuota, no_quota
from flowyml_aws.planning.nodes import NodeLimit
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.submission.backend import JobState, JobStatus

__all__ = ["TrainingHolds"]

_POLLS = 10  # between two submissions, if no job of the run has ended meanwhile


@dataclass(frozen=True, slots=True)
class _Wait:
    """A wait until other jobs have ended.

    Attributes:
        since: Seconds since the epoch.
        ended_count: Number of the run's training jobs that had ended by then.
        reason: Reason, with SageMaker's message.
    """

    since: float
    ended_count: int
    reason: str


class TrainingHolds:
    """Reactions to the quotas of an account, for the jobs of one run.

    A quota that is used up is free again when other jobs end. A quota below the request of a single
    job never is: the job does without that instance type, or fails if it has no other one.

    AWS does not document whether such a type refuses a request with several types. Without it, the
    request is right in both cases.
    """

    def __init__(self, region: str, poll_s: float, clock: Callable[[], float]) -> None:
        self._region = region
        self._poll_s = poll_s
        self._clock = clock
        self._waits: dict[tuple[str, ...], _Wait] = {}  # by the quotas of a job
        self._limits: dict[tuple[str, str], NodeLimit] = {}  # by type and capacity
        self._reasons: dict[str, str] = {}  # of jobs that wait, by name in the plan
        self._failed: dict[str, str] = {}
        self._notes: dict[str, str] = {}

    def open_types(self, job: PlannedJob) -> PlannedJob | None:
        """Return a job with only the types that have a quota; None if it can't start at all."""
        if job.name in self._failed:
            return None
        closed, reasons = [], []
        for offer in job.offers:
            limit = self._limits.get((offer.instance_type, job.capacity))
            if limit is not None and limit.nodes < offer.nodes:
                closed.append(offer)
                reasons.append(limit.reason)
        if not closed:
            return job
        if len(closed) == len(job.offers):
            self._failed[job.name] = "; ".join(reasons)
            return None
        self._notes[job.name] = f"without {', '.join(o.instance_type for o in closed)}: " + (
            "; ".join(reasons)
        )
        offers = tuple(offer for offer in job.offers if offer not in closed)
        return job.model_copy(update={"offers": offers})

    def is_waiting(self, job: PlannedJob, ended_count: int) -> bool:
        """Return whether it is too early to submit a job again."""
        wait = self._waits.get(_quotas(job))
        if wait is None or wait.ended_count != ended_count:
            return False
        if self._clock() - wait.since >= _POLLS * self._poll_s:
            return False
        self._reasons[job.name] = wait.reason
        return True

    def refuse(self, job: PlannedJob, error: ClientError, ended_count: int) -> bool:
        """Record a refusal. Return True if the job should be submitted with its other types."""
        message = error.response.get("Error", {}).get("Message", "")
        exceeded = ExceededQuota.from_message(message)
        if exceeded is None or not exceeded.is_permanent:
            reason = f"waiting for the account's quota: {message}"
            self._waits[_quotas(job)] = _Wait(self._clock(), ended_count, reason)
            self._reasons[job.name] = reason
            return False
        reason = no_quota(exceeded.name, exceeded.limit, self._region, requested=exceeded.requested)
        if exceeded.instance_type in {offer.instance_type for offer in job.offers}:
            limit = NodeLimit(exceeded.limit, reason)
            self._limits[exceeded.instance_type, job.capacity] = limit
            return True
        self._failed[job.name] = reason
        return False

    def accept(self, job: PlannedJob) -> None:
        """Record that a job was submitted."""
        self._waits.pop(_quotas(job), None)
        self._reasons.pop(job.name, None)

    def statuses(self, known: Mapping[str, JobStatus]) -> dict[str, JobStatus]:
        """Return the statuses of a run's jobs, with those that quotas decide.

        Args:
            known: Statuses of the jobs that are at SageMaker, by name.
        """
        statuses = dict(known)
        for job, reason in self._failed.items():
            status = statuses.get(job, JobStatus(JobState.LOST))
            if status.state is JobState.LOST:
                statuses[job] = JobStatus(JobState.FAILED, status.attempt, reason)
        for job, reason in list(self._reasons.items()):
            status = statuses.get(job, JobStatus(JobState.LOST))
            if status.state is JobState.LOST:
                statuses[job] = JobStatus(JobState.LOST, status.attempt, reason)
            else:  # another client submitted it
                del self._reasons[job]
        for job, note in self._notes.items():
            if job in statuses and statuses[job].reason is None and not statuses[job].state.ended:
                statuses[job] = replace(statuses[job], reason=note)
        return statuses


def _quotas(job: PlannedJob) -> tuple[str, ...]:
    """Return the capacity and machines of a job. Jobs with the same ones share quotas."""
    return (job.capacity, *(offer.machines for offer in job.offers))
