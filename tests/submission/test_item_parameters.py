from __future__ import annotations

from typing import Any

from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import build_pipeline, expand_maps
from flowyml_aws.core.step import Step, step
from flowyml_aws.submission.item_parameters import item_parameters


@step(outputs=["model"])
def train(shard: Any, rate: float = 1.0) -> Any:
    return shard


@step(outputs=["score"])
def evaluate(model: Any) -> Any:
    return model


def parameters_of(steps: list[Step], **lists: list[Any]) -> dict[str, dict[str, tuple[str, ...]]]:
    built, problems = build_pipeline(bind_steps(steps, lists, ()), lists)
    assert built is not None, problems
    pipeline, problems = expand_maps(built, lists)
    assert pipeline is not None, problems
    return item_parameters(pipeline.graph, pipeline.items)


def test_items_have_the_values_of_their_lists_and_rows() -> None:
    rows = [{"shard": "a", "rate": 0.1}, {"shard": "b", "rate": 0.1}]
    assert parameters_of([train.map(rows=rows)]) == {
        "train": {"shard": ("a", "b"), "rate": ("0.1", "0.1")}
    }
    assert parameters_of([train.map(over="shard")], shard=[1, (2, 3)]) == {
        "train": {"shard": ("1", "(2, 3)")}
    }


def test_an_item_has_the_parameters_of_the_item_that_it_reads() -> None:
    steps = [train.map(over="shard"), evaluate.map(over="model")]
    found = parameters_of(steps, shard=[1, 2])
    assert found["evaluate"] == found["train"] == {"shard": ("1", "2")}


def test_long_values_are_cut_off_and_values_that_are_not_simple_have_their_type() -> None:
    values = ["x" * 100, {"a": 1}, list(range(50))]
    assert parameters_of([train.map(over="shard")], shard=values) == {
        "train": {"shard": ("x" * 40 + "…", "<dict>", "<list>")}
    }


def test_secrets_are_not_recorded() -> None:
    token = "ghp_" + "a1B2" * 9
    assert parameters_of([train.map(over="shard")], shard=[token])["train"]["shard"] == (
        "<not recorded>",
    )
