"""Array jobs: children, states, dependencies, lists and their end."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.contract

SLEEP = "import time; time.sleep(60)"
FAIL_THE_SECOND = "import os; raise SystemExit(os.environ['AWS_BATCH_JOB_ARRAY_INDEX'] == '1')"


def array_of(batch: Any, code: str = "pass", size: int = 3, **members: Any) -> str:
    return str(batch.submit(code, arrayProperties={"size": size}, **members))


def children(batch: Any, array: str, size: int = 3) -> list[dict[str, Any]]:
    ids = [f"{array}:{index}" for index in range(size)]
    return list(batch.api.describe_jobs(jobs=ids)["jobs"])


def states(batch: Any, array: str, size: int = 3) -> list[str]:
    return [job["status"] for job in children(batch, array, size)]


def counts(job: dict[str, Any]) -> dict[str, int]:
    return {name: n for name, n in job["arrayProperties"]["statusSummary"].items() if n}


def test_each_child_gets_its_index_and_its_own_id(batch: Any) -> None:
    names = ("AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ATTEMPT")
    array = array_of(batch, f"import os; print(*(os.environ[n] for n in {names}))", 2)
    job = batch.ended(array)
    assert (job["status"], counts(job), job["attempts"]) == ("SUCCEEDED", {"SUCCEEDED": 2}, [])
    first, second = children(batch, array, 2)
    assert (first["jobId"], first["arrayProperties"]) == (f"{array}:0", {"index": 0})
    assert (second["jobName"], second["tags"]) == (job["jobName"], {})
    assert batch.log(f"{array}:1") == [f"{array}:1 1 1"]
    task = r"arn:aws:ecs:us-east-1:[0-9]{12}:task/emulator/[0-9a-f]{32}"
    assert re.fullmatch(task, second["container"]["taskArn"])


def test_a_failed_child_fails_its_array_after_all_children_have_ended(batch: Any) -> None:
    array = array_of(batch, FAIL_THE_SECOND)
    job = batch.ended(array)
    assert (job["status"], counts(job)) == ("FAILED", {"SUCCEEDED": 2, "FAILED": 1})
    assert states(batch, array) == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert batch.ended(batch.submit(after=[array]))["statusReason"] == "Dependent Job failed"


def test_children_are_retried_one_by_one(batch: Any) -> None:
    code = (
        "import os; e = os.environ; "
        "raise SystemExit(e['AWS_BATCH_JOB_ARRAY_INDEX'] == e['AWS_BATCH_JOB_ATTEMPT'] == '1')"
    )
    array = array_of(batch, code, retryStrategy={"attempts": 2})
    assert batch.ended(array)["status"] == "SUCCEEDED"
    assert [len(job["attempts"]) for job in children(batch, array)] == [1, 2, 1]


def test_an_array_waits_for_its_parents_and_is_pending_while_its_children_run(batch: Any) -> None:
    parent = batch.submit(SLEEP)
    array = array_of(batch, SLEEP, 2, after=[parent])
    assert counts(batch.wait_for_status(array, "PENDING")) == {"PENDING": 2}
    batch.api.terminate_job(jobId=parent, reason="enough")
    assert batch.ended(array)["status"] == "FAILED"
    assert {job["statusReason"] for job in children(batch, array, 2)} == {"Dependent Job failed"}
    other = array_of(batch, SLEEP, 2)
    batch.wait_for_status(f"{other}:1", "RUNNING")
    assert batch.status(other) == "PENDING"


def test_a_child_waits_for_the_child_of_its_index_only(batch: Any) -> None:
    first = array_of(batch, FAIL_THE_SECOND)
    second = array_of(batch, dependsOn=[{"jobId": first, "type": "N_TO_N"}])
    batch.ended(second)
    assert states(batch, second) == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert batch.job(f"{second}:1")["statusReason"] == "Dependent Job failed"


def test_children_can_run_one_after_the_other(batch: Any) -> None:
    array = array_of(batch, FAIL_THE_SECOND, dependsOn=[{"type": "SEQUENTIAL"}])
    batch.ended(array)
    assert states(batch, array) == ["SUCCEEDED", "FAILED", "FAILED"]


def test_a_child_can_be_terminated_alone_and_an_array_as_a_whole(batch: Any) -> None:
    array = array_of(batch, SLEEP)
    for index in range(3):
        batch.wait_for_status(f"{array}:{index}", "RUNNING")
    batch.api.terminate_job(jobId=f"{array}:0", reason="one")
    batch.ended(f"{array}:0")
    assert states(batch, array) == ["FAILED", "RUNNING", "RUNNING"]
    batch.api.terminate_job(jobId=array, reason="all")
    batch.ended(array)
    assert [job["statusReason"] for job in children(batch, array)] == ["one", "all", "all"]


def test_a_queue_lists_arrays_and_an_array_lists_its_children(batch: Any) -> None:
    array = array_of(batch, FAIL_THE_SECOND)
    batch.ended(array)
    batch.aws.advance(5)  # listings are up to date
    listed = batch.api.list_jobs(jobQueue="flowyml-emulator-cpu", jobStatus="FAILED")
    (parent,) = listed["jobSummaryList"]
    assert (parent["jobId"], parent["arrayProperties"]["size"]) == (array, 3)
    failed = batch.api.list_jobs(arrayJobId=array, jobStatus="FAILED")["jobSummaryList"]
    assert [job["jobId"] for job in failed] == [f"{array}:1"]
    assert batch.api.list_jobs(arrayJobId=array)["jobSummaryList"] == []  # running ones


def test_dependencies_that_batch_does_not_accept_are_rejected(batch: Any) -> None:
    array = array_of(batch)
    one = batch.submit()
    for members in (
        {"dependsOn": [{"jobId": array, "type": "N_TO_N"}]},
        {"dependsOn": [{"type": "SEQUENTIAL"}]},
        {"dependsOn": [{"jobId": f"{array}:0"}]},
        {"arrayProperties": {"size": 2}, "dependsOn": [{"jobId": array, "type": "N_TO_N"}]},
        {"arrayProperties": {"size": 2}, "dependsOn": [{"jobId": one, "type": "N_TO_N"}]},
        {"arrayProperties": {"size": 2}, "dependsOn": [{"jobId": one, "type": "SEQUENTIAL"}]},
    ):
        with pytest.raises(ClientError):
            batch.submit(**members)
