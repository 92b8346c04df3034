from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator
from tests.support.rigs import raised_emulator

pytestmark = pytest.mark.contract


@pytest.fixture
def aws() -> Iterator[Emulator]:
    """An account whose listings show every change at once, unlike AWS's."""
    with raised_emulator(propagation_s=0) as aws:
        yield aws


def names(page: Any) -> list[str]:
    return [job["jobName"] for job in page["jobSummaryList"]]


def by_name(*values: str) -> list[dict]:
    return [{"name": "JOB_NAME", "values": list(values)}]


def test_without_a_status_running_jobs_are_listed(batch: Any) -> None:
    batch.ended(batch.submit(jobName="done"))
    batch.wait_for_status(batch.submit("import time; time.sleep(60)", jobName="busy"), "RUNNING")
    assert names(batch.api.list_jobs(jobQueue="flowyml-emulator-cpu")) == ["busy"]


def test_a_status_selects_the_jobs_of_one_queue(batch: Any) -> None:
    batch.ended(batch.submit("raise SystemExit(3)", jobName="bad"))
    batch.ended(
        batch.submit("raise SystemExit(3)", jobName="elsewhere", jobQueue="flowyml-emulator-t4")
    )
    (job,) = batch.api.list_jobs(jobQueue="flowyml-emulator-cpu", jobStatus="FAILED")[
        "jobSummaryList"
    ]
    assert (job["jobName"], job["container"]["exitCode"]) == ("bad", 3)


def test_a_filter_by_name_finds_jobs_in_every_state(batch: Any) -> None:
    batch.ended(batch.submit(jobName="run-1-a"))
    batch.ended(batch.submit("raise SystemExit(1)", jobName="run-1-b"))
    batch.wait_for_status(batch.submit("import time; time.sleep(60)", jobName="run-10"), "RUNNING")
    list_jobs = batch.api.list_jobs
    assert names(list_jobs(jobQueue="flowyml-emulator-cpu", filters=by_name("run-1-*"))) == [
        "run-1-b",
        "run-1-a",
    ]
    assert names(list_jobs(jobQueue="flowyml-emulator-cpu", filters=by_name("RUN-1-A"))) == [
        "run-1-a"
    ]
    assert names(list_jobs(jobQueue="flowyml-emulator-cpu", filters=by_name("run-1"))) == []
    both = list_jobs(
        jobQueue="flowyml-emulator-cpu", filters=by_name("run-1-*"), jobStatus="FAILED"
    )
    assert names(both) == ["run-1-b", "run-1-a"]


def test_a_filter_by_definition_accepts_name_and_revision(batch: Any) -> None:
    batch.define("other")
    batch.ended(batch.submit(jobName="mine", jobDefinition="other:1"))
    batch.ended(batch.submit(jobName="not-mine"))
    for value in ("other", "other:1", "oth*"):
        filters = [{"name": "JOB_DEFINITION", "values": [value]}]
        assert names(batch.api.list_jobs(jobQueue="flowyml-emulator-cpu", filters=filters)) == [
            "mine"
        ]


def test_a_filter_by_creation_time_excludes_the_bound(batch: Any) -> None:
    created_at = str(batch.ended(batch.submit())["createdAt"])
    for name in ("BEFORE_CREATED_AT", "AFTER_CREATED_AT"):
        filters = [{"name": name, "values": [created_at]}]
        assert names(batch.api.list_jobs(jobQueue="flowyml-emulator-cpu", filters=filters)) == []
    filters = [{"name": "AFTER_CREATED_AT", "values": [str(int(created_at) - 1)]}]
    assert names(batch.api.list_jobs(jobQueue="flowyml-emulator-cpu", filters=filters)) == ["job"]


def test_pages_contain_every_job_once_even_when_new_jobs_arrive(batch: Any) -> None:
    submitted = [f"page-{n}" for n in range(5)]
    for name in submitted:
        batch.submit(jobName=name)
    first = batch.api.list_jobs(
        jobQueue="flowyml-emulator-cpu", filters=by_name("page-*"), maxResults=2
    )
    batch.submit(jobName="page-late")
    listed, token = names(first), first["nextToken"]
    while token:
        page = batch.api.list_jobs(
            jobQueue="flowyml-emulator-cpu",
            filters=by_name("page-*"),
            maxResults=2,
            nextToken=token,
        )
        listed, token = listed + names(page), page.get("nextToken")
    assert listed == submitted[::-1]


@pytest.mark.parametrize(
    "members",
    [
        {"jobQueue": "no-such-queue"},
        {"jobQueue": "flowyml-emulator-cpu", "jobStatus": "DONE"},
        {"jobQueue": "flowyml-emulator-cpu", "filters": [{"name": "COLOUR", "values": ["red"]}]},
        {"jobQueue": "flowyml-emulator-cpu", "nextToken": "no-such-token"},
        {},
    ],
)
def test_an_invalid_request_is_rejected(batch: Any, members: Any) -> None:
    batch.ended(batch.submit())
    with pytest.raises(ClientError) as rejected:
        batch.api.list_jobs(**members)
    assert rejected.value.response["Error"]["Code"] == "ClientException"


def test_jobs_are_described_by_id_or_arn_and_unknown_ones_are_omitted(batch: Any) -> None:
    first, second = batch.submit(), batch.submit()
    arn = batch.job(second)["jobArn"]
    jobs = batch.api.describe_jobs(jobs=[first, arn, "no-such-job", first])["jobs"]
    assert [job["jobId"] for job in jobs] == [first, second]


def test_at_most_a_hundred_jobs_are_described_in_one_call(batch: Any) -> None:
    assert batch.api.describe_jobs(jobs=[str(n) for n in range(100)])["jobs"] == []
    with pytest.raises(ClientError) as rejected:
        batch.api.describe_jobs(jobs=[str(n) for n in range(101)])
    assert rejected.value.response["Error"]["Code"] == "ClientException"
