"""Array jobs of AWS Batch: their children, and the dependencies of each child.

Sources: "Array jobs" and "Job dependencies" in the user guide of AWS Batch, and SubmitJob and
TagResource in its API reference. An array that is cancelled or terminated ends with all of its
children, and an array with a failed child fails. A child has the job name of its array, and no tags
of its own: TagResource accepts no child. AWS does not document whether a job may depend on a child
of an array, so this is refused here; nor what else fails if a child fails that a child of another
array waits for (`N_TO_N`): here, only that child does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from flowyml_aws.testing.batch.jobs import Children, Job
from flowyml_aws.testing.batch.validation import ClientException

__all__ = ["INDEX_VARIABLE", "add_children", "check_dependencies", "parent_ids"]

INDEX_VARIABLE = "AWS_BATCH_JOB_ARRAY_INDEX"


def add_children(job: Job, size: int) -> None:
    """Make a job an array job with children."""
    job.array = Children(
        [
            replace(
                job,
                arn=f"{job.arn}:{index}",
                job_id=f"{job.job_id}:{index}",
                tags={},
                attempts=[],
                parent=job,
                index=index,
            )
            for index in range(size)
        ]
    )


def check_dependencies(request: Mapping[str, Any], jobs: Mapping[str, Job]) -> None:
    """Check the dependencies of a SubmitJob request.

    Args:
        request: Members of SubmitJob.
        jobs: All jobs by id.

    Raises:
        ClientException: AWS would reject the request.
    """
    size = (request.get("arrayProperties") or {}).get("size")
    for dependency in request.get("dependsOn") or ():
        kind, job_id = dependency.get("type"), dependency.get("jobId")
        if kind is not None and size is None:
            raise ClientException(f"Only array jobs can have dependencies of type {kind}")
        if kind == "SEQUENTIAL":
            if job_id is not None:
                raise ClientException("A SEQUENTIAL dependency can't have a job id")
            continue
        parent = jobs.get(str(job_id))
        if parent is None or parent.parent is not None:
            raise ClientException(f"Job {job_id} does not exist")
        if kind == "N_TO_N" and len(parent.children) != size:
            raise ClientException(
                f"An N_TO_N dependency requires an array of the same size: job {job_id}"
            )


def parent_ids(job: Job) -> Iterator[str]:
    """Yield the ids of the jobs that a job waits for; of a child, those of its index."""
    for dependency in job.depends_on:
        kind = dependency.get("type")
        if kind == "N_TO_N":
            yield f"{dependency['jobId']}:{job.index}"
        elif kind != "SEQUENTIAL":
            yield dependency["jobId"]
        elif job.parent is not None and job.index > 0:
            yield f"{job.parent.job_id}:{job.index - 1}"
