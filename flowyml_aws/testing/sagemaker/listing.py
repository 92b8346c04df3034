"""SageMaker's ListTrainingJobs: filters, order and pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowyml_aws.testing.sagemaker.errors import ValidationException
from flowyml_aws.testing.sagemaker.training_job import TrainingJob

__all__ = ["list_training_jobs"]

_MAX_RESULTS = 10
_KEYS: Mapping[str, Callable[[TrainingJob], Any]] = {
    "Name": lambda job: (job.name, job.number),
    "CreationTime": lambda job: (job.created, job.number),
    "Status": lambda job: (job.status, job.number),
}


def list_training_jobs(jobs: Sequence[TrainingJob], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return one page of the account's training jobs, by default ten, latest first.

    Status filters apply after paging, so an empty page is not necessarily the last page (Amazon
    SageMaker API reference, ListTrainingJobs).

    Raises:
        ValidationException: Invalid page token.
    """
    key = _KEYS[request.get("SortBy") or "CreationTime"]
    matching = [job for job in jobs if _matches(job, request)]
    ordered = sorted(matching, key=key, reverse=request.get("SortOrder") != "Ascending")
    # A page continues after the last job of the previous page: newer jobs do not shift it.
    start = _position(ordered, request["NextToken"]) if request.get("NextToken") else 0
    end = start + (request.get("MaxResults") or _MAX_RESULTS)
    listed = [job for job in ordered[start:end] if _has_status(job, request)]
    page: dict[str, Any] = {"TrainingJobSummaries": [job.summary() for job in listed]}
    if end < len(ordered):
        page["NextToken"] = ordered[end - 1].name
    return page


def _position(ordered: Sequence[TrainingJob], token: str) -> int:
    for position, job in enumerate(ordered, start=1):
        if job.name == token:
            return position
    raise ValidationException("The token is not valid")


def _matches(job: TrainingJob, request: Mapping[str, Any]) -> bool:
    bounds = (
        ("CreationTimeAfter", "CreationTimeBefore", job.created),
        ("LastModifiedTimeAfter", "LastModifiedTimeBefore", job.modified),
    )
    for after, before, moment in bounds:
        if after in request and moment <= request[after]:
            return False
        if before in request and moment >= request[before]:
            return False
    return str(request.get("NameContains") or "") in job.name


def _has_status(job: TrainingJob, request: Mapping[str, Any]) -> bool:
    pool = (job.pool_status or {}).get("Status")
    return request.get("StatusEquals") in (None, job.status) and request.get(
        "WarmPoolStatusEquals"
    ) in (None, pool)
