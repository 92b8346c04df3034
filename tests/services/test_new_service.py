"""A service is one package and one line of the registry: nothing else knows its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.planning.services import SERVICES, services_with_instances
from flowyml_aws.services.connect import stores
from flowyml_aws.settings.model import Settings
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackendRig]:
    monkeypatch.setitem(SERVICES, "toy", "tests.support.toy")
    rig = BackendRig("toy", tmp_path / "project")
    with rig.entered():
        yield rig


def test_a_pipeline_runs_on_it_and_is_found_again(rig: BackendRig) -> None:
    result = rig.pipeline("noisy").run(backend="toy", progress=False)
    assert result.success, result.summary()
    assert {job.job.backend for job in result.status.jobs} == {"toy"}
    assert Run.attach(result.run_id).status().state.value == "succeeded"


def test_plans_use_its_prices(rig: BackendRig) -> None:
    plan = rig.pipeline("noisy").plan(backend="toy")
    assert {job.price_usd_hour for job in plan.jobs} == {0.25}
    assert "toy" in services_with_instances()


def test_it_can_be_the_default_of_a_project(rig: BackendRig) -> None:
    Path("flowyml-aws.toml").write_text('backend = "toy"\n', "utf-8")
    plan = load_pipeline(str(rig.write("noisy"))).plan()
    assert plan.backend == "toy"


def test_its_problems_are_found_before_a_run_starts(rig: BackendRig) -> None:
    pipeline = rig.pipeline("noisy")
    Path("no-toys").touch()
    with pytest.raises(InvalidPipelineError, match="toy box is empty"):
        pipeline.submit(backend="toy")


def test_it_is_not_mixed_with_services_of_another_host(rig: BackendRig) -> None:
    pipeline = rig.pipeline("noisy")
    with pytest.raises(InvalidPipelineError, match="can't be mixed"):
        pipeline.plan(backend={"*": "toy", pipeline.steps[0].name: "batch"})


def test_its_store_is_listed_once_it_has_runs(rig: BackendRig) -> None:
    assert "toy" not in stores(Settings(), Path())
    rig.pipeline("noisy").run(backend="toy", progress=False)
    assert stores(Settings(), Path())["toy"].uri.endswith("/.toys")
