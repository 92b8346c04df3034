"""A service is one package and one line of the registry: nothing else knows its name.

The service is the example of `docs/contributing/how-to-add.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws import Run, services
from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.planning.services import SERVICES, services_with_instances
from flowyml_aws.services.connect import stores
from flowyml_aws.settings.model import Settings
from tests.support.how_to import HowTo
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackendRig]:
    HowTo.section("A service").write_files(tmp_path / "checkout")
    folder = tmp_path / "checkout" / "flowyml_aws" / "services"
    monkeypatch.setattr(services, "__path__", [*services.__path__, str(folder)])
    monkeypatch.setitem(SERVICES, "workstation", "flowyml_aws.services.workstation")
    rig = BackendRig("workstation", tmp_path / "project")
    with rig.entered():
        yield rig


def test_a_pipeline_runs_on_it_and_is_found_again(rig: BackendRig) -> None:
    result = rig.pipeline("noisy").run(backend="workstation", progress=False)
    assert result.success, result.summary()
    assert {job.job.backend for job in result.status.jobs} == {"workstation"}
    assert Run.attach(result.run_id).status().state.value == "succeeded"


def test_plans_use_its_prices(rig: BackendRig) -> None:
    plan = rig.pipeline("noisy").plan(backend="workstation")
    assert {job.price_usd_hour for job in plan.jobs} == {0.25}
    assert "workstation" in services_with_instances()


def test_it_can_be_the_default_of_a_project(rig: BackendRig) -> None:
    Path("flowyml-aws.toml").write_text('backend = "workstation"\n', "utf-8")
    plan = load_pipeline(str(rig.write("noisy"))).plan()
    assert plan.backend == "workstation"


def test_its_problems_are_found_before_a_run_starts(rig: BackendRig) -> None:
    pipeline = rig.pipeline("noisy")
    Path("maintenance").touch()
    with pytest.raises(InvalidPipelineError, match="accepts no jobs"):
        pipeline.submit(backend="workstation")


def test_it_is_not_mixed_with_services_of_another_host(rig: BackendRig) -> None:
    pipeline = rig.pipeline("noisy")
    with pytest.raises(InvalidPipelineError, match="can't be mixed"):
        pipeline.plan(backend={"*": "workstation", pipeline.steps[0].name: "batch"})


def test_its_store_is_listed_once_it_has_runs(rig: BackendRig) -> None:
    assert "workstation" not in stores(Settings(), Path())
    rig.pipeline("noisy").run(backend="workstation", progress=False)
    assert stores(Settings(), Path())["workstation"].uri.endswith("/.workstation")
