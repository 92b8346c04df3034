"""Pipelines that dynamic steps return, on every backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.services.connect import locate_run
from flowyml_aws.submission.own_runs import is_own_run
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus
from tests.contracts.conftest import BACKENDS
from tests.support.rigs import BackendRig, eventually

START = """
import sys
from flowyml_aws.cli.load import load_pipeline
pipeline = load_pipeline("expanding.py")
run = pipeline.submit(backend=sys.argv[1], context={"trace": sys.argv[2]}, max_cost_usd=5)
print(run.id, flush=True)
run.wait()
"""

locally, on_batch = (
    pytest.mark.parametrize(
        "rig", [each for each in BACKENDS if name in each.values], indirect=True
    )
    for name in ("local", "batch")
)


def start(rig: BackendRig, max_cost_usd: float = 5, cache: bool = True) -> Run:
    pipeline = rig.pipeline("expanding")
    return pipeline.submit(backend=rig.backend, max_cost_usd=max_cost_usd, cache=cache)


def sub_run(status: RunStatus, *steps: str) -> RunStatus:
    """Return the status of the pipeline of a dynamic step, through those around it."""
    for step in steps:
        (status,) = (
            each.status
            for each in status.expansions
            if each.step == step and each.status is not None
        )
    return status


def test_the_pipeline_of_a_dynamic_step_gives_what_plain_python_gives(rig: BackendRig) -> None:
    result = start(rig).wait()
    assert result.success
    best = max(rate + 30 for rate in [1, 2, 3])
    assert result["report"] == f"{2 * best} from {best}"
    assert result["best"] == best
    ran = ["configure", "search", *["train"] * 3, "join", "refine", "report"]
    assert sorted(rig.ran()) == sorted(ran)
    search = sub_run(result.status, "search")
    assert search.state is sub_run(search, "refine").state is RunState.SUCCEEDED
    assert Run.attach(search.run_id).status().state is RunState.SUCCEEDED
    again = Run.attach(result.run_id)
    assert again.status() == result.status
    assert again.result()["model"] == 2 * best
    found, name = locate_run(result.run_id).containing("search/refine/again")
    assert (found.record.run_id, name) == (sub_run(search, "refine").run_id, "again")
    assert is_own_run(found.services.host.store.uri, found.record.run_id)
    if rig.backend != "local":
        costs = [each.counted_usd or 0 for each in (search, sub_run(search, "refine"))]
        own = sum(view.cost_usd or 0 for view in result.status.jobs)
        assert result.status.counted_usd == pytest.approx(own + costs[0])
        assert costs[0] > costs[1] > 0


def test_a_cancelled_run_cancels_the_pipelines_of_its_steps(rig: BackendRig) -> None:
    Path(f"{rig.trace}.hold").touch()
    run = start(rig)
    eventually(lambda: run.advance().jobs and "join" in rig.ran(), "the second job")
    Run.attach(run.id).cancel()
    result = run.wait()
    assert result.state == "cancelled"
    search = sub_run(result.status, "search")
    assert search.state is RunState.CANCELLED
    assert Run.attach(search.run_id).status().state is RunState.CANCELLED
    assert "refine" not in rig.ran()


@locally
def test_a_failure_in_the_pipeline_fails_the_run_and_is_resumed_there(rig: BackendRig) -> None:
    Path(f"{rig.trace}.broken").touch()
    result = start(rig).wait()
    assert result.state == "failed"
    reasons = {view.job.name: view.reason for view in result.status.jobs}
    assert "job search/train" in str(reasons["search"])
    assert "no memory for the model" in str(reasons["search"])
    assert reasons["report"] == "search did not succeed"
    assert "in train" in str(result.status.steps["search"].failure)
    Path(f"{rig.trace}.broken").unlink()
    again = Run.attach(result.run_id).resume().wait()
    assert again["report"] == "66 from 33"
    assert rig.ran().count("configure") == 1
    trained = rig.ran().count("train")
    assert start(rig).wait().success
    assert rig.ran().count("train") == trained  # the steps of the pipeline are cached
    assert rig.ran().count("search") == 3  # the dynamic step is not


@on_batch
def test_a_pipeline_that_would_exceed_the_cost_limit_is_not_started(rig: BackendRig) -> None:
    with pytest.raises(InvalidPipelineError, match="has dynamic steps and no max_cost_usd"):
        rig.pipeline("expanding").submit(backend=rig.backend)
    assert start(rig).wait().success  # so that the cost of the pipeline is known
    Path(f"{rig.trace}.large").touch()
    run = start(rig, max_cost_usd=0.5, cache=False)
    result = run.wait()
    assert result.state == "failed"
    reason = next(view.reason for view in result.status.jobs if view.job.name == "search")
    assert reason is not None
    assert "pipeline 'search' is not started: $" in reason
    assert "exceed max_cost_usd $0.50;" in reason
    assert f"flowyml-aws resume {run.id} --max-cost-usd" in reason
    assert rig.ran().count("train") == 3


@on_batch
def test_another_client_continues_the_pipeline_of_a_killed_client(rig: BackendRig) -> None:
    rig.write("expanding")
    Path(f"{rig.trace}.hold").touch()
    with rig.client("-c", START, rig.backend, str(rig.trace)) as client:
        run_id = client.stdout.readline().strip()
        eventually(lambda: "join" in rig.ran(), "the second job of the pipeline")
        client.kill()
    Path(f"{rig.trace}.hold").unlink()
    assert Run.attach(run_id).wait()["report"] == "66 from 33"
    assert rig.ran().count("search") == rig.ran().count("join") == 1


@on_batch
def test_the_driver_of_a_detached_run_runs_the_pipelines(rig: BackendRig) -> None:
    run = rig.pipeline("expanding").submit(backend=rig.backend, max_cost_usd=5, detach=True)
    eventually(lambda: run.status().state is RunState.SUCCEEDED, "the end of the run")
    assert rig.ran().count("report") == 1
