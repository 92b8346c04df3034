from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.sagemaker.listing import list_training_jobs
from flowyml_aws.testing.sagemaker.training_job import TrainingJob


@pytest.fixture
def aws() -> Iterator[Emulator]:
    """An account whose listings show every change at once, unlike AWS's."""
    with Emulator(propagation_s=0) as aws:
        yield aws


def job(number: int, name: str | None = None, status: str = "Completed") -> dict[str, Any]:
    training_job = TrainingJob(
        request={"TrainingJobName": name or f"job-{number}"},
        arn="arn",
        number=number,
        created=float(number),
        tags={},
    )
    training_job.enter("Starting", training_job.created)
    if status != "InProgress":
        training_job.enter(status, number + 100.0)
    return training_job.summary()


JOBS = [job(number) for number in range(25)]


def names(jobs: list[dict[str, Any]], **request: Any) -> list[str]:
    summaries = list_training_jobs(jobs, request)["TrainingJobSummaries"]
    return [summary["TrainingJobName"] for summary in summaries]


def test_the_latest_ten_come_first() -> None:
    assert names(JOBS) == [f"job-{number}" for number in range(24, 14, -1)]


def test_pages_contain_each_job_once_even_when_new_jobs_arrive() -> None:
    jobs, listed = list(JOBS), []
    request: dict[str, Any] = {"MaxResults": 7}
    while True:
        page = list_training_jobs(jobs, request)
        listed += [summary["TrainingJobName"] for summary in page["TrainingJobSummaries"]]
        jobs.append(job(len(jobs)))
        if "NextToken" not in page:
            break
        request["NextToken"] = page["NextToken"]
    assert listed == [f"job-{number}" for number in range(24, -1, -1)]


def test_a_name_filter_matches_part_of_the_name() -> None:
    jobs = [job(1, "run-a-1"), job(2, "run-b-1"), job(3, "run-a-2")]
    assert names(jobs, NameContains="run-a") == ["run-a-2", "run-a-1"]
    assert names(jobs, NameContains="RUN-A") == []


def test_the_order_is_as_requested() -> None:
    jobs = [job(1, "b"), job(2, "a"), job(3, "c", "Failed")]
    assert names(jobs, SortBy="Name", SortOrder="Ascending") == ["a", "b", "c"]
    assert names(jobs, SortBy="CreationTime", SortOrder="Ascending") == ["b", "a", "c"]
    assert names(jobs, SortBy="Status", SortOrder="Descending") == ["c", "a", "b"]


def test_time_filters_exclude_their_bounds() -> None:
    assert names(JOBS, CreationTimeAfter=20, CreationTimeBefore=23) == ["job-22", "job-21"]
    assert names(JOBS, LastModifiedTimeAfter=122) == ["job-24", "job-23"]


def test_the_status_filter_applies_after_paging() -> None:
    jobs = [job(1, status="Failed"), *(job(number) for number in range(2, 5))]
    page = list_training_jobs(jobs, {"StatusEquals": "Failed", "MaxResults": 3})
    assert page["TrainingJobSummaries"] == []
    page = list_training_jobs(
        jobs, {"StatusEquals": "Failed", "MaxResults": 3, "NextToken": page["NextToken"]}
    )
    assert [job["TrainingJobName"] for job in page["TrainingJobSummaries"]] == ["job-1"]
    assert "NextToken" not in page


@pytest.mark.contract
def test_a_client_lists_by_name_and_time(training: Any) -> None:
    for name in ("run-1-a", "run-2-a", "run-1-b"):
        training.ended(training.create(name=name))
    pages = training.api.get_paginator("list_training_jobs")
    listed = [
        summary["TrainingJobName"]
        for page in pages.paginate(
            NameContains="run-1",
            CreationTimeAfter=datetime(2020, 1, 1, tzinfo=timezone.utc),
            PaginationConfig={"PageSize": 1},
        )
        for summary in page["TrainingJobSummaries"]
    ]
    assert listed == ["run-1-b", "run-1-a"]
    summary = training.api.list_training_jobs(NameContains="run-2")["TrainingJobSummaries"][0]
    assert summary["SecondaryStatus"] == summary["TrainingJobStatus"] == "Completed"
    with pytest.raises(ClientError, match="token is not valid"):
        training.api.list_training_jobs(NextToken="invented")
