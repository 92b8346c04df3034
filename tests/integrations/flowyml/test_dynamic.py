"""FlowyML's `@dynamic`: the pipeline that its function returns runs as a part of the run."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

import flowyml
from flowyml.core.retry_policy import OrchestratorRetryPolicy

from flowyml_aws import Pipeline, ResourceRequirements
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.integrations.flowyml import FlowymlAws
from flowyml_aws.integrations.flowyml.adapter import pipeline_of
from flowyml_aws.integrations.flowyml.run_defaults import defaults_of
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.system


def step(**options: Any) -> Any:
    return flowyml.step(register=False, **options)


@step(outputs=["rates"])
def configure() -> list[int]:
    return [1, 2]


@flowyml.dynamic(inputs=["rates"], outputs=["best"], resources={"cpu": "2"}, retry=1)
def search(rates: list[int], scale: int) -> Any:
    if not rates:
        return 0
    sub = flowyml.Pipeline("trials")
    for rate in rates:
        train = step(outputs=[f"model_{rate}"], name=f"train_{rate}")
        sub.add_step(train(lambda rate=rate: rate * scale))
    join = step(inputs=[f"model_{rate}" for rate in rates], outputs=["best"], name="join")
    return sub.add_step(join(lambda *models: max(models)))


@step(inputs=["best"], outputs=["report"])
def report(best: int) -> str:  # FlowyML compares `int` with the type of its wrapper
    return f"best: {best}"


def made() -> Any:
    context = flowyml.context(scale=10)
    return flowyml.Pipeline("expanding", context=context).add_steps([configure, search, report])


def test_the_pipeline_of_a_dynamic_step_runs_and_its_steps_are_in_the_record(
    local_project: BackendRig,
) -> None:
    pipeline = made()
    result = pipeline.run(orchestrator=FlowymlAws(backend="local", progress=False))
    assert result.success
    assert (result["best"], result["report"]) == (20, "best: 20")
    paths = {"search/train_1", "search/train_2", "search/join"}
    assert result.step_results.keys() == {"configure", "search", "report", *paths}
    assert all(each.success for each in result.step_results.values())
    steps = pipeline.metadata_store.load_run(result.run_id)["steps"]
    assert all(steps[path]["success"] for path in paths)


def test_a_dynamic_step_has_the_arguments_of_any_step_and_is_not_cached() -> None:
    pipeline = pipeline_of(made())
    pipeline.build()
    dynamic = next(each for each in pipeline.steps if each.name == "search")
    assert (dynamic.is_dynamic, dynamic.cache, dynamic.retry) == (True, False, 1)
    assert (dynamic.inputs, dynamic.outputs) == (("rates",), ("best",))
    assert dynamic.resources == ResourceRequirements(cpu="2")
    assert not dynamic.notes


def test_its_function_returns_a_converted_pipeline_with_the_defaults_of_the_run() -> None:
    defaults = defaults_of(None, OrchestratorRetryPolicy(max_attempts=3))
    pipeline = pipeline_of(made(), defaults=defaults)
    dynamic = next(each for each in pipeline.steps if each.name == "search")
    returned = dynamic.func([1, 2], 10)
    assert isinstance(returned, Pipeline)
    assert [each.name for each in returned.steps] == ["train_1", "train_2", "join"]
    assert {each.retry for each in returned.steps} == {2}
    assert dynamic.func([], 10) == 0  # any other value is the value of the output


def test_a_returned_pipeline_keeps_its_own_cache_rule() -> None:
    sub = flowyml.Pipeline("sub", enable_cache=False).add_step(configure)
    declared = flowyml.dynamic(lambda: sub, name="search")
    (dynamic,) = pipeline_of(flowyml.Pipeline("p").add_step(declared)).steps
    assert dynamic.func().enable_cache is False


def test_mistakes_in_the_returned_pipeline_are_an_error_that_names_them() -> None:
    sub = flowyml.Pipeline("sub").add_step(report.func)
    declared = flowyml.dynamic(lambda: sub, name="search")
    (dynamic,) = pipeline_of(flowyml.Pipeline("p").add_step(declared)).steps
    with pytest.raises(InvalidPipelineError, match=r"'report' \(function\) is not supported"):
        dynamic.func()
