"""AWS Batch's ListJobs: filters, order and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowyml_aws.testing.batch.jobs import Status
from flowyml_aws.testing.batch.validation import ClientException

__all__ = ["list_jobs"]

_FILTERS = ("JOB_NAME", "JOB_DEFINITION", "BEFORE_CREATED_AT", "AFTER_CREATED_AT")


def list_jobs(jobs: Sequence[Mapping[str, Any]], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return one page of a queue's jobs, latest first.

    Args:
        jobs: Summaries of all jobs of the queue, in submission order.
        request: Members of ListJobs. With a filter, `jobStatus` is ignored; without either, the
            running jobs are listed (AWS Batch API reference, ListJobs).

    Raises:
        ClientException: AWS would reject the request.
    """
    filters = request.get("filters") or ()
    if filters:
        if len(filters) > 1:
            raise ClientException("Only one filter can be given")
        matching = [job for job in jobs if _matches(job, filters[0])]
    else:
        wanted = _status(request.get("jobStatus") or Status.RUNNING.value)
        matching = [job for job in jobs if job["status"] == wanted.value]
    limit = min(request.get("maxResults") or 1000, 100 if filters else 1000)
    # A page continues after the last job of the previous page: newer jobs do not shift it.
    ordered = matching[::-1]
    if token := request.get("nextToken"):
        older = {job["jobId"] for job in jobs[: _position(jobs, token)]}
        ordered = [job for job in ordered if job["jobId"] in older]
    page: dict[str, Any] = {"jobSummaryList": list(ordered[:limit])}
    if len(ordered) > limit:
        page["nextToken"] = ordered[limit - 1]["jobId"]
    return page


def _position(jobs: Sequence[Mapping[str, Any]], token: str) -> int:
    for position, job in enumerate(jobs):
        if job["jobId"] == token:
            return position
    raise ClientException("Invalid nextToken")


def _status(name: str) -> Status:
    try:
        return Status(name)
    except ValueError:
        names = " | ".join(status.value for status in Status)
        raise ClientException(f"Job status is not one of {names}") from None


def _matches(job: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    kind, values = condition.get("name"), condition.get("values") or ()
    if kind == "JOB_NAME":
        return any(_matches_pattern(value, job["jobName"]) for value in values)
    if kind == "JOB_DEFINITION":
        revision = job["jobDefinition"].rpartition("/")[2]
        names = (job["jobDefinition"], revision, revision.partition(":")[0])
        return any(_matches_pattern(value, name) for value in values for name in names)
    if kind == "BEFORE_CREATED_AT":
        return any(job["createdAt"] < int(value) for value in values)
    if kind == "AFTER_CREATED_AT":
        return any(job["createdAt"] > int(value) for value in values)
    raise ClientException(f"The filter must be one of {' | '.join(_FILTERS)}")


def _matches_pattern(pattern: str, name: str) -> bool:
    pattern, name = pattern.lower(), name.lower()
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
