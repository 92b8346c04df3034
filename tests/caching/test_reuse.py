"""Reuse of assets from earlier runs, and the steps that still run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.caching.cache_key import cache_key
from flowyml_aws.caching.entries import CacheEntry
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.caching.identity import identify
from flowyml_aws.caching.reuse import Reuse, decide_reuse, run_without_cache
from flowyml_aws.core.approval_steps import approval
from flowyml_aws.core.branches import Branch
from flowyml_aws.core.gated_graph import with_gates
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.step import Step, step


def content(text: str) -> str:
    return text.encode().hex().ljust(64, "0")[:64]


def ref_of(digest: str) -> ArtifactRef:
    return ArtifactRef(uri=f"x/{digest}", sha256=digest, size_bytes=1, codec="json/1")


@dataclass
class FakeCache:
    """A cache in memory, with the missing values and the keys that were looked up."""

    entries: dict[str, CacheEntry] = field(default_factory=dict)
    missing_digests: set[str] = field(default_factory=set)
    lookups: list[str] = field(default_factory=list)

    def read(self, keys: Sequence[str]) -> Mapping[str, CacheEntry]:
        self.lookups += keys
        return {key: self.entries[key] for key in keys if key in self.entries}

    def missing(self, refs: Sequence[ArtifactRef]) -> list[ArtifactRef]:
        return [ref for ref in refs if ref.sha256 in self.missing_digests]


def make_step(name: str, *inputs: str, cache: Any = None, outputs: Sequence[str] = ()) -> Step:
    return step(name=name, inputs=list(inputs), outputs=list(outputs or [name]), cache=cache)(
        lambda **values: 1
    )


class Scenario:
    """A pipeline whose runs store every asset."""

    def __init__(self, *steps: Step, external_inputs: Mapping[str, str] | None = None) -> None:
        self.external_inputs = dict(external_inputs or {})
        graph, problems = read_graph(steps, self.external_inputs)
        assert graph is not None and not problems
        self.graph: StepGraph = with_gates(graph)
        reader = Fingerprinter()
        identities = {s.name: identify(s, self.graph, {}, reader) for s in self.graph.steps}
        self.identities = {name: i for name, i in identities.items() if i is not None}
        self.cache = FakeCache()

    def decide(self, *refresh: str) -> Reuse:
        return decide_reuse(
            self.graph,
            self.identities,
            self.external_inputs,
            self.cache.read,
            self.cache.missing,
            refresh,
        )

    def run(self, contents: Mapping[str, str] | None = None) -> Reuse:
        """Run with the given content of each asset; the default is a content made from its name."""
        reuse = self.decide()
        known = {asset: ref.identity for asset, ref in reuse.refs.items()} | self.external_inputs
        for node in self.graph.steps:
            if node.name not in reuse.runs:
                continue
            stored = {a: (contents or {}).get(a, content(a)) for a in node.assets}
            refs = {a: ref_of(digest) for a, digest in stored.items()}
            known.update({a: ref.identity for a, ref in refs.items()})
            if node.name not in reuse.identities:
                continue
            assets = {a: i or known[a] for a, i in reuse.assets[node.name].items()}
            key = cache_key(self.identities[node.name].digest, assets)
            self.cache.entries[key] = CacheEntry(
                key=key, pipeline="p", step=node.name, run_id="r", created_at=0, assets=refs
            )
        return reuse


def test_every_step_runs_once_and_is_then_reused() -> None:
    scenario = Scenario(make_step("a"), make_step("b", "a"), make_step("c", "b"))
    assert scenario.run().runs == {"a", "b", "c"}
    again = scenario.decide()
    assert again.runs == frozenset()
    assert again.refs.keys() == {"c"}


def test_an_uncached_step_runs_and_reads_reused_assets() -> None:
    scenario = Scenario(make_step("a"), make_step("b", "a"), make_step("c", "b", cache=False))
    scenario.run()
    again = scenario.decide()
    assert again.runs == {"c"}
    assert again.refs.keys() == {"b"}
    assert "c" not in again.identities


def test_after_a_step_that_always_runs_the_lookup_by_content_is_deferred() -> None:
    scenario = Scenario(make_step("a", cache=False), make_step("b", "a"))
    scenario.run()
    again = scenario.decide()
    assert again.runs == {"a", "b"}
    assert again.deferred == {"b"}
    assert again.assets["b"] == {"a": None}


def test_a_missing_value_makes_its_step_run_again() -> None:
    scenario = Scenario(make_step("a"), make_step("b", "a", cache=False))
    scenario.run()
    scenario.cache.missing_digests.add(content("a"))
    again = scenario.decide()
    assert again.runs == {"a", "b"}
    assert again.refs == {}


def test_a_step_does_not_run_for_an_asset_that_is_not_needed() -> None:
    scenario = Scenario(make_step("a"), make_step("b", "a"), make_step("c", "a"))
    scenario.run()
    scenario.cache.missing_digests.add(content("a"))
    assert scenario.decide().runs == frozenset()


def test_an_asset_that_was_not_stored_makes_its_step_run_for_its_readers() -> None:
    scenario = Scenario(make_step("a"), make_step("b", "a"), make_step("c", "a", cache=False))
    scenario.run()
    for key, entry in scenario.cache.entries.items():
        if entry.step == "a":
            scenario.cache.entries[key] = entry.model_copy(update={"assets": {}})
    again = scenario.decide()
    assert again.runs == {"a", "c"}
    assert again.refs.keys() == {"b"}


def test_refresh_runs_a_step_and_its_descendants() -> None:
    scenario = Scenario(
        make_step("a"), make_step("b", "a"), make_step("c", "b"), make_step("d", "a")
    )
    scenario.run()
    again = scenario.decide("b")
    assert again.runs == {"b", "c"}
    assert again.refs.keys() == {"a", "d"}
    assert again.deferred == frozenset()


def test_input_hash_uses_the_contents_of_an_earlier_run() -> None:
    scenario = Scenario(
        make_step("a"), make_step("b", "a", cache="input_hash"), make_step("c", "b")
    )
    scenario.run()
    assert scenario.decide().runs == frozenset()


def test_input_hash_defers_the_lookup_and_hits_if_the_content_is_unchanged() -> None:
    scenario = Scenario(
        make_step("a", "seed"),
        make_step("b", "a", cache="input_hash"),
        external_inputs={"seed": content("1")},
    )
    scenario.run()
    scenario.external_inputs["seed"] = content("2")
    again = scenario.decide()
    assert again.runs == {"a", "b"}
    assert again.deferred == {"b"}  # its job will find the entry once the content of `a` is known
    key = cache_key(scenario.identities["b"].digest, {"a": ref_of(content("a")).identity})
    assert key in scenario.cache.entries


def test_another_content_of_an_external_input_is_another_key() -> None:
    scenario = Scenario(make_step("a", "seed"), external_inputs={"seed": content("1")})
    scenario.run()
    assert scenario.decide().runs == frozenset()
    scenario.external_inputs["seed"] = content("2")
    assert scenario.decide().runs == {"a"}


def test_a_step_with_an_unknown_external_input_runs() -> None:
    scenario = Scenario(make_step("a", "seed"), external_inputs={"seed": content("1")})
    scenario.run()
    unknown = decide_reuse(
        scenario.graph, scenario.identities, {}, scenario.cache.read, scenario.cache.missing
    )
    assert unknown.runs == {"a"}


def test_each_key_is_looked_up_once() -> None:
    scenario = Scenario(*(make_step(f"s{n}", *([f"s{n - 1}"] if n else [])) for n in range(20)))
    scenario.run()
    scenario.cache.lookups.clear()
    scenario.decide()
    assert len(scenario.cache.lookups) == len(set(scenario.cache.lookups)) == 20


@pytest.mark.parametrize("cache", ["code_hash", "input_hash"])
def test_the_code_of_an_upstream_step_is_part_of_every_downstream_key(cache: str) -> None:
    def returns_one(**values: int) -> int:
        return 1

    def returns_two(**values: int) -> int:
        return 2

    def scenario_with(function: Any) -> Scenario:
        first = step(name="a", outputs=["a"])(function)
        return Scenario(first, make_step("b", "a", cache=cache))

    before = scenario_with(returns_one)
    before.run()
    after = scenario_with(returns_two)
    after.cache = before.cache
    assert after.decide().runs == {"a", "b"}


def test_a_hit_by_a_content_that_is_produced_again_is_deferred() -> None:
    scenario = Scenario(
        make_step("p", cache="input_hash"),
        make_step("q", "p", outputs=["q0", "q1"]),
        make_step("b", "q0"),
        make_step("c", "q1", cache=False),
        make_step("d", "b"),
    )
    scenario.run()
    assert scenario.decide().runs == {"c"}
    scenario.cache.missing_digests.add(content("q1"))
    again = scenario.decide()
    # `q` may produce another `q0`, so the hit of `b` is no longer valid.
    assert again.runs == {"q", "b", "c", "d"}
    assert again.deferred == {"b", "d"}


def waiting_step(name: str, after: str, *inputs: str, **options: Any) -> Step:
    return step(name=name, inputs=inputs, outputs=[name], after=[after], **options)(
        lambda **values: 1
    )


def test_a_step_is_reused_if_the_step_that_it_waits_for_is() -> None:
    scenario = Scenario(make_step("a"), waiting_step("b", "a"))
    scenario.run()
    assert scenario.decide().runs == set()


def test_the_key_of_the_awaited_step_is_part_of_the_key_but_not_its_value() -> None:
    steps = make_step("x"), make_step("a", "x"), waiting_step("b", "a")
    before = Scenario(*steps)
    before.run()
    after = Scenario(
        make_step("x"), step(name="a", inputs=["x"])(lambda **values: 2), waiting_step("b", "a")
    )
    after.cache = before.cache
    assert after.decide().runs == {"a", "b"}
    before.cache.entries.clear()
    before.run({"a": content("another value of a")})
    assert before.decide().runs == set()
    assert before.decide().assets["b"].keys() == {"after:a"}


def test_a_step_after_one_that_always_runs_is_never_reused() -> None:
    scenario = Scenario(
        make_step("a", cache=False), waiting_step("b", "a"), make_step("c", "b"), make_step("d")
    )
    scenario.run()
    again = scenario.decide()
    assert again.runs == {"a", "b", "c"}
    assert "b" not in again.identities
    assert again.deferred == {"c"}


def test_a_step_that_runs_demands_the_awaited_step_unless_that_is_reused() -> None:
    scenario = Scenario(
        make_step("a"), make_step("c", "a"), waiting_step("b", "a", cache="input_hash")
    )
    scenario.run()
    keys = {entry.step: key for key, entry in scenario.cache.entries.items()}
    for name in ("a", "b"):
        del scenario.cache.entries[keys[name]]
    assert scenario.decide().runs == {"a", "b"}
    scenario.run()
    del scenario.cache.entries[keys["b"]]
    assert scenario.decide().runs == {"b"}


def test_refresh_also_runs_the_steps_that_wait_for_the_step() -> None:
    scenario = Scenario(make_step("a"), waiting_step("b", "a"), make_step("c"))
    scenario.run()
    assert scenario.decide("a").runs == {"a", "b"}


def test_an_approval_changes_no_cache_key() -> None:
    deploy = step(name="deploy", inputs=["model"])(lambda model: model)
    without = Scenario(make_step("model"), make_step("metrics", "model"), deploy)
    without.run()
    gated = step(name="deploy", inputs=["model"], after=["release"])(deploy.func)
    release = approval("release", inputs=["metrics"])
    asked = Scenario(make_step("model"), make_step("metrics", "model"), release, gated)
    asked.cache = without.cache
    again = asked.decide()
    assert again.runs == frozenset()
    assert asked.graph.only(again.runs).gates == {}  # no one is asked


def test_what_an_approval_is_about_runs_before_the_steps_after_it() -> None:
    gated = step(name="deploy", after=["release"], cache=False)(lambda: 1)
    plot = make_step("plot", "metrics")
    scenario = Scenario(make_step("metrics"), plot, approval("release", inputs=["metrics"]), gated)
    scenario.run()
    assert scenario.decide().runs == {"deploy"}
    scenario.cache.entries = {
        key: entry for key, entry in scenario.cache.entries.items() if entry.step != "metrics"
    }
    assert scenario.decide().runs == {"metrics", "deploy"}


class BranchScenario(Scenario):
    """A pipeline whose decision `d` has two branches, of which `then` was taken."""

    def __init__(self) -> None:
        decision = replace(make_step("d", "a"), cases=("then", "else"))
        branches = [
            replace(make_step(name), branch=Branch("d", case))
            for name, case in (("t", "then"), ("e", "else"))
        ]
        after = [make_step("after_t", "t"), make_step("after_e", "e")]
        super().__init__(make_step("a"), decision, *branches, *after)

    def decide(self, *refresh: str) -> Reuse:
        return decide_reuse(
            self.graph,
            self.identities,
            self.external_inputs,
            self.cache.read,
            self.cache.missing,
            refresh,
            case_of=lambda ref: "then",
        )


def test_a_reused_decision_skips_the_other_branch_and_what_needs_it() -> None:
    scenario = BranchScenario()
    assert scenario.decide().skipped == {}
    scenario.run()
    again = scenario.decide()
    assert again.cases == {"d": "then"}
    assert again.skipped == dict.fromkeys(("e", "after_e"), "'d' chose 'then', not 'else'")
    assert again.runs == frozenset()
    assert again.entries.keys() == {"a", "d", "t", "after_t"}


def test_a_decision_that_is_made_again_skips_nothing_before_the_run() -> None:
    scenario = BranchScenario()
    scenario.run()
    again = scenario.decide("d")
    assert (again.cases, again.skipped) == ({}, {})
    assert again.runs == {"d", "t", "e", "after_t", "after_e"}


def test_a_decision_of_the_client_skips_the_other_branch() -> None:
    steps = [
        replace(make_step(name, "prepare" if name == "e" else "a"), branch=Branch("d", case))
        for name, case in (("t", "then"), ("e", "else"))
    ]
    scenario = Scenario(
        make_step("a"), make_step("prepare"), *steps, external_inputs={"d": content("then")}
    )
    reuse = decide_reuse(
        scenario.graph,
        scenario.identities,
        scenario.external_inputs,
        scenario.cache.read,
        scenario.cache.missing,
        cases={"d": "then"},
    )
    assert reuse.runs == {"a", "prepare", "t"}
    assert reuse.skipped == {"e": "'d' chose 'then', not 'else'"}


@given(st.data())
def test_without_a_cache_the_decision_is_that_of_an_empty_one(data: st.DataObject) -> None:
    steps: list[Step] = []
    for number in range(data.draw(st.integers(1, 6))):
        names = ["outside", "unknown", *(f"s{earlier}" for earlier in range(number))]
        inputs = data.draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
        after = data.draw(st.lists(st.sampled_from(names[2:]), max_size=1)) if number else []
        cache = data.draw(st.sampled_from([None, False, "input_hash"]))
        steps.append(replace(make_step(f"s{number}", *inputs, cache=cache), after=tuple(after)))
    scenario = Scenario(*steps, external_inputs={"outside": "x", "unknown": "y"})
    refresh = data.draw(st.sets(st.sampled_from([each.name for each in steps])))
    graph, identities, known = scenario.graph, scenario.identities, {"outside": "x"}
    empty = decide_reuse(
        graph, identities, known, scenario.cache.read, scenario.cache.missing, refresh
    )
    alone = run_without_cache(graph, identities, known, refresh)
    assert alone.runs == empty.runs
    assert (alone.deferred, alone.stored) == (empty.deferred, empty.stored)
    assert (alone.skipped, alone.cases) == (empty.skipped, empty.cases)
