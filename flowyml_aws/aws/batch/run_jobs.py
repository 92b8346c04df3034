"""The Batch jobs of a run, as one client knows them, by the jobs of the plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from flowyml_aws.aws.batch.batch_job import BatchJob, job_places, submittable

__all__ = ["RunJobs"]


class RunJobs:
    """The Batch jobs of a plan and their ids.

    Args:
        jobs: Batch jobs, parents before children.
        ids: Batch job ids by name, which change while jobs are submitted.

    Attributes:
        places: Place of each job of the plan.
    """

    def __init__(self, jobs: Sequence[BatchJob], ids: Mapping[str, str]) -> None:
        self.jobs = jobs
        self.places = job_places(jobs)
        self._ids = ids

    def known(self) -> dict[str, str]:
        """Return the ids of the jobs of the plan that exist, by name."""
        ids = ((job, place.job_id(self._ids)) for job, place in self.places.items())
        return {job: job_id for job, job_id in ids if job_id is not None}

    def array_of(self, job: str, job_id: str) -> str | None:
        """Return the id of the array of which a job is a child; None if it runs alone.

        Args:
            job: Name in the plan.
            job_id: Id of the job, which may be that of another copy than the child's.
        """
        place = self.places[job]
        if place.index is None:
            return None
        array_id = self._ids[place.batch_job.name]
        return array_id if job_id.startswith(f"{array_id}:") else None

    def names_of(self, jobs: Collection[str]) -> set[str]:
        """Return the names of the Batch jobs that run only jobs of the plan among these."""
        chosen = set(jobs)
        running = (job for job in self.jobs if not job.is_join)
        return {job.name for job in running if all(name in chosen for name in job.jobs)}

    def done_after(self, succeeded: Collection[str]) -> set[str]:
        """Return the names of the plan's jobs and of the Batch jobs that need not be waited for.

        Joins are among them whose parents have all succeeded: they need not be submitted.

        Args:
            succeeded: Names of the plan's jobs that have succeeded.
        """
        done = {*succeeded, *self.names_of(succeeded)}
        for job in self.jobs:  # parents come before their children
            if job.is_join and done.issuperset((*job.after, *job.awaits)):
                done.add(job.name)
        return done

    def ids_of(self, jobs: Collection[str]) -> set[str]:
        """Return the ids of the Batch jobs that run only jobs of the plan among these."""
        return {self._ids[name] for name in self.names_of(jobs) if name in self._ids}

    def submittable(self, requested: Collection[str], succeeded: Collection[str]) -> list[BatchJob]:
        """Return the Batch jobs to submit now, parents before children.

        Args:
            requested: Names of jobs of the plan.
            succeeded: Names of the plan's jobs, and of the Batch jobs, that have succeeded.
        """
        missing = [
            job
            for job in self.jobs
            if job.name not in self._ids
            and job.name not in succeeded
            and any(name in requested for name in job.jobs)
        ]
        return submittable(missing, self._ids, succeeded)

    def first_of_each(self, jobs: Iterable[str]) -> dict[str, str]:
        """Return the first job of the plan that each Batch job runs, by the Batch job's name.

        Args:
            jobs: Names of jobs of the plan; the others are left out.
        """
        first: dict[str, str] = {}
        for job in sorted(jobs, key=lambda job: self.places[job].index or 0):
            first.setdefault(self.places[job].batch_job.name, job)
        return first
