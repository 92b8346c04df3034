"""Copies of a run's Batch jobs: how they are found, which one is kept, and how they end.

A job has several copies if the answer to its submission was lost, or if two clients submitted it.
The kept copy holds the claim in the store (`runtime.claim`), so any other copy ends before its
first step, whenever it starts. Jobs that depend on it are submitted only afterwards, so they
depend on the copy that runs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.batch.batch_job import (
    BatchJob,
    JobPlace,
    array_id_of,
    child_id,
    job_places,
)
from flowyml_aws.aws.batch.jobs import ListedJob, list_jobs, terminate_job, unended_names
from flowyml_aws.aws.unended import end_each
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.runtime.claim import JobClaim, claim_holder, claim_job

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

__all__ = ["JobCopies", "preferred_copy"]

_NO_COPY = "the cancelled run"
_PREFERENCE = {"SUCCEEDED": 0, "RUNNING": 1, "STARTING": 2, "FAILED": 4}


def preferred_copy(copies: Sequence[ListedJob]) -> ListedJob:
    """Return the copy that is furthest, and of several the oldest one."""
    return min(copies, key=lambda c: (_PREFERENCE.get(c.status, 3), c.created_at_ms, c.job_id))


class JobCopies:
    """The copies of the jobs of one run.

    Args:
        batch: Batch client.
        store: Store of the run.
        run_id: The run.
        jobs: All jobs of the run on Batch, with the joins.
    """

    def __init__(
        self, batch: BatchClient, store: ArtifactStore, run_id: str, jobs: Sequence[BatchJob]
    ) -> None:
        self._batch = batch
        self._store = store
        self._run_id = run_id
        self._names: set[str] = set()
        self._queues: set[str] = set()
        self._first_attempts: dict[str, int] = {}
        self.use(jobs)

    def use(self, jobs: Sequence[BatchJob]) -> None:
        """Use the jobs of a plan in which some have moved. Those that they replace stay known."""
        self._names.update(job.name for job in jobs)
        self._queues.update(job.queue for job in jobs)
        # A Batch job claims its first attempt in each of its attempts (`runtime.platform`).
        places = job_places(jobs)
        self._first_attempts.update((n, p.batch_job.first_attempt) for n, p in places.items())

    def listed(self, jobs: Sequence[BatchJob] = ()) -> Mapping[str, Sequence[ListedJob]]:
        """Return the copies that ListJobs shows, by job name: of some jobs, or of all."""
        names = {job.name for job in jobs} or self._names
        queues = {job.queue for job in jobs} or self._queues
        return list_jobs(self._batch, self._run_id, queues, names)

    def keep(self, job: BatchJob, copies: Sequence[ListedJob]) -> dict[str, str]:
        """Keep one copy of a job, and return its id by its name. The others are terminated.

        The holder of the claim is kept. Without a claim, the preferred copy is kept and claims.
        Each child of an array has a claim of its own, so the array is kept whose children hold the
        most. The ids of children of other copies that hold a claim are returned, too, by the names
        of their places. Those arrays are not terminated; their other children end when they start.
        """
        preferred = preferred_copy(copies).job_id
        if job.is_join:
            ids = {job.name: preferred}
        elif not job.children:
            ids = {job.name: self._claim(job.planned, job.first_attempt, preferred)}
        else:
            ids = self._keep_children(job, preferred)
        kept = set(map(array_id_of, ids.values()))
        for copy in copies:
            if copy.job_id not in kept and not copy.has_ended:
                with suppress(AwsRefusedError):  # it ends by itself when it starts
                    self.terminate(job, copy.job_id)
        return ids

    def _keep_children(self, job: BatchJob, array_id: str) -> dict[str, str]:
        """Claim all jobs of an array, and return the ids of the copies that hold the claims."""
        holders = map_concurrently(
            lambda index: self._claim(
                job.children[index], job.first_attempt, child_id(array_id, index)
            ),
            range(len(job.children)),
            limit=STORE_REQUESTS,
        )
        arrays = Counter(map(array_id_of, holders))
        kept = max(arrays, key=lambda each: (arrays[each], each == array_id))
        others = {
            JobPlace(job, index).name: holder
            for index, holder in enumerate(holders)
            if array_id_of(holder) != kept
        }
        return {job.name: kept, **others}

    def _claim(self, job: str, attempt: int, job_id: str) -> str:
        """Claim a job of the plan for a copy, and return the id of the holder of the claim."""
        claim = JobClaim(copy_id=job_id, claimed_at=time.time())
        return claim_job(self._store, self._run_id, job, attempt, claim)

    def claim_all(self, jobs: Sequence[BatchJob]) -> None:
        """Claim jobs for the cancelled run, so that no copy of them runs."""
        names = [(name, job.first_attempt) for job in jobs for name in job.jobs]
        map_concurrently(lambda job: self._claim(*job, _NO_COPY), names, limit=STORE_REQUESTS)

    def holder(self, job: str) -> str | None:
        """Return the id of the copy that holds the claim of a planned job, or None."""
        return claim_holder(self._store, self._run_id, job, self._first_attempts[job])

    def terminate(self, job: BatchJob, job_id: str) -> None:
        """Terminate a job. CancelJob would have no effect once a job is STARTING.

        Raises:
            AwsRefusedError: AWS denied the call.
        """
        terminate_job(self._batch, job_id, f"terminate job {job.planned!r}")

    def terminate_all(self, found: Sequence[tuple[BatchJob, str]]) -> dict[str, AwsRefusedError]:
        """Terminate jobs. Return the errors of those that could not be terminated, by id."""
        jobs = {job_id: job for job, job_id in found}
        return end_each(list(jobs), lambda job_id: self.terminate(jobs[job_id], job_id))

    def still_there(self, job_ids: Collection[str]) -> list[str]:
        """Return the names of the jobs among these that have not ended, sorted."""
        return unended_names(self._batch, job_ids)
