"""Identities and cache keys of steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from flowyml_aws.caching.cache_key import cache_key
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.caching.identity import StepIdentity, identified_by_content, identify
from flowyml_aws.core.auto_resources import Auto
from flowyml_aws.core.errors import InvalidStepError
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.step import Step, step

pytestmark = pytest.mark.version_sensitive


def graph_of(*steps: Step, context: Collection[str] = ()) -> StepGraph:
    graph, problems = read_graph(steps, context=context)
    assert graph is not None and not problems
    return graph


def identity_of(target: Step, **context: Any) -> StepIdentity | None:
    return identify(target, graph_of(target, context=context), context, Fingerprinter())


def digest_of(target: Step, **context: Any) -> str:
    identity = identity_of(target, **context)
    assert identity is not None
    return identity.digest


def train(rate: float, epochs: int = 1) -> float:
    return rate * epochs


def train_step(function: Callable[..., Any] = train, **options: Any) -> Step:
    return step(**{"name": "train", "outputs": ["model"], **options})(function)


def test_a_step_that_is_never_cached_has_no_identity() -> None:
    assert identity_of(train_step(cache=False), rate=0.1) is None


def test_only_context_values_that_the_step_reads_change_the_identity() -> None:
    assert digest_of(train_step(), rate=0.1) == digest_of(train_step(), rate=0.1, other="x")
    assert digest_of(train_step(), rate=0.1) != digest_of(train_step(), rate=0.2)
    assert digest_of(train_step(), rate=0.1) != digest_of(train_step(), rate=0.1, epochs=1)


@pytest.mark.parametrize("resources", ["auto", Auto({"memory": "4Gi"}), {"cpu": 8}])
def test_resources_do_not_change_the_identity(resources: Any) -> None:
    assert digest_of(train_step(resources=resources), rate=1) == digest_of(train_step(), rate=1)


@pytest.mark.parametrize("values", [(1, 1.0), (1, True), ("1", 1), ({"a"}, ["a"]), (None, 0)])
def test_context_values_of_different_types_have_different_identities(
    values: tuple[Any, Any],
) -> None:
    first, second = values
    assert digest_of(train_step(), rate=first) != digest_of(train_step(), rate=second)


def test_options_without_effect_on_the_outputs_do_not_change_the_identity() -> None:
    plain = digest_of(train_step(), rate=0.1)
    for options in (
        {"name": "fit"},
        {"retry": 3},
        {"timeout": 60},
        {"execution_group": "g"},
        {"tags": {"a": "b"}},
        {"resources": {"cpu": "8"}},
    ):
        assert digest_of(train_step(**options), rate=0.1) == plain


def test_asset_names_change_the_identity() -> None:
    assert digest_of(train_step(outputs=["other"]), rate=0.1) != digest_of(train_step(), rate=0.1)


def test_the_result_of_the_cache_function_changes_the_identity() -> None:
    def by_rate(rate: float) -> int:
        return round(rate)

    assert digest_of(train_step(cache=by_rate), rate=1.0) != digest_of(train_step(), rate=1.0)
    identities = [identity_of(train_step(cache=by_rate), rate=rate) for rate in (1.1, 1.2, 1.9)]
    returned = [identity.returned if identity else None for identity in identities]
    assert returned[0] == returned[1] != returned[2]


def test_a_failing_cache_function_is_a_step_error() -> None:
    def broken() -> int:
        raise KeyError("no")

    with pytest.raises(InvalidStepError, match="'train': the cache function failed"):
        identity_of(train_step(cache=broken), rate=1.0)


def test_a_key_depends_on_each_asset_and_not_on_their_order() -> None:
    def key(**assets: str) -> str:
        return cache_key("identity", assets)

    assert key(a="1", b="2") == key(b="2", a="1")
    assert len({key(a="1", b="2"), key(a="2", b="1"), key(a="1"), key(a="1", c="2")}) == 4


def test_assets_downstream_of_a_content_rule_are_identified_by_content() -> None:
    def link(name: str, *inputs: str, cache: Any = None) -> Step:
        return step(name=name, inputs=list(inputs), outputs=[name], cache=cache)(lambda **v: 1)

    steps = [link("a"), link("b", "a", cache="input_hash"), link("c", "b"), link("d", "a")]
    by_content: Mapping[str, bool] = identified_by_content(graph_of(*steps), "abcd")
    assert by_content == {"a": False, "b": True, "c": True, "d": False}


def test_environment_variables_of_the_job_change_the_identity() -> None:
    target = train_step()

    def digest(environment: Mapping[str, str] | None) -> str:
        identity = identify(
            target, graph_of(target, context=["rate"]), {"rate": 1}, Fingerprinter(), environment
        )
        assert identity is not None
        return identity.digest

    assert digest({}) == digest(None) == digest_of(target, rate=1)
    assert digest({"A": "1", "B": "2"}) == digest({"B": "2", "A": "1"})
    assert len({digest(None), digest({"A": "1"}), digest({"A": "2"}), digest({"B": "1"})}) == 4


def test_without_optional_facts_the_identity_equals_that_of_earlier_versions() -> None:
    identity = StepIdentity("code", {"rate": "1"}, None, ("data",), ("model",))
    earlier = "fa18eb721085ea16ec28d260cbdef3c159f4a47f1f133511c8174e1bfd0c74b1"
    assert identity.digest == earlier


def test_an_async_cache_function_is_awaited_also_in_a_notebook() -> None:
    async def by_rate(rate: float) -> int:
        return round(rate)

    async def in_a_running_loop() -> list[str]:
        identities = [identity_of(train_step(cache=by_rate), rate=r) for r in (1.1, 1.2, 1.9)]
        return [identity.returned or "" for identity in identities if identity]

    returned = asyncio.run(in_a_running_loop())
    assert returned[0] == returned[1] != returned[2]
