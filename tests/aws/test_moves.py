"""Jobs that continue on other machines, on an emulated account whose jobs really run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Run
from flowyml_aws.artifacts.layout import RESULT, RunLayout
from flowyml_aws.aws.batch.retry import MAX_ATTEMPTS
from flowyml_aws.doctor.run import examine_run
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import client_warning
from flowyml_aws.testing import ApiCall, Emulator
from flowyml_aws.testing.disturbance import CallFault
from tests.support.boto import needs_preferences
from tests.support.queues import make_queue
from tests.support.rigs import BackendRig, eventually, raised_emulator
from tests.support.shared_account import share_stores

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("moves")]

SPOT, CPU = "flowyml-emulator-moves-spot", "flowyml-emulator-moves-cpu"


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        batch = aws.client("batch")
        strategy = "SPOT_CAPACITY_OPTIMIZED"
        make_queue(batch, SPOT, ["m5.large", "m5.xlarge"], type="SPOT", allocationStrategy=strategy)
        make_queue(batch, CPU, ["m5.large", "m5.xlarge", "m5.2xlarge"])
        yield aws


@pytest.fixture
def rig(aws: Emulator, tmp_path: Path) -> Iterator[BackendRig]:
    """A new project on the module's emulated account; the test runs inside it."""
    share_stores()
    settings = {
        "FLOWYML_AWS_STORE": f"{aws.environment['FLOWYML_AWS_STORE']}/{uuid.uuid4().hex}",
        "FLOWYML_AWS_POLL_S": "0.2",
        "FLOWYML_AWS_QUEUES": f"{SPOT},{CPU}",
    }
    rig = BackendRig("batch", tmp_path / "project", {**aws.environment, **settings})
    with rig.entered():
        yield rig


