"""Batch jobs and SubmitJob requests for a plan, with join jobs for jobs of many parents.

Jobs of an array (`RunRecord.arrays`) are one Batch job until they move: a job that moves, and each
job after it, is submitted alone. Then its array can't succeed any more, so that a job that waits
for the whole array waits for the moved jobs instead, and for the results of the others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flowyml_aws.aws.batch.retry import MAX_ATTEMPTS, RETRY_RULES
from flowyml_aws.aws.names import batch_name
from flowyml_aws.aws.tags import run_tags
from flowyml_aws.planning.arrays import ArrayPlaces, Links
from flowyml_aws.planning.environment import container_environment
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_batch.type_defs import (
        ResourceRequirementTypeDef,
        SubmitJobRequestTypeDef,
    )

__all__ = [
    "BatchJob",
    "JobPlace",
    "batch_jobs",
    "child_id",
    "job_places",
    "levels",
    "submit_request",
    "submittable",
]

# https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
_MAX_PARENTS = 20
_MIN_TIMEOUT_S = 60
_JOIN_NEEDS = Needs(vcpus=1, memory_mib=512)


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


def batch_jobs(
    plan: ExecutionPlan, record: RunRecord, store: str, region: str
) -> tuple[BatchJob, ...]:
    """Return the Batch jobs of a run, parents before children.

    Args:
        plan: Plan of the run.
        record: Record of the run.
        store: URI of the run's store.
        region: AWS region of the run.
    """
    return tuple(_jobs(plan, record, store, region))


def child_id(array_id: str, index: int) -> str:
    """Return the id of a child of an array job (user guide of AWS Batch, "Array jobs")."""
    return f"{array_id}:{index}"


def job_places(jobs: Iterable[BatchJob]) -> dict[str, JobPlace]:
    """Return the place of each job of the plan, by its name in the plan."""
    running = [job for job in jobs if not job.is_join]
    places = {
        name: JobPlace(job, index) for job in running for index, name in enumerate(job.children)
    }
    # Jobs that have left their array run alone.
    return places | {job.planned: JobPlace(job) for job in running if not job.children}


def _jobs(plan: ExecutionPlan, record: RunRecord, store: str, region: str) -> Iterator[BatchJob]:
    planned = {job.name: job for job in plan.jobs}
    numbers = [n for n, array in enumerate(record.arrays) if array.jobs[0] in planned]
    places = ArrayPlaces([record.arrays[number].jobs for number in numbers])
    parents_of = _Parents(record, planned, places)
    environments: dict[Hashable, dict[str, str]] = {}  # most jobs have the same one
    begun: set[int] = set()
    for job in plan.jobs:
        place = places.of(job.name)
        if place is not None and place[0] not in begun:
            begun.add(place[0])
            array = [planned[name] for name in places.arrays[place[0]]]
            argument = record.array_argument(numbers[place[0]], store)
            # The others may have moved to other machines.
            model = next((each for each in array if not each.moved), job)
            unit = _unit(model, argument, region, environments)
            unit = replace(
                unit,
                name=parents_of.array_name(place[0]),
                planned="+".join(job.mapped),
                children=places.arrays[place[0]],
                first_attempt=1,
            )
            yield from parents_of.connected(unit, places.links(job), array)
        if place is None or job.submission:
            argument = record.spec_argument(job.name, store)
            unit = _unit(job, argument, region, environments)
            unit = replace(unit, name=_name(record, job))
            yield from parents_of.connected(unit, places.links(job), [job])


def _unit(
    job: PlannedJob, argument: str, region: str, environments: dict[Hashable, dict[str, str]]
) -> BatchJob:
    """Return a Batch job without a name and without parents."""
    environment = {**container_environment(job, region), **_attempts_before(job)}
    return BatchJob(
        name="",
        planned=job.name,
        is_join=False,
        queue=job.target,
        after=(),
        command=("python", "-m", "flowyml_aws.job", argument),
        needs=job.needs,
        timeout_s=job.timeout_s,
        environment=environments.setdefault(tuple(environment.items()), environment),
        secrets=job.secrets,
        first_attempt=1 + MAX_ATTEMPTS * job.moved,
    )


def _name(record: RunRecord, job: PlannedJob, part: str = "") -> str:
    # Job names of a plan contain no dot, so these names are unique.
    submission = f".submission.{job.submission}" if job.submission else ""
    return batch_name(record.run_id, f"{job.name}{part}{submission}")


def _array_name(record: RunRecord, jobs: Sequence[str], part: str = "") -> str:
    return batch_name(record.run_id, f"{jobs[0]}.array{part}")


def _attempts_before(job: PlannedJob) -> dict[str, str]:
    before = MAX_ATTEMPTS * job.moved
    return {"FLOWYML_ATTEMPTS_BEFORE": str(before)} if before else {}


class _Parents:
    """The parents of Batch jobs.

    Args:
        record: Record of the run.
        planned: Jobs of the plan by name.
        places: Places of the jobs in arrays.
    """

    def __init__(
        self, record: RunRecord, planned: Mapping[str, PlannedJob], places: ArrayPlaces
    ) -> None:
        self._record = record
        self._planned = planned
        self._places = places
        # The jobs of each array that are submitted alone.
        self._alone = [
            frozenset(name for name in array if planned[name].submission) for array in places.arrays
        ]

    def array_name(self, number: int) -> str:
        """Return the Batch job name of an array."""
        return _array_name(self._record, self._places.arrays[number])

    def connected(
        self, unit: BatchJob, links: Links, jobs: Sequence[PlannedJob]
    ) -> Iterator[BatchJob]:
        """Yield a Batch job with its parents, after the jobs that join them.

        Args:
            unit: The job without its parents.
            links: Jobs and arrays that it waits for.
            jobs: Jobs of the plan that it runs.
        """
        names: list[str] = []
        awaits: list[str] = []
        single = [*links.jobs]
        for number in links.whole:
            if self._alone[number]:
                single += self._places.arrays[number]
            else:
                names.append(self.array_name(number))
        same_index = [self.array_name(number) for number in links.same_index]
        if not unit.children:
            place = self._places.of(unit.planned)
            single += [self._places.arrays[n][place[1]] for n in links.same_index if place]
            same_index = []
        for name in single:
            place = self._places.of(name)
            if place is None or name in self._alone[place[0]]:
                names.append(_name(self._record, self._planned[name]))
            else:
                awaits.append(name)
        if len(names) + len(same_index) > _MAX_PARENTS:
            parents = [self._planned[parent] for parent in jobs[0].after]
            joins = list(self._joins(unit, jobs[0], parents, names, len(same_index)))
            yield from (replace(join, awaits=tuple(awaits)) for join in joins)
            joined = {parent for join in joins for parent in join.after}
            names = [name for name in (*names, *(j.name for j in joins)) if name not in joined]
        yield replace(
            unit,
            after=(*names, *same_index),
            same_index=tuple(same_index),
            awaits=tuple(awaits),
        )

    def _joins(
        self,
        unit: BatchJob,
        job: PlannedJob,
        parents: Sequence[PlannedJob],
        names: Sequence[str],
        others: int,
    ) -> Iterator[BatchJob]:
        """Yield jobs that each join up to 20 parents, until at most 20 are left with others."""
        # A machine of the parents is probably still up; the cheapest one is large enough.
        prices = {p.target: math.inf if (usd := p.price_usd_hour) is None else usd for p in parents}
        queue = min(prices, key=lambda target: prices[target])
        number = 0
        while len(names) > max(1, _MAX_PARENTS - others):
            level = []
            for start in range(0, len(names), _MAX_PARENTS):
                number += 1
                part = f".join.{number}"
                if unit.children:
                    level.append(_array_name(self._record, unit.children, part))
                else:
                    level.append(_name(self._record, job, part))
                yield BatchJob(
                    name=level[-1],
                    planned=unit.planned,
                    children=unit.children,
                    is_join=True,
                    queue=queue,
                    after=tuple(names[start : start + _MAX_PARENTS]),
                    command=("true",),
                    needs=_JOIN_NEEDS,
                    timeout_s=None,
                )
            names = level


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


def submit_request(
    job: BatchJob,
    record: RunRecord,
    definition: str,
    parents: Mapping[str, str],
    tags: Mapping[str, str] | None = None,
) -> SubmitJobRequestTypeDef:
    """Return the arguments of SubmitJob.

    Args:
        job: The job to submit.
        record: Record of its run.
        definition: Name of its job definition.
        parents: Batch job ids of its parents that it has to wait for, by Batch job name.
        tags: Extra tags, in addition to the run tags.
    """
    request: SubmitJobRequestTypeDef = {
        "jobName": job.name,
        "jobQueue": job.queue,
        "jobDefinition": definition,
        "dependsOn": [
            {"jobId": job_id, "type": "N_TO_N"} if name in job.same_index else {"jobId": job_id}
            for name, job_id in parents.items()
        ],
        "containerOverrides": {
            "command": job.command,
            "resourceRequirements": _requirements(job.needs),
            "environment": [{"name": n, "value": value} for n, value in job.environment.items()],
        },
        "retryStrategy": {"attempts": MAX_ATTEMPTS, "evaluateOnExit": RETRY_RULES},
        "propagateTags": True,
        "tags": {**(tags or {}), **run_tags(record, job.planned)},
    }
    if job.children and not job.is_join:
        request["arrayProperties"] = {"size": len(job.children)}
    if job.timeout_s is not None:
        request["timeout"] = {"attemptDurationSeconds": max(_MIN_TIMEOUT_S, job.timeout_s)}
    return request


def _requirements(needs: Needs) -> list[ResourceRequirementTypeDef]:
    requirements: list[ResourceRequirementTypeDef] = [
        {"type": "VCPU", "value": str(needs.vcpus)},
        {"type": "MEMORY", "value": str(needs.memory_mib)},
    ]
    if needs.gpu_count:
        requirements.append({"type": "GPU", "value": str(needs.gpu_count)})
    return requirements
