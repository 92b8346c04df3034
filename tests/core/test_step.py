from __future__ import annotations

import copy
import functools
import inspect
import pickle
from typing import Any

import cloudpickle
import pytest

from flowyml_aws import Pipeline, ResourceRequirements, Step, step
from flowyml_aws.core.errors import InvalidStepError, OutputMismatchError

pytestmark = pytest.mark.version_sensitive


def double(x: int, by: int = 2) -> int:
    """Twice as much."""
    return x * by


@step(outputs=["answer"])
def answer() -> int:
    return 42


def returning(*outputs: str) -> Step:
    return step(outputs=outputs, name="train")(double)


def test_a_bare_decorator_makes_a_step_named_after_the_function() -> None:
    decorated = step(double)
    assert isinstance(decorated, Step)
    assert decorated.name == "double"


def test_a_step_is_called_like_its_function() -> None:
    assert step(outputs=["y"])(double)(3, by=3) == 9


def test_a_step_looks_like_its_function() -> None:
    decorated = step(outputs=["y"])(double)
    assert decorated.__doc__ == "Twice as much."
    assert (vars(decorated)["__module__"], vars(decorated)["__qualname__"]) == (
        double.__module__,
        double.__qualname__,
    )
    assert inspect.signature(decorated) == inspect.signature(double)


def test_a_step_can_have_another_name_than_its_function() -> None:
    assert step(name="twice")(double).name == "twice"


def test_by_default_a_step_is_cached_by_code_and_not_retried() -> None:
    decorated = step(double)
    assert (decorated.cache, decorated.cache_explicit, decorated.retry, decorated.timeout_s) == (
        "code_hash",
        False,
        0,
        None,
    )


@pytest.mark.parametrize(
    ("cache", "rule", "explicit"),
    [
        ("code_hash", "code_hash", True),
        ("input_hash", "input_hash", True),
        (True, "code_hash", True),
        (False, False, False),
    ],
)
def test_an_explicit_cache_rule_is_distinguished_from_the_default(
    cache: Any, rule: Any, explicit: bool
) -> None:
    decorated = step(cache=cache)(double)
    assert (decorated.cache, decorated.cache_explicit) == (rule, explicit)


def test_a_single_name_can_be_a_plain_string() -> None:
    decorated = step(inputs="x", outputs="model")(double)
    assert (decorated.inputs, decorated.outputs) == (("x",), ("model",))


def test_a_step_adds_itself_to_the_pipeline_it_names() -> None:
    pipeline = Pipeline("p")
    decorated = step(pipeline=pipeline)(double)
    step(pipeline=pipeline, register=False, name="other")(double)
    assert pipeline.steps == [decorated]


def test_a_step_without_outputs_produces_an_asset_of_its_own_name() -> None:
    assert step(double).assets == ("double",)


def test_resources_as_a_dict_are_read() -> None:
    assert step(resources={"cpu": "2"})(double).requirements() == ResourceRequirements("2")


@pytest.mark.parametrize("value", [{"y": 1}, (1, 2), [1], None, "text"])
def test_one_output_takes_the_whole_value(value: Any) -> None:
    assert returning("y").split_outputs(value) == {"y": value}


@pytest.mark.parametrize("value", [(1, 2), [1, 2], {"b": 2, "a": 1}, {"a": 1, "b": 2, "c": 3}])
def test_several_outputs_take_a_sequence_of_that_length_or_a_dict_by_key(value: Any) -> None:
    assert returning("a", "b").split_outputs(value) == {"a": 1, "b": 2}


