"""A run with a cost limit, on an emulated account whose jobs really run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.artifacts.layout import history_key
from flowyml_aws.client.costs import read_costs
from flowyml_aws.planning.cost_shares import attempt_limit_s
from flowyml_aws.planning.history import RunTimes, StepTime
from flowyml_aws.services.connect import account_settings, find_run, stores
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.cost_limit import limit_error
from flowyml_aws.submission.costs import CostKey
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunState
from flowyml_aws.testing import Emulator
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("cost-limit")]

EARLIER = "waiting-20260101-000000-abcdef"
MUCH_LATER_S = 1000 * 3600.0


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


def remember_times(rig: BackendRig) -> None:
    """Record an earlier run, which a plan with a limit needs."""
    times = RunTimes(
        run_id=EARLIER,
        pipeline="waiting",
        ended_at=0.0,
        steps={
            name: StepTime(duration_s=60.0, instance_type=None)
            for name in ("begin", "wait", "double", "summarize")
        },
        asset_bytes={},
    )
    store = stores(account_settings(rig.folder), rig.folder)["batch"]
    store.put(history_key("waiting", EARLIER), times.to_json())


def a_driver_much_later(run: Run) -> RunDriver:
    """Return a driver by whose clock the jobs have run for a very long time."""
    driver = find_run(run.id)
    driver.clock = lambda: time.time() + MUCH_LATER_S
    return driver


def test_a_run_ends_at_its_limit_and_continues_with_a_higher_one(
    aws: Emulator, rig: BackendRig
) -> None:
    remember_times(rig)
    run = rig.pipeline("waiting").submit(backend="batch", max_cost_usd=1.0)
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    limits = {job.name: attempt_limit_s(job) for job in run.plan.jobs}
    ids = [job["jobId"] for job in jobs_of(aws, run)]
    for job in aws.client("batch").describe_jobs(jobs=ids)["jobs"]:
        name = job["jobName"].removeprefix(f"{run.id}-")
        assert job["timeout"] == {"attemptDurationSeconds": limits[name]}

    driver = a_driver_much_later(run)
    driver.advance()
    eventually(lambda: driver.advance().state is not RunState.RUNNING, "the end of the run")
    status = driver.status()
    assert status.state is RunState.FAILED
    first, *others = (view.state for view in status.jobs)
    assert first is JobState.FAILED
    assert set(others) <= {JobState.CANCELLED, JobState.BLOCKED}  # whichever is seen first
    assert not aws.job_processes()
    seen = Run.attach(run.id).status()
    error = limit_error(seen)
    assert error is not None and "--max-cost-usd" in error.fix

    Path(f"{rig.trace}.go").touch()
    resumed = Run.attach(run.id).resume(max_cost_usd=100.0)
    assert resumed.wait()["d"] == "it is 42"
    costs = {cost.run_id: cost for cost in read_costs([driver.store]).runs}
    assert costs.keys() >= {run.id, resumed.id}
    for run_id in (run.id, resumed.id):
        job = costs[run_id].jobs[0]
        assert job.predicted_usd is not None and job.counted_usd is not None
        assert 0 < job.counted_usd < job.predicted_usd
    groups = {row.key for row in read_costs([driver.store]).by(CostKey.GROUP)}
    assert "waiting: first" in groups


def jobs_of(aws: Emulator, run: Run) -> list[dict[str, str]]:
    aws.advance(5)  # listings are up to date
    filters = [{"name": "JOB_NAME", "values": [f"{run.id}-*"]}]
    listed = aws.client("batch").list_jobs(jobQueue="flowyml-emulator-cpu", filters=filters)
    return list(listed["jobSummaryList"])
