"""Options of plans and runs: the same ones for every way to plan or run a pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from flowyml_aws import Pipeline, VersionedPipeline, step
from flowyml_aws.client.options import RunKeywords, RunOptions, UnknownOptionError
from flowyml_aws.core.errors import SettingsError

METHODS = ("run", "submit", "plan", "explain", "budget_violations")


@step(inputs=["number"], outputs=["product"])
def multiply(number: int, factor: int = 2) -> int:
    return number * factor


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The local store of one test."""
    monkeypatch.setenv("FLOWYML_AWS_LOCAL_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_keyword_arguments_are_exactly_the_fields_of_the_options() -> None:
    keywords = get_type_hints(RunKeywords)
    assert list(keywords) == [option.name for option in fields(RunOptions)]
    assert keywords == get_type_hints(RunOptions)


CALLS: dict[str, Callable[..., Any]] = {
    "run": lambda pipeline, **options: pipeline.run(**options),
    "submit": lambda pipeline, **options: pipeline.submit(**options),
    "plan": lambda pipeline, **options: pipeline.plan(**options),
    "explain": lambda pipeline, **options: pipeline.explain("multiply", **options),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_unknown_option_is_an_error_with_the_nearest_name(
    store: Path, call: Callable[..., Any]
) -> None:
    pipeline = Pipeline("p").add_step(multiply)
    with pytest.raises(UnknownOptionError) as caught:
        call(pipeline, inputs={"number": 1}, refersh=["multiply"])
    assert caught.value.what == "Unknown option 'refersh'"
    assert "max_price_usd_hour" in caught.value.why
    assert caught.value.fix == "did you mean 'refresh'?"
    assert not store.exists()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("refresh", [True, [multiply]], ids=["bool", "steps"])
def test_a_refresh_without_names_of_steps_is_an_error_that_says_what_to_write(
    store: Path, call: Callable[..., Any], refresh: Any
) -> None:
    pipeline = Pipeline("p").add_step(multiply)
    with pytest.raises(SettingsError) as caught:
        call(pipeline, inputs={"number": 1}, refresh=refresh)
    assert caught.value.what.startswith("Invalid option refresh=")
    assert "cache=False" in caught.value.fix
    assert not store.exists()


def test_an_unknown_option_is_a_type_error_as_in_other_functions() -> None:
    assert issubclass(UnknownOptionError, TypeError)
    assert issubclass(UnknownOptionError, SettingsError)


@pytest.mark.parametrize("method", METHODS)
def test_a_versioned_pipeline_has_the_signatures_of_a_pipeline(method: str) -> None:
    versioned, plain = getattr(VersionedPipeline, method), getattr(Pipeline, method)
    assert inspect.signature(versioned) == inspect.signature(plain)


OPTIONS: RunKeywords = {
    "backend": "local",
    "inputs": {"number": 3},
    "context": {"factor": 5},
    "cache": True,
    "refresh": ["multiply"],
    "env": {"LEVEL": "9"},
    "max_price_usd_hour": 1.0,
    "max_cost_usd": 1.0,
    "allow_pickle": False,
    "checkpoint_steps": True,
    "spot": "never",
    "stop_idle_gpu": "30m",
    "debug_shell": True,
    "sweep": {},
    "notify": [],
}


def test_the_options_of_these_tests_are_complete() -> None:
    assert OPTIONS.keys() == {option.name for option in fields(RunOptions)}


@pytest.mark.contract
@pytest.mark.parametrize("pipeline_class", [Pipeline, VersionedPipeline])
def test_a_pipeline_takes_every_option(
    pipeline_class: type[Pipeline], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # for the folder of versions
    pipeline = pipeline_class("p").add_step(multiply)
    plan = pipeline.plan(**OPTIONS)
    assert [job.name for job in plan.jobs] == ["multiply"]
    assert pipeline.budget_violations(plan, **OPTIONS) == []
    assert pipeline.run(progress=False, **OPTIONS)["product"] == 15
    assert pipeline.submit(**OPTIONS).wait()["product"] == 15
    with pytest.raises(SettingsError, match="no instance types"):
        pipeline.explain("multiply", **OPTIONS)


@pytest.mark.contract
def test_the_cache_of_a_pipeline_is_disabled_unless_a_run_enables_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = {"number": 3}
    pipeline = VersionedPipeline("p", enable_cache=False).add_step(multiply)
    assert pipeline.run(progress=False, inputs=inputs).success
    assert [job.name for job in pipeline.plan(inputs=inputs).jobs] == ["multiply"]
    assert pipeline.plan(inputs=inputs, cache=True).jobs == ()


def test_shells_are_requested_by_the_option_or_otherwise_by_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = Pipeline("p").add_step(multiply)

    def requested(**options: Any) -> bool:
        return pipeline.plan(inputs={"number": 1}, **options).debug_shell

    assert (requested(), requested(debug_shell=True)) == (False, True)
    monkeypatch.setenv("FLOWYML_AWS_DEBUG_SHELL", "true")
    assert (requested(), requested(debug_shell=False)) == (True, False)
