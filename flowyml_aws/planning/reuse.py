"""Which steps need not run, because what they would make is there from an earlier run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from flowyml_aws.artifacts.cache import CacheEntry
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.cache_key import cache_key
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.identity import StepIdentity, goes_by_content

__all__ = ["Reuse", "decide_reuse"]

Entries = Callable[[Sequence[str]], Mapping[str, CacheEntry]]
Missing = Callable[[Sequence[ArtifactRef]], Collection[ArtifactRef]]


@dataclass(frozen=True, slots=True)
class Reuse:
    """What runs, and what is taken from earlier runs instead.

    Attributes:
        runs: Steps that run, or must be asked in their job whether they need to.
        entries: What earlier runs made of the other steps; one without an entry is not needed.
        refs: Those of their assets that are read or are results. They are stored.
        identities: Of the steps that may be cached.
        assets: For each of these, the identity of what it reads; None stands for the digest of
            the content, which its job will know.
        asked: Steps whose job looks whether they need to run.
        stored: Assets that must be stored for that, wherever they are read.
    """

    runs: frozenset[str]
    entries: Mapping[str, CacheEntry]
    refs: Mapping[str, ArtifactRef]
    identities: Mapping[str, StepIdentity]
    assets: Mapping[str, Mapping[str, str | None]]
    asked: frozenset[str]
    stored: frozenset[str]


def decide_reuse(
    graph: StepGraph,
    identities: Mapping[str, StepIdentity],
    given: Mapping[str, str],
    entries: Entries,
    missing: Missing,
    refresh: Collection[str] = (),
) -> Reuse:
    """Find what earlier runs made of a pipeline, and what is left to run.

    Args:
        graph: The steps.
        identities: Of the steps that may be cached.
        given: Identity of each value that the run brings along, as far as known.
        entries: Reads the entries of several keys; what has none is left out.
        missing: Of several stored values those that are not there.
        refresh: Steps that run in any case, with all that depends on them.
    """
    forced = _with_descendants(graph, refresh)
    known = _Known(graph, identities, given)
    found: dict[str, CacheEntry] = {}
    while keys := known.new_keys(found):
        wanted = {step: key for step, key in keys.items() if step not in forced}
        there = entries(tuple(wanted.values()))
        found.update({step: there[key] for step, key in wanted.items() if key in there})
    while True:
        runs, refs = _demanded(graph, found)
        lost = known.found_too_early(found, runs)
        gone = set(missing(tuple(refs.values()))) if not lost else set()
        lost.update(graph.producers[asset] for asset, ref in refs.items() if ref in gone)
        if not lost:
            break
        found = {step: entry for step, entry in found.items() if step not in lost}
    assets = {
        step.name: known.identities_of(step.name, runs)
        for step in graph.steps
        if step.name in identities
    }
    unknown = {s: [a for a, i in of.items() if i is None] for s, of in assets.items() if s in runs}
    asked = {name for name, of in unknown.items() if of and name not in forced}
    stored = {asset for of in unknown.values() for asset in of}
    # An outcome that is found again is not in the job's memory.
    stored.update(asset for step in graph.steps if step.name in asked for asset in step.assets)
    return Reuse(
        runs=frozenset(runs),
        entries={step: entry for step, entry in found.items() if step not in runs},
        refs=refs,
        identities=identities,
        assets=assets,
        asked=frozenset(asked),
        stored=frozenset(stored),
    )


class _Known:
    """What is known of the assets' identities while entries are found."""

    def __init__(
        self, graph: StepGraph, identities: Mapping[str, StepIdentity], given: Mapping[str, str]
    ) -> None:
        self._graph = graph
        self._identities = identities
        self._rules = {step.name: step.cache for step in graph.steps}
        self._by_content = goes_by_content(graph)
        self._keys: dict[str, str] = {}
        self._contents = dict(given)  # identities by asset

    def new_keys(self, found: Mapping[str, CacheEntry]) -> dict[str, str]:
        """Keys that can be told now and could not before."""
        for entry in found.values():
            self._contents.update({asset: ref.identity for asset, ref in entry.assets.items()})
        new = {}
        for step in self._graph.steps:  # in order: a key may need the one before it
            name = step.name
            if name in self._keys or name not in self._identities:
                continue
            assets = {asset: self._identity(asset, name) for asset in self._graph.reads[name]}
            told = {asset: identity for asset, identity in assets.items() if identity is not None}
            if len(told) == len(assets):
                key = cache_key(self._identities[name].digest, told)
                self._keys[name] = new[name] = key
        return new

    def identities_of(self, step: str, runs: Collection[str]) -> dict[str, str | None]:
        """Of what a step reads; contents that a step of this run makes are not known yet."""
        return {
            asset: None
            if self._is_by_content(asset, step) and self._graph.producers.get(asset) in runs
            else self._identity(asset, step)
            for asset in self._graph.reads[step]
        }

    def found_too_early(self, found: Collection[str], runs: Collection[str]) -> set[str]:
        """Steps that were found by contents that this run makes forced, and may make otherwise."""
        forced = set(runs)
        for step in self._graph.steps:  # in order: what is behind such a step is one, too
            if step.name in found and None in self.identities_of(step.name, forced).values():
                forced.add(step.name)
        return forced.difference(runs)

    def _identity(self, asset: str, reader: str) -> str | None:
        if self._is_by_content(asset, reader):
            return self._contents.get(asset)
        key = self._keys.get(self._graph.producers[asset])
        return None if key is None else f"{key} {asset}"

    def _is_by_content(self, asset: str, reader: str) -> bool:
        producer = self._graph.producers.get(asset)
        if producer is None or self._rules[reader] == "input_hash":
            return True
        return self._by_content[producer]


def _demanded(
    graph: StepGraph, found: Mapping[str, CacheEntry]
) -> tuple[set[str], dict[str, ArtifactRef]]:
    """Steps that must run, and the earlier values that they and the user take."""
    read = {asset for of in graph.reads.values() for asset in of}
    uncached = [step for step in graph.steps if step.cache is False]
    results = [a for step in graph.steps for a in step.assets if a not in read]
    runs: set[str] = set()
    taken: dict[str, ArtifactRef] = {}
    waiting = [*results, *(asset for step in uncached for asset in step.assets)]
    while waiting:
        asset = waiting.pop()
        producer = graph.producers.get(asset)
        if producer is None or producer in runs:
            continue
        ref = found[producer].assets.get(asset) if producer in found else None
        if ref is not None:
            taken[asset] = ref
            continue
        runs.add(producer)
        waiting += graph.reads[producer]
    # What runs anyway makes its assets anew, also those that were taken before it was known.
    return runs, {a: ref for a, ref in taken.items() if graph.producers[a] not in runs}


def _with_descendants(graph: StepGraph, names: Collection[str]) -> set[str]:
    found = set(names)
    for step in graph.steps:
        if found.intersection(graph.parents[step.name]):
            found.add(step.name)
    return found
