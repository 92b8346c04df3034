"""What earlier runs made, and what is left to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from flowyml_aws.artifacts.cache import CacheEntry
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.cache_key import cache_key
from flowyml_aws.core.fingerprint import Fingerprinter
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.identity import identify
from flowyml_aws.core.step import Step, step
from flowyml_aws.planning.reuse import Reuse, decide_reuse


def content(text: str) -> str:
    return text.encode().hex().ljust(64, "0")[:64]


def ref_of(digest: str) -> ArtifactRef:
    return ArtifactRef(uri=f"x/{digest}", sha256=digest, size_bytes=1, codec="json/1")


@dataclass
class Past:
    """A cache, and which values are there."""

    entries: dict[str, CacheEntry] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def read(self, keys: Sequence[str]) -> Mapping[str, CacheEntry]:
        self.asked += keys
        return {key: self.entries[key] for key in keys if key in self.entries}

    def missing(self, refs: Sequence[ArtifactRef]) -> list[ArtifactRef]:
        return [ref for ref in refs if ref.sha256 in self.gone]


def made(name: str, *inputs: str, cache: Any = None, outputs: Sequence[str] = ()) -> Step:
    return step(name=name, inputs=list(inputs), outputs=list(outputs or [name]), cache=cache)(
        lambda **values: 1
    )


class World:
    """A pipeline, and runs of it that store every asset."""

    def __init__(self, *steps: Step, given: Mapping[str, str] | None = None) -> None:
        self.given = dict(given or {})
        graph, problems = read_graph(steps, self.given)
        assert graph is not None and not problems
        self.graph: StepGraph = graph
        reader = Fingerprinter()
        found = {s.name: identify(s, graph, {}, reader) for s in graph.steps}
        self.identities = {name: one for name, one in found.items() if one is not None}
        self.past = Past()

    def decide(self, *refresh: str) -> Reuse:
        return decide_reuse(
            self.graph, self.identities, self.given, self.past.read, self.past.missing, refresh
        )

    def run(self, contents: Mapping[str, str] | None = None) -> Reuse:
        """A run in which each asset gets the content that is given, or that of its name."""
        reuse = self.decide()
        known = {asset: ref.identity for asset, ref in reuse.refs.items()} | self.given
        for one in self.graph.steps:
            if one.name not in reuse.runs:
                continue
            stored = {a: (contents or {}).get(a, content(a)) for a in one.assets}
            refs = {a: ref_of(digest) for a, digest in stored.items()}
            known.update({a: ref.identity for a, ref in refs.items()})
            if one.name not in self.identities:
                continue
            assets = {a: i or known[a] for a, i in reuse.assets[one.name].items()}
            key = cache_key(self.identities[one.name].digest, assets)
            self.past.entries[key] = CacheEntry(
                key=key, pipeline="p", step=one.name, run_id="r", created_at=0, assets=refs
            )
        return reuse


def test_at_first_everything_runs_and_then_nothing() -> None:
    world = World(made("a"), made("b", "a"), made("c", "b"))
    assert world.run().runs == {"a", "b", "c"}
    again = world.decide()
    assert again.runs == frozenset()
    assert again.refs.keys() == {"c"}


def test_a_step_that_is_never_cached_runs_and_takes_what_it_reads_from_before() -> None:
    world = World(made("a"), made("b", "a"), made("c", "b", cache=False))
    world.run()
    again = world.decide()
    assert again.runs == {"c"}
    assert again.refs.keys() == {"b"}
    assert "c" not in again.identities


def test_behind_a_step_that_always_runs_the_job_asks_by_content() -> None:
    world = World(made("a", cache=False), made("b", "a"))
    world.run()
    again = world.decide()
    assert again.runs == {"a", "b"}
    assert again.asked == {"b"}
    assert again.assets["b"] == {"a": None}


def test_a_value_that_is_gone_makes_its_step_run_again() -> None:
    world = World(made("a"), made("b", "a", cache=False))
    world.run()
    world.past.gone.add(content("a"))
    again = world.decide()
    assert again.runs == {"a", "b"}
    assert again.refs == {}


def test_a_step_is_not_run_for_an_asset_that_nobody_needs() -> None:
    world = World(made("a"), made("b", "a"), made("c", "a"))
    world.run()
    world.past.gone.add(content("a"))
    assert world.decide().runs == frozenset()


def test_an_asset_that_was_not_stored_makes_its_step_run_for_who_needs_it() -> None:
    world = World(made("a"), made("b", "a"), made("c", "a", cache=False))
    world.run()
    for key, entry in world.past.entries.items():
        if entry.step == "a":
            world.past.entries[key] = entry.model_copy(update={"assets": {}})
    again = world.decide()
    assert again.runs == {"a", "c"}
    assert again.refs.keys() == {"b"}


def test_refresh_runs_a_step_and_all_behind_it() -> None:
    world = World(made("a"), made("b", "a"), made("c", "b"), made("d", "a"))
    world.run()
    again = world.decide("b")
    assert again.runs == {"b", "c"}
    assert again.refs.keys() == {"a", "d"}
    assert again.asked == frozenset()


def test_input_hash_is_decided_by_what_an_earlier_run_left() -> None:
    world = World(made("a"), made("b", "a", cache="input_hash"), made("c", "b"))
    world.run()
    assert world.decide().runs == frozenset()


def test_input_hash_cuts_off_where_the_content_is_the_same_after_all() -> None:
    world = World(
        made("a", "seed"), made("b", "a", cache="input_hash"), given={"seed": content("1")}
    )
    world.run()
    world.given["seed"] = content("2")
    again = world.decide()
    assert again.runs == {"a", "b"}
    assert again.asked == {"b"}  # its job will find the entry, as the content of `a` is known then
    key = cache_key(world.identities["b"].digest, {"a": ref_of(content("a")).identity})
    assert key in world.past.entries


def test_another_content_of_a_given_asset_is_another_key() -> None:
    world = World(made("a", "seed"), given={"seed": content("1")})
    world.run()
    assert world.decide().runs == frozenset()
    world.given["seed"] = content("2")
    assert world.decide().runs == {"a"}


def test_where_the_given_content_is_not_known_the_step_runs() -> None:
    world = World(made("a", "seed"), given={"seed": content("1")})
    world.run()
    unknown = decide_reuse(world.graph, world.identities, {}, world.past.read, world.past.missing)
    assert unknown.runs == {"a"}


def test_each_key_is_asked_for_once() -> None:
    world = World(*(made(f"s{n}", *([f"s{n - 1}"] if n else [])) for n in range(20)))
    world.run()
    world.past.asked.clear()
    world.decide()
    assert len(world.past.asked) == len(set(world.past.asked)) == 20


@pytest.mark.parametrize("cache", ["code_hash", "input_hash"])
def test_the_code_of_a_step_upstream_is_in_every_key_behind_it(cache: str) -> None:
    def one(**values: int) -> int:
        return 1

    def two(**values: int) -> int:
        return 2

    def world(function: Any) -> World:
        first = step(name="a", outputs=["a"])(function)
        return World(first, made("b", "a", cache=cache))

    before = world(one)
    before.run()
    after = world(two)
    after.past = before.past
    assert after.decide().runs == {"a", "b"}


def test_what_was_found_by_a_content_that_is_made_anew_is_asked_again() -> None:
    world = World(
        made("p", cache="input_hash"),
        made("q", "p", outputs=["q0", "q1"]),
        made("b", "q0"),
        made("c", "q1", cache=False),
        made("d", "b"),
    )
    world.run()
    assert world.decide().runs == {"c"}
    world.past.gone.add(content("q1"))
    again = world.decide()
    # `q` may make another `q0` than the one that `b` was found by.
    assert again.runs == {"q", "b", "c", "d"}
    assert again.asked == {"b", "d"}
