from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.contract

SLEEP = "import time; time.sleep(60)"


def test_a_job_waits_for_all_its_parents(batch: Any) -> None:
    slow, fast = batch.submit(SLEEP), batch.submit()
    child = batch.submit(after=[slow, fast])
    batch.ended(fast)
    assert batch.wait_for_status(child, "PENDING")["dependsOn"] == [
        {"jobId": slow},
        {"jobId": fast},
    ]
    batch.api.terminate_job(jobId=slow, reason="enough")
    batch.ended(child)


def test_a_child_starts_when_its_parents_have_succeeded(batch: Any) -> None:
    parents = [batch.submit("import time; time.sleep(0.2)") for _ in range(2)]
    child = batch.ended(batch.submit(after=parents))
    assert child["status"] == "SUCCEEDED"
    assert child["startedAt"] >= max(batch.job(parent)["stoppedAt"] for parent in parents)


def test_a_failed_parent_fails_all_descendants_without_running_them(batch: Any) -> None:
    parent = batch.submit("raise SystemExit(1)")
    child = batch.submit(after=[parent])
    grandchild = batch.submit(after=[child])
    for job_id in (child, grandchild):
        job = batch.ended(job_id)
        assert (job["status"], job["statusReason"]) == ("FAILED", "Dependent Job failed")
        assert job["attempts"] == []
        assert "startedAt" not in job


def test_one_failed_parent_fails_its_child(batch: Any) -> None:
    running = batch.submit(SLEEP)
    batch.wait_for_status(running, "RUNNING")
    failing = batch.submit("raise SystemExit(1)")
    child = batch.ended(batch.submit(after=[running, failing]))
    assert child["statusReason"] == "Dependent Job failed"
    assert batch.status(running) == "RUNNING"


def test_a_parent_that_has_already_ended_counts(batch: Any) -> None:
    good, bad = batch.submit(), batch.submit("raise SystemExit(1)")
    batch.ended(good)
    batch.ended(bad)
    assert batch.ended(batch.submit(after=[good]))["status"] == "SUCCEEDED"
    assert batch.ended(batch.submit(after=[bad]))["status"] == "FAILED"


def test_a_child_waits_while_its_parent_is_retried(batch: Any) -> None:
    code = "import os; raise SystemExit(os.environ['AWS_BATCH_JOB_ATTEMPT'] == '1')"
    parent = batch.submit(code, retryStrategy={"attempts": 2})
    assert batch.ended(batch.submit(after=[parent]))["status"] == "SUCCEEDED"


def test_a_parent_that_does_not_exist_is_rejected(batch: Any) -> None:
    with pytest.raises(ClientError) as rejected:
        batch.submit(after=["no-such-job"])
    assert rejected.value.response["Error"]["Code"] == "ClientException"
