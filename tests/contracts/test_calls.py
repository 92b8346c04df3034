"""Functions of every kind get their arguments as in a plain call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flowyml_aws import Pipeline, step
from flowyml_aws.core.errors import InvalidPipelineError
from tests.contracts.conftest import BACKENDS
from tests.support.rigs import BackendRig


@pytest.mark.parametrize("rig", BACKENDS[:2], indirect=True)
def test_every_kind_of_callable_gets_its_arguments(rig: BackendRig) -> None:
    result = rig.pipeline("calls").run(backend=rig.backend, progress=False)
    assert result.success, result.summary()
    values = {
        "star": [5, 3],
        "rest": [5, (3,)],
        "keywords": {"a": 5, "b": 3},
        "positional": [5, 3, 20],
        "partial": 6,
        "method": [1, 5, 3, 2],
        "object": [5, 3, 7],
        "builtin": 5,
        "logged": 4,
        "scaled": 4,
        "injected": ["session", 5],
        "patched": [5, 1],
    }
    assert {name: result[f"{name}_value"] for name in values} == values
    assert result["ordered"] == "ordered"  # although one of the steps before was skipped


@pytest.mark.contract
def test_a_plan_and_a_run_refuse_mistakes_in_inputs() -> None:
    """A plan needs no values, so that a missing one is a mistake of the run alone."""
    make = step(outputs=["data"], name="make")(lambda: 1)
    use = step(inputs=["data"], name="use")(lambda other=1, *, rate: rate)
    pipeline = Pipeline("inputs", context={"other": 2}).add_steps([make, use])
    expected: list[tuple[Callable[[], object], list[str]]] = [
        (pipeline.plan, ["two values for 'other'"]),
        (pipeline.run, ["two values for 'other'", "no value for 'rate'"]),
    ]
    for method, parts in expected:
        with pytest.raises(InvalidPipelineError) as caught:
            method()
        assert len(caught.value.problems) == len(parts)
        for part in parts:
            assert part in str(caught.value)
