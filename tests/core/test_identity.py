"""What the outcome of a step depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from flowyml_aws.core.cache_key import cache_key
from flowyml_aws.core.errors import InvalidStepError
from flowyml_aws.core.fingerprint import Fingerprinter
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.identity import StepIdentity, goes_by_content, identify
from flowyml_aws.core.step import Step, step

pytestmark = pytest.mark.version_sensitive


def graph_of(*steps: Step) -> StepGraph:
    graph, problems = read_graph(steps)
    assert graph is not None and not problems
    return graph


def identity(one: Step, **context: Any) -> StepIdentity | None:
    return identify(one, graph_of(one), context, Fingerprinter())


def digest(one: Step, **context: Any) -> str:
    found = identity(one, **context)
    assert found is not None
    return found.digest


def train(rate: float, epochs: int = 1) -> float:
    return rate * epochs


def made(function: Callable[..., Any] = train, **options: Any) -> Step:
    return step(**{"name": "train", "outputs": ["model"], **options})(function)


def test_a_step_that_is_never_cached_has_none() -> None:
    assert identity(made(cache=False), rate=0.1) is None


def test_the_context_values_that_it_reads_count_and_others_do_not() -> None:
    assert digest(made(), rate=0.1) == digest(made(), rate=0.1, other="x")
    assert digest(made(), rate=0.1) != digest(made(), rate=0.2)
    assert digest(made(), rate=0.1) != digest(made(), rate=0.1, epochs=1)


@pytest.mark.parametrize("values", [(1, 1.0), (1, True), ("1", 1), ({"a"}, ["a"]), (None, 0)])
def test_values_of_different_types_differ(values: tuple[Any, Any]) -> None:
    one, other = values
    assert digest(made(), rate=one) != digest(made(), rate=other)


def test_what_does_not_change_the_outcome_does_not_count() -> None:
    plain = digest(made(), rate=0.1)
    for options in (
        {"name": "fit"},
        {"retry": 3},
        {"timeout": 60},
        {"execution_group": "g"},
        {"tags": {"a": "b"}},
        {"resources": {"cpu": "8"}},
    ):
        assert digest(made(**options), rate=0.1) == plain


def test_the_names_of_its_assets_count() -> None:
    assert digest(made(outputs=["other"]), rate=0.1) != digest(made(), rate=0.1)


def test_what_the_cache_function_returns_counts() -> None:
    def by_rate(rate: float) -> int:
        return round(rate)

    assert digest(made(cache=by_rate), rate=1.0) != digest(made(), rate=1.0)
    found = [identity(made(cache=by_rate), rate=rate) for rate in (1.1, 1.2, 1.9)]
    returned = [one.returned if one else None for one in found]
    assert returned[0] == returned[1] != returned[2]


def test_a_cache_function_that_fails_is_the_user_s_mistake() -> None:
    def broken() -> int:
        raise KeyError("no")

    with pytest.raises(InvalidStepError, match="'train': its cache function fails"):
        identity(made(cache=broken), rate=1.0)


def test_a_key_depends_on_each_asset_and_not_on_their_order() -> None:
    def key(**assets: str) -> str:
        return cache_key("identity", assets)

    assert key(a="1", b="2") == key(b="2", a="1")
    assert len({key(a="1", b="2"), key(a="2", b="1"), key(a="1"), key(a="1", c="2")}) == 4


def test_behind_a_step_that_goes_by_content_all_do() -> None:
    def link(name: str, *inputs: str, cache: Any = None) -> Step:
        return step(name=name, inputs=list(inputs), outputs=[name], cache=cache)(lambda **v: 1)

    steps = [link("a"), link("b", "a", cache="input_hash"), link("c", "b"), link("d", "a")]
    found: Mapping[str, bool] = goes_by_content(graph_of(*steps))
    assert found == {"a": False, "b": True, "c": True, "d": False}
