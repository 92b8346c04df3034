"""Runs of pipelines that contain others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.submission.status import failures
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BackendRig]:
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        yield rig


def test_steps_of_two_uses_have_the_values_of_calls_and_one_cache(rig: BackendRig) -> None:
    alone = rig.pipeline("sub_pipelines:parts", power=2).run(
        inputs={"raw": [1, 2, 3, 4]}, progress=False
    )
    assert alone["total"] == 3**2 + 4**2 + 2
    result = rig.pipeline("sub_pipelines:whole").run(progress=False)
    assert result.success, result.summary()
    assert result["sum"] == 2 * alone["total"]
    states = {name: report.state.value for name, report in result.status.steps.items()}
    assert states["one/extra"] == states["two/parts/extra"] == "skipped"
    assert result.step_results["one/add"].success
    assert result.outputs["two/parts/large"] == [3, 4]
    # The list comes from a step now, so the steps that read it have other keys. Their outputs
    # are the same, so the items of the map are those of the run before.
    once = ["split", "count", "add"]
    assert sorted(rig.ran()) == sorted([*once, "squared 3", "squared 4", "load", *once, *once])
    before = len(rig.ran())
    again = rig.pipeline("sub_pipelines:middle", power=2).run(
        inputs={"raw": [1, 2, 3, 4]}, progress=False
    )
    assert again["total"] == alone["total"]
    assert len(rig.ran()) == before


def test_a_failure_in_a_sub_pipeline_is_named_with_its_path(rig: BackendRig) -> None:
    result = rig.pipeline("sub_pipelines:whole", last=0).run(progress=False)
    assert not result.success
    first, second = failures(result.status)
    assert "step 'one/split': ValueError: nothing to split" in str(first)
    assert "step 'two/parts/split': ValueError: nothing to split" in str(second)
    run = Run.attach(result.run_id)
    assert {step.job for step in run.logs()} >= {"one-split"}
