"""Jobs on AWS Batch, and the places of a plan's jobs in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flowyml_aws.core.job_options import NO_OPTIONS, JobOptions
from flowyml_aws.planning.needs import Needs

__all__ = ["BatchJob", "JobPlace", "array_id_of", "child_id", "job_places", "levels", "submittable"]


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A job on AWS Batch.

    Attributes:
        name: Batch job name; the same for the same submission of the same job of the same run.
        first_attempt: Number of its first attempt: 1, until the job has moved to another machine.
        planned: Name of the plan's job that it runs, or whose parents it joins; of an array, the
            names of its mapped steps.
        is_join: Whether it only waits for its parents.
        children: Names of the plan's jobs of an array, by index, also of those that have moved.
        after: Batch job names of its parents, at most 20.
        same_index: Those of its parents that are arrays, and of which each child waits for the
            child of its own index.
        awaits: Names of the plan's jobs that must have succeeded before it can be submitted,
            because their array can't succeed any more.
        command: Command of the container.
        timeout_s: Timeout of each attempt in seconds, or None.
        environment: Environment variables of the container.
        secrets: References to secrets, by environment variable.
        efa_interfaces: Elastic Fabric Adapters of the container of each node.
        share: Share identifier in a fair-share queue; None elsewhere.
        options: Options of the job that its steps declare.
    """

    name: str
    planned: str
    is_join: bool
    queue: str
    after: tuple[str, ...]
    command: tuple[str, ...]
    needs: Needs
    timeout_s: int | None
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    first_attempt: int = 1
    children: tuple[str, ...] = ()
    same_index: tuple[str, ...] = ()
    awaits: tuple[str, ...] = ()
    efa_interfaces: int = 0
    share: str | None = None
    options: JobOptions = NO_OPTIONS

    @property
    def jobs(self) -> tuple[str, ...]:
        """Names of the plan's jobs that it runs, or whose parents it joins."""
        return self.children or (self.planned,)


@dataclass(frozen=True, slots=True)
class JobPlace:
    """The Batch job that runs a job of the plan.

    Attributes:
        batch_job: The Batch job, which may be an array.
        index: Index of the job in the array; None if it runs alone.
    """

    batch_job: BatchJob
    index: int | None = None

    @property
    def name(self) -> str:
        """Name under which the id of a copy is noted that runs instead of a child.

        Names of Batch jobs contain no colon. Of a job that runs alone, its Batch job name.
        """
        name = self.batch_job.name
        return name if self.index is None else f"{name}:{self.index}"

    def job_id(self, ids: Mapping[str, str]) -> str | None:
        """Return the id of the job; None if it is not known to exist.

        Args:
            ids: Batch job ids by name.
        """
        job_id = ids.get(self.name)
        if job_id is None and self.index is not None and self.batch_job.name in ids:
            return child_id(ids[self.batch_job.name], self.index)
        return job_id


def child_id(array_id: str, index: int) -> str:
    """Return the id of a child of an array job (user guide of AWS Batch, "Array jobs")."""
    return f"{array_id}:{index}"


def array_id_of(job_id: str) -> str:
    """Return the id of the array of a child; any other id is returned as it is."""
    return job_id.rpartition(":")[0] or job_id


def job_places(jobs: Iterable[BatchJob]) -> dict[str, JobPlace]:
    """Return the place of each job of the plan, by its name in the plan."""
    running = [job for job in jobs if not job.is_join]
    places = {
        name: JobPlace(job, index) for job in running for index, name in enumerate(job.children)
    }
    # Jobs that have left their array run alone.
    return places | {job.planned: JobPlace(job) for job in running if not job.children}


def submittable(
    jobs: Sequence[BatchJob], existing: Collection[str], succeeded: Collection[str]
) -> list[BatchJob]:
    """Return the jobs that can be submitted now, parents before children.

    Args:
        jobs: Jobs that do not exist, parents before children.
        existing: Names of the Batch jobs that exist.
        succeeded: Names of the plan's jobs, and of the Batch jobs, that have succeeded.
    """
    chosen: dict[str, BatchJob] = {}
    for job in jobs:
        waits = any(name not in succeeded for name in job.awaits)
        if not waits and all(p in existing or p in succeeded or p in chosen for p in job.after):
            chosen[job.name] = job
    return list(chosen.values())


def levels(jobs: Sequence[BatchJob]) -> list[list[BatchJob]]:
    """Group jobs in rounds: the parents of each are in earlier rounds or not among the jobs."""
    depths: dict[str, int] = {}
    rounds: list[list[BatchJob]] = []
    for job in jobs:
        depth = 1 + max((depths.get(parent, -1) for parent in job.after), default=-1)
        depths[job.name] = depth
        if depth == len(rounds):
            rounds.append([])
        rounds[depth].append(job)
    return rounds
