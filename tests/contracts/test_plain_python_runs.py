"""Runs of random pipelines give what plain calls on copies give, on every backend.

`tests/test_plain_python.py` has the same property in this process, with many more pipelines.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note
from hypothesis import strategies as st

from flowyml_aws import Pipeline
from flowyml_aws.cli.load import load_pipeline
from tests.support.caching_machine import Program
from tests.support.effort import examples
from tests.support.random_pipelines import (
    CONTEXT,
    RandomPipeline,
    plain_values,
    random_pipelines,
    source_of,
)
from tests.support.rigs import new_rig

AT_ONCE = 10
"""Random pipelines in one run: a run of few jobs costs as much as the loading of its program."""

RUNS = examples(fast=1, thorough=20, suppress_health_check=list(HealthCheck))


def several(count: int) -> st.SearchStrategy[tuple[RandomPipeline, ...]]:
    return st.tuples(*(random_pipelines(prefix=f"p{number}_") for number in range(count)))


@pytest.mark.contract
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(name, marks=pytest.mark.xdist_group(f"backend-{name}"))
        for name in ("local", "batch")
    ],
)
def test_a_run_gives_what_plain_calls_on_copies_give(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The same pipelines run grouped and not, with an empty cache and with one."""
    rig = new_rig(backend, tmp_path, request)
    names = iter(range(1000))

    @RUNS
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        is_thorough = request.config.getoption("--thorough")
        pipelines = data.draw(several(AT_ONCE if is_thorough else 1))
        steps = [name for pipeline in pipelines for name in pipeline.names]
        expected = plain_values(
            Program(source_of(pipelines, [None] * len(steps), False), CONTEXT).steps
        )
        number = next(names)
        for group in (None, "g"):
            source = source_of(pipelines, [group] * len(steps), fails=True)
            note(source)
            for is_cached in (False, True):
                file = rig.folder / f"random_{number}_{group}.py"
                file.write_text(source, "utf-8")
                compare(load_pipeline(str(file)), expected, is_cached)

    with rig.entered():
        check()


def compare(pipeline: Pipeline, expected: object, is_cached: bool) -> None:
    assert isinstance(expected, dict)
    result = pipeline.run(progress=False, cache=is_cached)
    assert result.success, result.summary()
    outputs = [asset for step in pipeline.steps for asset in step.assets]
    values = {asset: result[asset] for asset in outputs if asset in result.outputs}
    assert values == {asset: expected[asset] for asset in values}
    skipped = {s.name for s in pipeline.steps if result.step_results[s.name].skipped}
    assert skipped == {s.name for s in pipeline.steps if s.assets[0] not in expected}
