"""Batch jobs and SubmitJob requests for a plan, with join jobs for jobs of many parents.

Jobs of an array (`RunRecord.arrays`) are one Batch job until they move (`parents`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from flowyml_aws.aws.batch.batch_job import BatchJob
from flowyml_aws.aws.batch.nodes import ALL_NODES
from flowyml_aws.aws.batch.parents import Parents, job_name
from flowyml_aws.aws.batch.retry import MAX_ATTEMPTS, RETRY_RULES
from flowyml_aws.aws.tags import run_tags
from flowyml_aws.planning.arrays import ArrayPlaces
from flowyml_aws.planning.cost_shares import MIN_ATTEMPT_S, attempt_limit_s
from flowyml_aws.planning.environment import container_environment
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_batch.type_defs import (
        ContainerOverridesTypeDef,
        ResourceRequirementTypeDef,
        SubmitJobRequestTypeDef,
    )

__all__ = ["batch_jobs", "each_batch_job", "submit_request"]


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
    planned = {job.name: job for job in plan.jobs}
    numbers = [n for n, array in enumerate(record.arrays) if array.jobs[0] in planned]
    places = ArrayPlaces([record.arrays[number].jobs for number in numbers])
    parents_of = Parents(record, planned, places)
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
        if parents_of.is_alone(job.name):
            argument = record.spec_argument(job.name, store)
            unit = _unit(job, argument, region, environments)
            unit = replace(unit, name=job_name(record, job))
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
        timeout_s=attempt_limit_s(job),
        environment=environments.setdefault(tuple(environment.items()), environment),
        secrets=job.secrets,
        efa_interfaces=job.efa_interfaces,
        share=job.share,
        options=job.options,
        first_attempt=1 + MAX_ATTEMPTS * job.moved,
    )


def _attempts_before(job: PlannedJob) -> dict[str, str]:
    before = MAX_ATTEMPTS * job.moved
    return {"FLOWYML_ATTEMPTS_BEFORE": str(before)} if before else {}


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
        "retryStrategy": {"attempts": MAX_ATTEMPTS, "evaluateOnExit": RETRY_RULES},
        "propagateTags": True,
        "tags": {**(tags or {}), **run_tags(record, job.planned)},
    }
    overrides: ContainerOverridesTypeDef = {
        "command": job.command,
        "resourceRequirements": _requirements(job.needs),
        "environment": [{"name": n, "value": value} for n, value in job.environment.items()],
    }
    if job.needs.nodes > 1:
        request["nodeOverrides"] = {
            "numNodes": job.needs.nodes,
            "nodePropertyOverrides": [{"targetNodes": ALL_NODES, "containerOverrides": overrides}],
        }
    else:
        request["containerOverrides"] = overrides
    if job.children and not job.is_join:
        request["arrayProperties"] = {"size": len(job.children)}
    if job.share is not None:
        # Batch refuses a job of a fair-share queue without a priority, and of any other with one.
        request["shareIdentifier"] = job.share
        request["schedulingPriorityOverride"] = job.options.priority or 0
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
