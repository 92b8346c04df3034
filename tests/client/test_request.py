"""Requests with a map and with mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Pipeline, Step, step
from flowyml_aws.client.options import RunOptions
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.errors import InvalidPipelineError


@step(outputs=["score"])
def fit(alpha: float) -> float:
    return alpha


@step(inputs=["scoring"], outputs=["best"])
def select(scoring: list[float]) -> float:
    return max(scoring)


TRIALS = fit.map(grid={"alpha": [0.1, 0.2]})


def test_a_map_is_expanded_also_if_the_options_have_mistakes() -> None:
    options = RunOptions(context={"epochs": 3}, sweep={"fti": [{"alpha": 0.5}]})
    request = RunRequest(name="trials", steps=(TRIALS,), options=options)
    pipeline, problems = request.build()
    assert pipeline is not None
    assert problems == []
    assert [each.name for each in pipeline.graph.steps] == ["fit[0]", "fit[1]"]
    assert len(request.problems(pipeline, None)) == 2


@pytest.mark.contract
@pytest.mark.parametrize(
    ("steps", "options", "problem"),
    [
        ([TRIALS], {"context": {"epochs": 3}}, "No step of pipeline 'trials' takes 'epochs'"),
        ([TRIALS], {"sweep": {"fti": [{"alpha": 0.5}]}}, "No step 'fti' for a sweep"),
        ([TRIALS, select], {}, "Step 'select' reads 'scoring', which no step produces"),
    ],
)
def test_a_mistake_beside_a_map_is_reported(
    steps: list[Step],
    options: dict[str, Any],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidPipelineError) as caught:
        Pipeline("trials").add_steps(steps).run(progress=False, **options)
    assert [each.what for each in caught.value.problems] == [problem]
