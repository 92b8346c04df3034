"""Submission of a run's Batch jobs in rounds, parents first, each job once.

| outcome of a SubmitJob | what is done |
|---|---|
| an id | it is noted |
| a refusal | the submission ends with an error; a later one continues it |
| no answer, or 5xx | the name is looked up until ListJobs would show it, then asked for again |

A job that was asked for twice is claimed for the copy that is noted (`batch_copies`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from flowyml_aws.aws.batch import submission as batch_submission
from flowyml_aws.aws.batch.batch_job import BatchJob, levels
from flowyml_aws.aws.batch.calls import UnclearAnswerError, submit_job
from flowyml_aws.aws.batch.copies import JobCopies
from flowyml_aws.aws.batch.jobs import ListedJob
from flowyml_aws.aws.batch.requests import submit_request
from flowyml_aws.aws.batch.submission import Lease, Submissions
from flowyml_aws.core.concurrency import SERVICE_CALLS, map_to_completion
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

__all__ = ["BatchSubmitter"]

_JOBS_PER_NOTE = 100
_CALLS_PER_JOB = 5  # that end without an answer


class BatchSubmitter:
    """Submits jobs while this client holds the lease.

    Args:
        batch: Batch client.
        record: Record of the run.
        copies: Copies of the run's jobs.
        submissions: Submission documents, with the ids of the jobs that exist.
        lease: The right to submit.
        tags: Extra tags of the jobs.
        clock: Seconds that pass also while this machine is suspended.
        pause: Function that waits until the next poll.

    Attributes:
        has_unanswered: Whether a job may exist whose id is unknown.
    """

    def __init__(
        self,
        batch: BatchClient,
        record: RunRecord,
        copies: JobCopies,
        submissions: Submissions,
        lease: Lease,
        tags: Mapping[str, str],
        clock: Callable[[], float],
        pause: Callable[[], None],
    ) -> None:
        self._batch = batch
        self._record = record
        self._copies = copies
        self._submissions = submissions
        self._lease = lease
        self._tags = tags
        self._clock = clock
        self._pause = pause
        self._unanswered: set[str] = set()
        self._asked_once: set[str] = set()  # so that there is at most one copy
        self._is_contested = False
        self._unnoted = 0

    @property
    def has_unanswered(self) -> bool:
        return bool(self._unanswered)

    def take_over(self, jobs: Sequence[BatchJob]) -> None:
        """Find the jobs that a client submitted before it stopped without a word.

        One listing does not prove that a job does not exist: it shows a new job only later. From
        now on, each submitted job is claimed: the other client may wake up in the middle of a call.

        Raises:
            LeaseLostError: A third client has taken over.
        """
        self._is_contested = True
        while True:
            is_complete = self._submissions.all_are_listed()
            listed = self._copies.listed()
            for job in jobs:
                if job.name in listed:
                    self._adopt(job, listed[job.name])
            if is_complete or all(job.name in self._submissions.job_ids for job in jobs):
                break
            self._lease.prove()
            self._pause()
        self._lease.write("going")

    def submit(
        self, jobs: Sequence[BatchJob], succeeded: Collection[str], definitions: Mapping[str, str]
    ) -> None:
        """Submit jobs.

        Args:
            jobs: Jobs that do not exist.
            succeeded: Names of the Batch jobs whose result is stored.
            definitions: Name of the job definition of each job, by job name.

        Raises:
            LeaseLostError: Another client has taken over.
            AwsRefusedError: Batch refused a job, or does not answer.
        """

        def submit(job: BatchJob) -> UnclearAnswerError | None:
            ids = self._submissions.job_ids
            parents = {parent: ids[parent] for parent in job.after if parent not in succeeded}
            definition = definitions[job.name]
            request = submit_request(job, self._record, definition, parents, self._tags)
            return self._submit(job, lambda doing: submit_job(self._batch, request, doing))

        for level in levels(jobs):
            for start in range(0, len(level), _JOBS_PER_NOTE):
                self._submit_part(level[start : start + _JOBS_PER_NOTE], submit)

    def _submit_part(
        self, jobs: Sequence[BatchJob], submit: Callable[[BatchJob], UnclearAnswerError | None]
    ) -> None:
        """Submit jobs of one level until the id of each is known."""
        remaining = jobs
        for _ in range(_CALLS_PER_JOB):
            asked = remaining
            answers = map_to_completion(submit, asked, limit=SERVICE_CALLS)
            errors = {j.name: e for j, e in zip(asked, answers, strict=True) if e is not None}
            remaining = [job for job in asked if job.name in errors]
            if remaining:
                self._look_up(remaining)
                remaining = [job for job in remaining if job.name in self._unanswered]
            if not remaining:
                break
        else:
            raise errors[remaining[0].name]
        self._unnoted += len(jobs)
        if self._unnoted >= _JOBS_PER_NOTE or self._submissions.uncertain:
            self._lease.write("going")
            self._unnoted = 0

    def _submit(self, job: BatchJob, call: Callable[[str], str]) -> UnclearAnswerError | None:
        """Submit a job. Return the error if it is not known whether it exists."""
        self._lease.prove()
        is_repeated = job.name in self._unanswered
        self._unanswered.add(job.name)
        try:
            job_id = call(f"submit job {job.planned!r} to queue {job.queue!r}")
        except UnclearAnswerError as error:
            uncertain = self._submissions.uncertain
            if is_repeated or job.name in uncertain:
                self._asked_once.discard(job.name)
            else:
                self._asked_once.add(job.name)
            uncertain.add(job.name)
            return error
        except AwsRefusedError:
            if not is_repeated:
                self._unanswered.discard(job.name)
            raise
        ids = {job.name: job_id}
        if is_repeated or self._is_contested:
            ids = self._copies.keep(job, [ListedJob(job_id, "SUBMITTED", 0)])
        self._submissions.job_ids.update(ids)
        self._unanswered.discard(job.name)
        return None

    def _look_up(self, jobs: Sequence[BatchJob]) -> None:
        """Look for jobs whose submission was not answered, until a listing would show them."""
        asked_at = self._clock()
        missing = list(jobs)
        while True:
            listed_at = self._clock()
            listed = self._copies.listed(missing)
            for job in missing:
                if job.name in listed:
                    self._adopt(job, listed[job.name])
            missing = [job for job in missing if job.name not in listed]
            if not missing or listed_at - asked_at >= batch_submission.LISTED_AFTER_S:
                return
            self._lease.prove()
            self._pause()

    def _adopt(self, job: BatchJob, copies: Sequence[ListedJob]) -> None:
        """Note the copy of a job that is kept."""
        if job.name in self._asked_once:
            self._submissions.uncertain.discard(job.name)
        noted = self._submissions.job_ids.get(job.name)
        if noted is not None and noted not in {copy.job_id for copy in copies}:
            copies = [*copies, ListedJob(noted, "SUBMITTED", 0)]
        if len(copies) > 1 or job.name in self._submissions.uncertain:
            ids = self._copies.keep(job, copies)
        else:
            ids = {job.name: copies[0].job_id}
        self._submissions.job_ids.update(ids)
        self._unanswered.discard(job.name)