def on_demand(rig: BackendRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWYML_AWS_QUEUES", CPU)


def job_of(aws: Emulator) -> str:
    """Return the id of the job that runs."""
    (job_id,) = aws.job_processes()
    return job_id


def batch_jobs(aws: Emulator, run: Run) -> list[dict[str, Any]]:
    """Return every Batch job of a run."""
    batch = aws.client("batch")
    filters = [{"name": "JOB_NAME", "values": [f"{run.id}-*"]}]
    found = [
        job["jobId"]
        for queue in (SPOT, CPU)
        for job in batch.list_jobs(jobQueue=queue, filters=filters)["jobSummaryList"]
    ]
    return list(batch.describe_jobs(jobs=found)["jobs"])


def test_a_job_without_enough_memory_continues_with_twice_as_much(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_demand(rig, monkeypatch)
    run = rig.pipeline("moving").submit(backend="batch")
    result = run.wait()
    assert result["c"] == 42
    (move,) = result.status.moves
    assert (move.job, move.cause) == ("work", Cause.OUT_OF_MEMORY)
    work = result.status.jobs[0]
    assert work.job.needs.memory_mib == 2 * 2048
    assert work.attempt > MAX_ATTEMPTS  # the attempts of the first machine do not count
    assert result.lost_attempts.count == 1
    assert result.lost_attempts.cost_usd > 0
    assert Run.attach(run.id).status().lost == result.status.lost
    assert rig.ran().count("finish") == 1
    memory = [
        need["value"]
        for job in batch_jobs(aws, run)
        for need in job["container"]["resourceRequirements"]
        if need["type"] == "MEMORY" and "work" in job["jobName"]
    ]
    assert sorted(memory) == ["2048", "4096"]


def test_the_next_run_starts_with_the_memory_that_was_needed(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_demand(rig, monkeypatch)
    pipeline = rig.pipeline("moving")
    assert pipeline.run(backend="batch", progress=False).success
    for _ in range(2):  # it is not forgotten after the first run without a move
        plan = pipeline.plan(backend="batch", cache=False)
        assert plan.jobs[0].needs.memory_mib == 4096
        assert "4Gi memory instead of 1 vCPU, 2Gi memory" in " ".join(plan.jobs[0].notes)
        result = pipeline.run(backend="batch", cache=False, progress=False)
        assert result.success
        assert result.status.moves == ()


def test_a_job_that_needs_even_more_memory_fails_and_says_so(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_demand(rig, monkeypatch)
    result = rig.pipeline("moving", times=5).run(backend="batch", progress=False)
    assert result.status.state is RunState.FAILED
    assert rig.ran().count("grow") == 2
    assert "MemoryError" in (result.status.jobs[0].reason or "")
    assert result.status.jobs[1].state is JobState.BLOCKED


def test_a_run_that_nobody_drives_waits_and_says_what_for(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_demand(rig, monkeypatch)
    run = rig.pipeline("moving").submit(backend="batch")
    eventually(
        lambda: any(job["status"] == "FAILED" for job in batch_jobs(aws, run)), "the first attempt"
    )
    status = Run.attach(run.id).status()
    assert status.state is RunState.RUNNING
    assert "moves to m5.large" in (status.jobs[0].reason or "")
    assert [view.needs_client for view in status.jobs] == [True, False]
    assert "flowyml-aws attach" in (client_warning(status) or "")
    (report, _) = examine_run(find_run(run.id))
    assert [finding.code for finding in report.findings] == ["no-client"]
    assert status.moves == ()
    assert run.wait()["c"] == 42
    assert [move.job for move in Run.attach(run.id).status().moves] == ["work"]


def test_a_job_that_loses_its_spot_hosts_continues_on_demand(
    aws: Emulator, rig: BackendRig
) -> None:
    run = rig.pipeline("moving", how="wait", times=9).submit(backend="batch")
    assert run.plan.jobs[0].capacity == "spot"
    for loss in (1, 2):
        eventually(partial(has_tried, rig, loss), "an attempt")
        aws.faults.withhold(SPOT)  # so that the job waits after it lost its host
        aws.lose_host(job_of(aws))
        status = eventually(lambda: of_queued(run), "the job waiting for the next host")
        if loss == 1:
            assert status.moves == ()
            aws.faults.withhold(SPOT, None)
    eventually(lambda: run.advance().moves, "the move")
    aws.faults.withhold(SPOT, None)
    Path(f"{rig.trace}.go").touch()
    result = run.wait()
    assert result["c"] == 42
    (move,) = result.status.moves
    assert (move.cause, move.losses) == (Cause.CAPACITY, 2)
    assert "on demand" in move.machine and "lost its host 2 times" in move.reason
    assert result.lost_attempts.count == move.lost.count == 2
    assert result.lost_attempts.cost_usd > 0
    assert "2 attempts lost, " in result.summary()
    # Completed steps are not executed again: on spot capacity, their values are stored.
    assert rig.ran().count("prepare") == 1


def test_an_outage_of_the_store_moves_no_job(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_STORE_WAIT_S", "1")
    run = rig.pipeline("moving", times=0).submit(backend="batch")

    def fault_of(call: ApiCall, _access_key: str) -> CallFault | None:
        is_result = call.operation == "PutObject" and call.resource.endswith("work/result.json")
        return CallFault.UNAVAILABLE if is_result else None

    aws.faults.disturb(fault_of)
    try:
        for _ in range(2):
            eventually(aws.job_processes, "an attempt")
            aws.faults.withhold(SPOT)  # so that the job waits after it gave up
            eventually(partial(of_queued, run), "the end of the attempt")
            assert run.advance().moves == ()
            aws.faults.withhold(SPOT, None)
    finally:
        aws.faults.withhold(SPOT, None)
        aws.faults.disturb(None)
    result = run.wait()
    assert (result["c"], result.status.moves) == (42, ())
    assert {job["jobQueue"].rpartition("/")[2] for job in batch_jobs(aws, run)} == {SPOT}


def test_a_job_that_loses_a_host_and_does_not_move_says_what_it_cost(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_demand(rig, monkeypatch)
    run = rig.pipeline("moving", how="wait", times=9).submit(backend="batch")
    eventually(partial(has_tried, rig, 1), "the first attempt")
    aws.advance(3600)
    aws.lose_host(job_of(aws))
    eventually(partial(has_tried, rig, 2), "the second attempt")
    _, text, _ = rig.command("status", run.id)
    assert "1 attempt lost, $0." in text and "(work 1)" in text
    Path(f"{rig.trace}.go").touch()
    result = run.wait()
    assert (result["c"], result.status.moves) == (42, ())
    _, document, _ = rig.command("status", run.id, "--json")
    facts = json.loads(document)
    work, finish = facts["jobs"]
    assert facts["lost"] == work["lost"] == result.to_dict()["lost"]
    assert facts["lost"] == {"count": 1, "cost_usd": work["lost"]["cost_usd"], "unpriced_s": 0.0}
    price = run.plan.jobs[0].price_usd_hour
    assert price is not None
    assert price <= facts["lost"]["cost_usd"] < 1.1 * price  # an hour, and a few seconds
    assert finish["lost"]["count"] == 0


def has_tried(rig: BackendRig, times: int) -> bool:
    return rig.ran().count("grow") == times


def test_a_detached_run_has_a_driver_that_moves_its_jobs(aws: Emulator, rig: BackendRig) -> None:
    aws.faults.withhold(SPOT)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FLOWYML_AWS_CAPACITY_WAIT_S", "0.01")
            run = rig.pipeline("moving", times=0).submit(backend="batch", detach=True)
        assert any("drives the run ($" in note for note in run.plan.notes)
        eventually(lambda: run.status().state is not RunState.RUNNING, "the end of the run")
    finally:
        aws.faults.withhold(SPOT, None)
    result = run.result()
    assert result["c"] == 42
    assert {move.cause for move in result.status.moves} == {Cause.CAPACITY}
    eventually(lambda: not aws.job_processes(), "the end of the driver")


def test_a_detached_run_without_spot_capacity_needs_no_driver(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_demand(rig, monkeypatch)
    aws.calls.clear()
    run = rig.pipeline("moving", times=0).submit(backend="batch", detach=True)
    assert sum(call.operation == "SubmitJob" for call in aws.calls) == 2
    assert run.wait()["c"] == 42


def of_queued(run: Run) -> Any:
    status = run.status()
    return status if status.jobs[0].state is JobState.QUEUED else None


def test_a_job_that_gets_no_spot_capacity_continues_on_demand(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_CAPACITY_WAIT_S", "0.01")
    aws.faults.withhold(SPOT)
    try:
        run = rig.pipeline("moving", times=0).submit(backend="batch")
        result = run.wait()
    finally:
        aws.faults.withhold(SPOT, None)
    assert result["c"] == 42
    assert {move.job for move in result.status.moves} == {"work", "finish"}
    assert {view.job.target for view in result.status.jobs} == {CPU}
    assert "no capacity" in result.status.moves[0].reason


def test_a_cancelled_run_does_not_move(aws: Emulator, rig: BackendRig) -> None:
    run = rig.pipeline("moving").submit(backend="batch")
    eventually(
        lambda: any(job["status"] == "FAILED" for job in batch_jobs(aws, run)), "the first attempt"
    )
    run.cancel()
    result = run.wait()
    assert result.status.state is RunState.CANCELLED
    assert result.status.moves == ()
    assert rig.ran().count("grow") == 1


def test_a_job_after_one_that_was_killed_after_its_commit_runs(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_demand(rig, monkeypatch)
    run = rig.pipeline("leaving").submit(backend="batch")
    result = RunLayout(run.id).result("first")
    store = find_run(run.id).store
    eventually(lambda: RESULT in store.children(result.removesuffix(RESULT)), "the commit")
    aws.faults.exceed_memory(job_of(aws))
    outcome = run.wait()
    assert outcome["b"] == 2
    assert rig.ran() == ["leave", "follow"]
    assert [(move.job, move.cause) for move in outcome.status.moves] == [
        ("follow", Cause.DEPENDENCY)
    ]


def test_two_clients_agree_on_a_move(aws: Emulator, rig: BackendRig) -> None:
    first = rig.pipeline("moving").submit(backend="batch")
    second = Run.attach(first.id)
    eventually(lambda: second.advance().moves, "the move")
    assert first.wait()["c"] == 42
    assert first.status().moves == second.status().moves
    assert rig.ran().count("grow") == 2
    assert rig.ran().count("finish") == 1


TYPES = ["ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge"]


def on_sagemaker(rig: BackendRig, monkeypatch: pytest.MonkeyPatch, *, spot: bool = False) -> None:
    """Give training jobs two sizes, and spot capacity before capacity on demand."""
    targets = [{"name": "training", "kind": "sagemaker", "instance_types": TYPES}]
    if spot:
        targets.insert(0, {**targets[0], "name": "spot-training", "capacity": "spot"})
    monkeypatch.setenv("FLOWYML_AWS_TARGETS", json.dumps(targets))


def test_a_training_job_without_enough_memory_continues_on_a_larger_type(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_sagemaker(rig, monkeypatch)
    run = rig.pipeline("moving").submit(backend="sagemaker")
    result = run.wait()
    assert result["c"] == 42
    (move,) = result.status.moves
    assert move.cause is Cause.OUT_OF_MEMORY
    assert result.status.jobs[0].instance_type == "ml.m5.xlarge"
    pages = aws.client("sagemaker").get_paginator("list_training_jobs")
    names = [
        job["TrainingJobName"].removeprefix(f"{run.id}-")
        for page in pages.paginate(NameContains=run.id)
        for job in page["TrainingJobSummaries"]
    ]
    assert sorted(names) == ["finish-1", "work-1", "work-6"]
    # Both machines of the job are on its bill.
    assert set(result.status.bills) == {"work", "finish"}


def test_a_full_disk_of_a_training_job_gets_a_larger_volume(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_sagemaker(rig, monkeypatch)
    run = rig.pipeline("moving", how="disk").submit(backend="sagemaker")
    assert run.wait()["c"] == 42
    assert [move.cause for move in run.status().moves] == [Cause.DISK_FULL]
    volumes = [
        request["ResourceConfig"]["VolumeSizeInGB"]
        for name, request in aws.training_requests().items()
        if f"{run.id}-work" in name
    ]
    assert volumes == [30, 60]


@needs_preferences  # another type has capacity on demand
def test_a_training_job_that_gets_no_spot_capacity_continues_on_demand(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_sagemaker(rig, monkeypatch, spot=True)
    monkeypatch.setenv("FLOWYML_AWS_CAPACITY_WAIT_S", "0.01")
    aws.set_capacity("ml.m5.large", 0)
    try:
        run = rig.pipeline("moving", times=0).submit(backend="sagemaker")
        assert run.plan.jobs[0].capacity == "spot"
        result = run.wait()
    finally:
        aws.set_capacity("ml.m5.large", None)
    assert result["c"] == 42
    assert {move.cause for move in result.status.moves} == {Cause.CAPACITY}
    assert {view.job.target for view in result.status.jobs} == {"training"}
