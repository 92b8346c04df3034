"""Batch jobs and SubmitJob requests for a plan, with join jobs for jobs of many parents."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowyml_aws.aws.batch.retry import MAX_ATTEMPTS, RETRY_RULES
from flowyml_aws.aws.names import batch_name
from flowyml_aws.aws.tags import run_tags
from flowyml_aws.planning.cost_shares import MIN_ATTEMPT_S, attempt_limit_s
from flowyml_aws.planning.environment import container_environment
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_batch.type_defs import (
        ResourceRequirementTypeDef,
        SubmitJobRequestTypeDef,
    )

__all__ = ["BatchJob", "batch_jobs", "each_batch_job", "levels", "submit_request"]

# https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
_MAX_PARENTS = 20
_JOIN_NEEDS = Needs(vcpus=1, memory_mib=512)


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A job on AWS Batch.

    Attributes:
        name: Batch job name; the same for the same submission of the same job of the same run.
        first_attempt: Number of its first attempt: 1, until the job has moved to another machine.
        planned: Name of the plan's job that it runs, or whose parents it joins.
        is_join: Whether it only waits for its parents.
        after: Batch job names of its parents, at most 20.
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


def batch_jobs(
    plan: ExecutionPlan, record: RunRecord, store: str, region: str
) -> tuple[BatchJob, ...]:
    """Return the Batch jobs of a run, parents before children.

    The arguments are those of `each_batch_job`.
    """
    return tuple(each_batch_job(plan, record, store, region))


def each_batch_job(
    plan: ExecutionPlan, record: RunRecord, store: str, region: str
) -> Iterator[BatchJob]:
    """Yield the Batch jobs of a run, parents before children.

    Args:
        plan: Plan of the run.
        record: Record of the run.
        store: URI of the run's store.
        region: AWS region of the run.
    """
    names = {job.name: _name(record, job) for job in plan.jobs}
    planned = {job.name: job for job in plan.jobs}
    environments: dict[Hashable, dict[str, str]] = {}  # most jobs have the same one
    for job in plan.jobs:
        parents = [names[parent] for parent in job.after]
        if len(parents) > _MAX_PARENTS:
            joins = list(_joins(job, [planned[parent] for parent in job.after], parents, record))
            yield from joins
            joined = {parent for join in joins for parent in join.after}
            parents = [join.name for join in joins if join.name not in joined]
        environment = {**container_environment(job, region), **_attempts_before(job)}
        yield BatchJob(
            name=names[job.name],
            planned=job.name,
            is_join=False,
            queue=job.target,
            after=tuple(parents),
            command=("python", "-m", "flowyml_aws.job", record.spec_argument(job.name, store)),
            needs=job.needs,
            timeout_s=attempt_limit_s(job),
            environment=environments.setdefault(tuple(environment.items()), environment),
            secrets=job.secrets,
            first_attempt=1 + MAX_ATTEMPTS * job.moved,
        )


def _name(record: RunRecord, job: PlannedJob, part: str = "") -> str:
    # Job names of a plan contain no dot, so these names are unique.
    submission = f".submission.{job.submission}" if job.submission else ""
    return batch_name(record.run_id, f"{job.name}{part}{submission}")


def _attempts_before(job: PlannedJob) -> dict[str, str]:
    before = MAX_ATTEMPTS * job.moved
    return {"FLOWYML_ATTEMPTS_BEFORE": str(before)} if before else {}


def _joins(
    job: PlannedJob, parents: Sequence[PlannedJob], names: Sequence[str], record: RunRecord
) -> Iterator[BatchJob]:
    """Yield jobs that each join up to 20 parents, until at most 20 jobs are left."""
    # A machine of the parents is probably still up; the cheapest one is large enough.
    prices = {p.target: math.inf if (usd := p.price_usd_hour) is None else usd for p in parents}
    queue = min(prices, key=lambda target: prices[target])
    number = 0
    while len(names) > _MAX_PARENTS:
        level = []
        for start in range(0, len(names), _MAX_PARENTS):
            number += 1
            level.append(_name(record, job, f".join.{number}"))
            yield BatchJob(
                name=level[-1],
                planned=job.name,
                is_join=True,
                queue=queue,
                after=tuple(names[start : start + _MAX_PARENTS]),
                command=("true",),
                needs=_JOIN_NEEDS,
                timeout_s=None,
            )
        names = level


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
    parents: Collection[str],
    tags: Mapping[str, str] | None = None,
) -> SubmitJobRequestTypeDef:
    """Return the arguments of SubmitJob.

    Args:
        job: The job to submit.
        record: Record of its run.
        definition: Name of its job definition.
        parents: Batch job ids of its parents.
        tags: Extra tags, in addition to the run tags.
    """
    request: SubmitJobRequestTypeDef = {
        "jobName": job.name,
        "jobQueue": job.queue,
        "jobDefinition": definition,
        "dependsOn": [{"jobId": parent} for parent in parents],
        "containerOverrides": {
            "command": job.command,
            "resourceRequirements": _requirements(job.needs),
            "environment": [{"name": n, "value": value} for n, value in job.environment.items()],
        },
        "retryStrategy": {"attempts": MAX_ATTEMPTS, "evaluateOnExit": RETRY_RULES},
        "propagateTags": True,
        "tags": {**(tags or {}), **run_tags(record, job.planned)},
    }
    if job.timeout_s is not None:
        request["timeout"] = {"attemptDurationSeconds": max(MIN_ATTEMPT_S, job.timeout_s)}
    return request


def _requirements(needs: Needs) -> list[ResourceRequirementTypeDef]:
    requirements: list[ResourceRequirementTypeDef] = [
        {"type": "VCPU", "value": str(needs.vcpus)},
        {"type": "MEMORY", "value": str(needs.memory_mib)},
    ]
    if needs.gpu_count:
        requirements.append({"type": "GPU", "value": str(needs.gpu_count)})
    return requirements
