"""Runs whose instance types AWS chooses: the plan's prices, and what the run records."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws.core.amounts import usd
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.submission.history import read_times
from flowyml_aws.testing import Emulator
from tests.support.boto import needs_preferences
from tests.support.queues import make_queue
from tests.support.rigs import BackendRig, raised_emulator
from tests.support.shared_account import share_stores

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("instance-choice")]


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        make_queue(aws.client("batch"), "flowyml-emulator-family", ["g4dn"], maxvCpus=64)
        yield aws


@pytest.fixture
def project(aws: Emulator, tmp_path: Path) -> BackendRig:
    """A project with a store of its own, so that nothing is cached."""
    share_stores()
    store = f"{aws.environment['FLOWYML_AWS_STORE']}/{uuid.uuid4().hex}"
    environment = {**aws.environment, "FLOWYML_AWS_STORE": store}
    return BackendRig("batch", tmp_path / "project", environment)


def on(rig: BackendRig, queue: str) -> BackendRig:
    return BackendRig("batch", rig.folder, {**rig.environment, "FLOWYML_AWS_QUEUES": queue})


def test_with_a_family_the_run_records_the_type_that_ran_and_its_price(project: BackendRig) -> None:
    with on(project, "flowyml-emulator-family").entered():
        pipeline = project.pipeline("on_gpu")
        run = pipeline.submit(backend="batch")
        result = run.wait()
        (view,) = result.status.jobs
        assert view.job.instance_type == "g4dn.xlarge"
        assert view.instance_type in ("g4dn.4xlarge", "g4dn.8xlarge", "g4dn.16xlarge")
        assert view.ran_on is not None
        price = view.ran_on.price_usd_hour or 0
        assert price > 1
        assert view.result is not None
        seconds = view.result.ended_at - view.result.started_at
        assert view.cost_usd == pytest.approx(price * seconds / 3600)
        note = (
            f"train ran on {view.instance_type} at {usd(price)}/h instead of g4dn.xlarge at $0.526"
        )
        assert note in result.summary()
        assert "cost of the jobs" in result.summary()
        (times,) = read_times(run._driver.store, pipeline.name)
        assert times.steps["train"].instance_type == view.instance_type


def test_with_sizes_the_planned_type_runs_and_there_is_no_note(project: BackendRig) -> None:
    with on(project, "flowyml-emulator-t4").entered():
        result = project.pipeline("on_gpu").run(backend="batch", progress=False)
        (view,) = result.status.jobs
        assert view.ran_on is not None
        assert view.instance_type == view.job.instance_type == "g4dn.xlarge"
        assert "instead of" not in result.summary()


def test_the_plan_has_the_most_expensive_type_that_the_queue_may_start(
    project: BackendRig,
) -> None:
    with on(project, "flowyml-emulator-family").entered():
        (job,) = project.pipeline("on_gpu").plan(backend="batch").jobs
        assert (job.instance_type, job.highest_instance_type) == ("g4dn.xlarge", "g4dn.metal")
        assert job.highest_price_usd_hour == pytest.approx(7.824)
    with on(project, "flowyml-emulator-t4").entered():
        (job,) = project.pipeline("on_gpu").plan(backend="batch").jobs
        assert job.highest_instance_type == "g4dn.12xlarge"


def test_a_run_is_refused_if_its_queue_may_start_a_type_above_the_maximum_price(
    project: BackendRig,
) -> None:
    with (
        on(project, "flowyml-emulator-family").entered(),
        pytest.raises(InvalidPipelineError, match="list fewer sizes"),
    ):
        project.pipeline("on_gpu").submit(backend="batch", max_price_usd_hour=1)


@needs_preferences
def test_a_training_job_records_the_type_that_sagemaker_selected(
    aws: Emulator, project: BackendRig
) -> None:
    aws.set_capacity("ml.g4dn.xlarge", 0)
    with project.entered():
        result = project.pipeline("on_gpu").run(backend="sagemaker", progress=False)
        (view,) = result.status.jobs
        assert view.job.instance_type == "ml.g4dn.xlarge"
        assert view.instance_type == view.job.offers[1].instance_type
        assert f"train ran on {view.instance_type} at " in result.summary()
