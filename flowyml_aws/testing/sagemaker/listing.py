"""SageMaker's ListTrainingJobs: filters, order and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowyml_aws.testing.sagemaker.errors import ValidationException

__all__ = ["list_training_jobs"]

_MAX_RESULTS = 10
_KEYS = {"Name": "TrainingJobName", "CreationTime": "CreationTime", "Status": "TrainingJobStatus"}

Summary = Mapping[str, Any]


def list_training_jobs(jobs: Sequence[Summary], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return one page of the account's training jobs, by default ten, latest first.

    Status filters apply after paging, so an empty page is not necessarily the last page (Amazon
    SageMaker API reference, ListTrainingJobs).

    Args:
        jobs: Summaries of the jobs, in creation order.
        request: Members of ListTrainingJobs.

    Raises:
        ValidationException: Invalid page token.
    """
    key = _KEYS[request.get("SortBy") or "CreationTime"]
    matching = [
        (job[key], number, job) for number, job in enumerate(jobs) if _matches(job, request)
    ]
    matching.sort(reverse=request.get("SortOrder") != "Ascending")
    ordered = [job for _, _, job in matching]
    # A page continues after the last job of the previous page: newer jobs do not shift it.
    start = _position(ordered, request["NextToken"]) if request.get("NextToken") else 0
    end = start + (request.get("MaxResults") or _MAX_RESULTS)
    listed = [job for job in ordered[start:end] if _has_status(job, request)]
    page: dict[str, Any] = {"TrainingJobSummaries": listed}
    if end < len(ordered):
        page["NextToken"] = ordered[end - 1]["TrainingJobName"]
    return page


def _position(ordered: Sequence[Summary], token: str) -> int:
    for position, job in enumerate(ordered, start=1):
        if job["TrainingJobName"] == token:
            return position
    raise ValidationException("The token is not valid")


def _matches(job: Summary, request: Mapping[str, Any]) -> bool:
    bounds = (
        ("CreationTimeAfter", "CreationTimeBefore", job["CreationTime"]),
        ("LastModifiedTimeAfter", "LastModifiedTimeBefore", job["LastModifiedTime"]),
    )
    for after, before, moment in bounds:
        if after in request and moment <= request[after]:
            return False
        if before in request and moment >= request[before]:
            return False
    return str(request.get("NameContains") or "") in job["TrainingJobName"]


def _has_status(job: Summary, request: Mapping[str, Any]) -> bool:
    pool = job.get("WarmPoolStatus", {}).get("Status")
    return request.get("StatusEquals") in (None, job["TrainingJobStatus"]) and request.get(
        "WarmPoolStatusEquals"
    ) in (None, pool)
