"""Steps on several nodes, on all services that have nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from flowyml_aws import Run
from flowyml_aws.client.result import PipelineResult
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.status import JobView
from tests.support.rigs import BackendRig, eventually, new_rig, raised_emulator
from tests.support.shared_account import share_stores

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("batch-nodes")]

SERVICES = ("local", "batch", "sagemaker")


class Finished(NamedTuple):
    """A finished run of the pipeline `nodes`, shared by all tests that only read it."""

    rig: BackendRig
    run: Run
    result: PipelineResult

    def job(self, name: str) -> JobView:
        return next(view for view in self.result.status.jobs if view.job.name == name)

    def log(self, job: str) -> list[str]:
        return [line.message for line in self.run.logs(job)]


@pytest.fixture(scope="module")
def emulator_settings() -> Iterator[dict[str, str]]:
    """An account of this module: it has a queue for nodes, and no start fails by chance."""
    with raised_emulator(nodes=["cpu"]) as aws:
        share_stores()
        yield dict(aws.environment)


@pytest.fixture(params=SERVICES, scope="module")
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    rig = new_rig(request.param, tmp_path_factory.mktemp("nodes"), request)
    with rig.entered():
        run = rig.pipeline("nodes:pipeline").submit(backend=rig.backend)
        yield Finished(rig, run, run.wait())


def test_all_nodes_call_the_function_with_inputs_of_this_job_and_of_another(
    finished: Finished,
) -> None:
    assert finished.result["total"] == 4 * (100 + 1100) + 0 + 1 + 2 + 3


def test_the_value_of_the_main_node_is_that_of_the_step(finished: Finished) -> None:
    assert finished.result["facts"] == {"rank": "0", "nodes": "4", "hosts": "4"}


def test_later_steps_of_the_job_do_not_see_the_variables_of_the_call(finished: Finished) -> None:
    assert finished.result["after"] is False


def test_an_exception_on_another_node_fails_the_step_although_the_main_node_waits_for_it(
    finished: Finished,
) -> None:
    view = finished.job("failing")
    assert view.reason == ("step 'fail_on_another_node': ValueError: node 1: no luck on this node")
    error = finished.result.step_results["fail_on_another_node"].error
    assert error is not None and error.startswith("On node 1:\nTraceback")
    assert 'raise ValueError("no luck on this node")' in error
    assert "flowyml_aws/runtime" not in error
    assert view.attempt == 1


def test_a_job_that_loses_a_node_is_repeated_without_a_retry_of_its_step(
    finished: Finished,
) -> None:
    view = finished.job("losing")
    assert (view.state, view.attempt) == (JobState.SUCCEEDED, 2)
    assert finished.result.step_results["lose_a_node"].retries == 0
    assert finished.result.status.lost["losing"].count == 1
    assert view.job.moved == 0


def test_a_timeout_stops_the_function_on_all_nodes(finished: Finished) -> None:
    error = finished.result.step_results["exceed_the_timeout"].error
    assert error is not None and "StepTimeout: it ran longer than its timeout of 1 s" in error


def test_a_retry_calls_the_function_on_all_nodes_again(finished: Finished) -> None:
    step = finished.result.step_results["succeed_when_called_again"]
    assert (step.success, step.retries, step.output) == (True, 1, 2)


def test_the_output_of_each_node_is_labelled(finished: Finished) -> None:
    log = finished.log("sum")
    assert "rank 0 adds 0" in log
    assert "[node 3] rank 3 adds 3" in log


def test_a_second_run_reuses_the_value(finished: Finished) -> None:
    pipeline = finished.rig.pipeline("nodes:adding")
    result = pipeline.run(backend=finished.rig.backend, progress=False)
    assert result.step_results["add_up"].cached


@pytest.mark.parametrize("service", SERVICES)
def test_a_cancelled_run_leaves_no_process_of_a_node(
    service: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rig = new_rig(service, tmp_path, request)
    with rig.entered():
        run = rig.pipeline("nodes:waiting").submit(backend=rig.backend)
        eventually(lambda: len(rig.ran()) == 2, "both nodes waiting")
        run.cancel()
    nodes = dict(line.split() for line in rig.ran())
    assert nodes.keys() == {"0", "1"}
    eventually(lambda: not any(map(is_running, map(int, nodes.values()))), "the end of the nodes")


def is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
