"""Cache keys of steps of sub-pipelines: those of the same steps in a pipeline of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from flowyml_aws import Env, If, Pipeline, step
from flowyml_aws.caching.cache_on import AdditionReader
from flowyml_aws.caching.entries import CacheEntry
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.caching.labels import key_label
from flowyml_aws.caching.lookup import KeyFacts, identities_of
from flowyml_aws.caching.reuse import decide_reuse
from flowyml_aws.client.options import RunOptions
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.inlining import inline


@step(inputs=["raw"], outputs=["rows"])
def clean(raw: list[int], limit: int) -> list[int]:
    return [value for value in raw if value < limit]


@step(inputs=["rows"], cache=lambda version: version)
def add(rows: list[int]) -> int:
    return sum(rows)


@step(inputs=["rows"], outputs=["squares"])
def square(rows: int, power: int) -> int:
    return int(rows**power)


@step(inputs=["squares"], outputs=["largest"], condition=lambda rows: rows)
def largest(squares: list[int]) -> int:
    return max(squares)


@step(after=["add", "rows"], outputs=["mark"])
def mark() -> None: ...


@step(outputs=["fitted"])
def fit(rate: float) -> float:
    return rate


def child(version: int = 1) -> Pipeline:
    pipeline = Pipeline(
        "prepare",
        {"limit": 3, "version": version, "power": 2},
        env={"MODE": "x"},
        cache_on=["v1", Env("HOME")],
    )
    mapped = square.map("rows", expect=4)
    return pipeline.add_steps([clean, add, mapped, largest, mark, fit.map(grid={"rate": [1, 2]})])


def keys(pipeline: Pipeline, inputs: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the cache key of each step that is known before a run, by its name."""
    content = inline(pipeline)
    options = RunOptions(inputs={} if inputs is None else inputs)
    request = RunRequest(pipeline.name, content.steps, content.context, options=options)
    made, problems = request.build()
    assert made is not None, problems
    graph = made.graph
    environment = dict(pipeline.env or {})
    facts = KeyFacts(
        {step.name: {**environment, **step.env} for step in graph.steps},
        AdditionReader({"HOME": "/root"}, pipeline.cache_on),
    )
    identities = identities_of(pipeline.name, graph, request.values, Fingerprinter(), facts).known
    found: dict[str, str] = {}

    def entries(wanted: Sequence[str]) -> Mapping[str, CacheEntry]:
        found.update(dict.fromkeys(wanted, ""))
        return {}

    external = dict.fromkeys(graph.external_inputs, "digest")
    external |= {name: f"digest of {value}" for name, value in made.items.items()}
    decide_reuse(graph, identities, external, entries, lambda refs: ())
    return dict(zip((s.name for s in graph.steps if s.name in identities), found, strict=True))


def in_a_pipeline(sub: Pipeline, name: str) -> Pipeline:
    pipeline = Pipeline("whole", {"limit": 99})
    return pipeline.add_sub_pipeline(sub, name, input_mapping={"data": "raw"})


def test_the_keys_do_not_depend_on_the_sub_pipeline() -> None:
    alone = keys(child(), {"raw": [1]})
    inside = keys(in_a_pipeline(child(), "a"), {"data": [1]})
    assert len(set(alone.values())) == len(alone) == 10
    assert inside == {f"a/{name}": key for name, key in alone.items()}
    outer = Pipeline("outer").add_sub_pipeline(
        in_a_pipeline(child(), "b"), "c", input_mapping={"items": "data"}
    )
    assert keys(outer, {"items": [1]}) == {f"c/b/{name}": key for name, key in alone.items()}


def test_so_do_those_of_branches_that_produce_one_asset() -> None:
    score = step(name="score", inputs=["raw"])(lambda raw: 0)
    low = step(name="low", inputs=["raw"], outputs=["model"])(lambda raw: 1)
    high = step(name="high", inputs=["raw"], outputs=["model"])(lambda raw: 2)
    reader = step(name="reader", inputs=["model"])(lambda model: 1)
    sub = Pipeline("sub").add_step(score).add_control_flow(If(lambda score: score, low, high))
    sub.add_step(reader)
    alone = keys(sub, {"raw": [1]})
    assert len(set(alone.values())) == len(alone)
    inside = keys(in_a_pipeline(sub, "s"), {"data": [1]})
    assert inside == {f"s/{name}": key for name, key in alone.items()}


@pytest.mark.parametrize("change", [{"limit": 4}, {"version": 2}, {"power": 3}])
def test_the_context_of_a_sub_pipeline_counts(change: Mapping[str, Any]) -> None:
    changed = child()
    changed.context = changed.context.inherit(**change)
    before = keys(in_a_pipeline(child(), "a"), {"data": [1]})
    assert before != keys(in_a_pipeline(changed, "a"), {"data": [1]})


def test_the_additions_of_a_sub_pipeline_count_for_its_steps_only() -> None:
    other = step(name="other")(lambda: 1)
    before = in_a_pipeline(child(), "a").add_step(other)
    changed = child()
    changed.cache_on = ("v2", Env("HOME"))
    first = keys(before, {"data": [1]})
    second = keys(in_a_pipeline(changed, "a").add_step(other), {"data": [1]})
    assert {name for name in first if first[name] == second[name]} == {"other"}


def test_a_step_around_is_named_by_its_way_from_the_sub_pipeline() -> None:
    inner = Pipeline("inner").add_step(step(name="last", after=["go"])(lambda: None))
    outer = Pipeline("outer").add_step(step(name="go")(lambda: None)).add_sub_pipeline(inner)
    for pipeline, prefix in ((outer, ""), (Pipeline("p").add_sub_pipeline(outer, "x"), "x/")):
        pipeline.build()
        graph = pipeline._built.graph  # type: ignore[union-attr]
        reader = graph.bound[f"{prefix}inner/last"].step
        assert key_label(graph, f"after:{prefix}go", reader) == "after:../go"