@pytest.mark.parametrize("value", [(1,), (1, 2, 3), {"a": 1}, "ab", None, 7])
def test_a_value_that_does_not_match_the_outputs_is_an_error_that_names_them(value: Any) -> None:
    with pytest.raises(OutputMismatchError, match="2 outputs: a, b") as caught:
        returning("a", "b").split_outputs(value)
    assert "'train'" in caught.value.what


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"retry": -1}, "retry=-1"),
        ({"retry": 1.5}, "retry=1.5"),
        ({"retry": 101}, "retry=101"),
        ({"retry_delay": -1}, "retry_delay=-1"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "1h"}, "timeout='1h'"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"cache": "codehash"}, "cache='codehash'"),
        ({"condition": "x > 1"}, "condition='x > 1'"),
        ({"execution_group": ""}, "execution_group=''"),
        ({"inputs": ["x", "x"]}, "inputs=('x', 'x')"),
        ({"outputs": ["y", ""]}, "outputs=('y', '')"),
        ({"resources": {"cpus": 1}}, "'cpus'"),
        ({"resources": {"cpu": "many"}}, "'many'"),
        ({"resources": {"gpu": {"gpu_type": "a1000"}}}, "'a1000'"),
    ],
)
def test_a_wrong_argument_is_a_problem_that_names_step_and_argument(
    arguments: dict[str, Any], named: str
) -> None:
    (problem,) = step(name="train", **arguments)(double).problems()
    assert "'train'" in problem.what
    assert named in problem.what
    assert isinstance(problem, ValueError)


def test_every_mistake_in_a_step_is_reported() -> None:
    decorated = step(
        retry=-1, timeout=0, cache="x", inputs=["a", "a"], resources={"cpu": "?", "memory": "?"}
    )(double)
    assert len(decorated.problems()) == 6


def test_a_good_step_has_no_problems() -> None:
    decorated = step(
        inputs=["x"], outputs=["y"], retry=3, timeout=0.5, condition=bool, execution_group="g"
    )(double)
    assert decorated.problems() == []


@pytest.mark.parametrize(
    "arguments",
    [{"inputs": [1]}, {"outputs": [["y"]]}, {"execution_group": 5}, {"name": 5}],
    ids=str,
)
def test_a_name_that_is_not_a_string_is_an_immediate_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidStepError):
        step(**arguments)(double)


@pytest.mark.parametrize("func", [5, "double", None])
def test_a_step_requires_a_function(func: Any) -> None:
    with pytest.raises(InvalidStepError):
        step(name="train")(func)


def test_a_callable_without_a_name_needs_an_explicit_one() -> None:
    partial = functools.partial(double, by=3)
    with pytest.raises(InvalidStepError, match="name"):
        step(partial)
    assert step(name="triple")(partial)(2) == 6


def test_a_step_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        answer.name = "other"  # type: ignore[misc]


def test_a_step_survives_pickling_and_copying() -> None:
    for restored in (copy.copy(answer), pickle.loads(cloudpickle.dumps(answer))):
        assert restored() == 42
        assert (restored.name, restored.outputs, restored.__doc__) == (
            "answer",
            ("answer",),
            answer.__doc__,
        )


def problems_of(made: Step) -> list[str]:
    return [problem.what for problem in made.problems()]


def test_a_cluster_needs_several_nodes() -> None:
    alone = step(name="train", distributed="ray")(double)
    assert problems_of(alone) == ["Step 'train': distributed='ray' on one node"]
    assert "ResourceRequirements(nodes=4)" in alone.problems()[0].fix
    four = step(distributed="ray", resources={"nodes": 4})(double)
    assert problems_of(four) == []


def test_torchrun_also_starts_the_processes_of_one_machine() -> None:
    made = step(distributed="torchrun")(double)
    assert problems_of(made) == []
    assert made.has_other_processes


def test_a_map_of_a_step_with_several_nodes_or_torchrun_is_a_mistake() -> None:
    mapped = step(name="train", resources={"nodes": 4})(double).map("x")
    assert problems_of(mapped) == ["Step 'train': a map of a step with 4 nodes"]
    assert problems_of(step(resources={"nodes": 1})(double).map("x")) == []
    launched = step(name="train", distributed="torchrun")(double).map("x")
    assert problems_of(launched) == ["Step 'train': a map of a step with distributed='torchrun'"]


def test_an_unknown_launcher_is_a_mistake_of_its_own() -> None:
    (problem,) = step(name="train", distributed="mpi")(double).problems()  # type: ignore[call-overload]
    assert problem.what == "Step 'train': Invalid argument distributed='mpi'"
    assert '"torchrun", "ray", "dask"' in problem.why


@pytest.mark.parametrize("nodes", [0, 1001, 2.5, "4", True])
def test_an_invalid_number_of_nodes_is_the_only_mistake(nodes: object) -> None:
    made = step(name="train", resources={"nodes": nodes}, distributed="ray")(double)
    assert problems_of(made) == [f"Step 'train': Invalid number of nodes {nodes!r}"]
