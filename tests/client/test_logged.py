"""Logged values of runs whose steps were executed by other runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.runtime.result import StepState
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BackendRig]:
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        yield rig


def test_a_resumed_run_has_the_values_of_the_steps_that_it_did_not_repeat(
    rig: BackendRig,
) -> None:
    pipeline = rig.pipeline("metrics")
    failed = pipeline.run(progress=False, context={"broken": True})
    assert set(failed.metrics) == {"load", "train", "evaluate", "fail"}
    resumed = Run.attach(failed.run_id).resume()
    assert resumed.wait().metrics == failed.metrics
    again = resumed.resume().wait()
    assert again.metrics == failed.metrics


def test_without_the_run_that_executed_a_step_there_are_no_values(rig: BackendRig) -> None:
    first = rig.pipeline("metrics").run(progress=False)
    second = rig.pipeline("metrics").run(progress=False)
    shutil.rmtree(f".flowyml/aws/runs/{first.run_id}")
    assert set(Run.attach(second.run_id).metrics()) == {"fail"}


def test_only_the_jobs_that_logged_something_are_read(rig: BackendRig) -> None:
    assert rig.pipeline("logged:wide").run(progress=False).metrics == {"logs_a": {"a": 1.0}}


def test_a_step_that_its_job_finds_in_the_cache_has_the_values_of_the_earlier_run(
    rig: BackendRig,
) -> None:
    first = rig.pipeline("logged:deferred").run(progress=False)
    second = rig.pipeline("logged:deferred").run(progress=False)
    report = second.status.steps["double"]
    assert (report.state, report.produced_in) == (StepState.CACHED, first.run_id)
    assert second.metrics == first.metrics == {"double": {"source": 7.0}}
