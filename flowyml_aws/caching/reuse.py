"""Reuse of assets from earlier runs: decides which steps do not have to run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.caching.cache_key import cache_key
from flowyml_aws.caching.entries import CacheEntry, python_version
from flowyml_aws.caching.identity import StepIdentity, identified_by_content
from flowyml_aws.caching.labels import AFTER, key_label
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.known_skips import known_skips
from flowyml_aws.core.step import Step

__all__ = ["Reuse", "decide_reuse", "run_without_cache"]

Entries = Callable[[Sequence[str]], Mapping[str, CacheEntry]]
Missing = Callable[[Sequence[ArtifactRef]], Collection[ArtifactRef]]
CaseOf = Callable[[ArtifactRef], str | None]


@dataclass(frozen=True, slots=True)
class Reuse:
    """The steps that run, and the assets that are reused from earlier runs.

    Attributes:
        runs: Steps that run, or whose job looks up the cache first.
        entries: Cache entries of the other steps; a step without an entry is not needed.
        refs: Refs of reused assets that are read or are results. They are stored.
        identities: Identities of the steps that may be cached. All others always run.
        assets: Identities of the assets that each of these steps reads; None for the digest of a
            content that only its job will know. `after:NAME` is a step that it waits for.
        deferred: Steps whose cache lookup is deferred to their job.
        stored: Assets that must be stored for these lookups, even if only their own job reads
            them.
        machines: Kind of machine that each step is planned for.
        cases: Case of each decision that is known before the run.
        skipped: Cause for each step that is skipped because of these decisions.
        notes: Notes of the plan on lookups that failed.
    """

    runs: frozenset[str]
    entries: Mapping[str, CacheEntry]
    refs: Mapping[str, ArtifactRef]
    identities: Mapping[str, StepIdentity]
    assets: Mapping[str, Mapping[str, str | None]]
    deferred: frozenset[str]
    stored: frozenset[str]
    machines: Mapping[str, str] = field(default_factory=dict)
    cases: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def decide_reuse(
    graph: StepGraph,
    identities: Mapping[str, StepIdentity],
    external_inputs: Mapping[str, str],
    entries: Entries,
    missing: Missing,
    refresh: Collection[str] = (),
    machines: Mapping[str, str] | None = None,
    cases: Mapping[str, str] | None = None,
    case_of: CaseOf | None = None,
    results: Collection[str] = (),
) -> Reuse:
    """Decide which steps run, and which assets of earlier runs are reused.

    Args:
        graph: Graph of the steps.
        identities: Identities of the steps that may be cached.
        external_inputs: Identities of the external inputs, if known.
        entries: Function that returns the existing cache entries of several keys.
        missing: Function that returns the refs whose objects do not exist.
        refresh: Steps that always run, with all steps that depend on them.
        machines: Kind of machine that each step is planned for, if known.
        cases: Cases of decisions that the client has made; they are not in the graph.
        case_of: Function that returns the case that a ref contains; None if it can't be read.
        results: Assets that are results, also if a step reads them.
    """
    machines, python = machines or {}, python_version()
    forced = _with_descendants(graph, refresh)
    identities = _cacheable(graph, identities)
    known = _KnownIdentities(graph, identities, external_inputs)
    outputs = {step.name: step.outputs_by_own_name for step in graph.steps}
    originals: dict[str, CacheEntry] = {}
    hits: dict[str, CacheEntry] = {}
    while keys := known.new_keys(hits):
        lookups = {step: key for step, key in keys.items() if step not in forced}
        existing = entries(tuple(lookups.values()))
        found = {step: existing[key] for step, key in lookups.items() if key in existing}
        found = {
            s: entry for s, entry in found.items() if entry.serves(machines.get(s, ""), python)
        }
        originals.update(found)
        hits.update({step: entry.of_item(outputs[step]) for step, entry in found.items()})
        if not found:  # only the contents of hits can make more keys known
            break
    never_read = known_skips(graph, cases or {}).keys()
    while True:
        known_cases = {**(cases or {}), **_cases_of(graph, hits, case_of)}
        skipped = known_skips(graph, known_cases)
        runs, refs = _demanded(graph, identities.keys(), hits, skipped, never_read, results)
        invalid = known.premature_hits(hits, runs)
        missing_refs = set(missing(tuple(refs.values()))) if not invalid else set()
        invalid.update(graph.producers[asset] for asset, ref in refs.items() if ref in missing_refs)
        if not invalid:
            break
        hits = {step: entry for step, entry in hits.items() if step not in invalid}
    assets = {
        step.name: known.identities_of(step.name, runs)
        for step in graph.steps
        if step.name in identities
    }
    unknown = {
        name: [asset for asset, identity in read.items() if identity is None]
        for name, read in assets.items()
        if name in runs and None in read.values()
    }
    deferred, stored = _deferred(graph, runs.intersection(assets), unknown, forced)
    return Reuse(
        runs=frozenset(runs),
        entries={s: originals[s] for s in hits if s not in runs and s not in skipped},
        refs=refs,
        identities=identities,
        assets=assets,
        deferred=deferred,
        stored=stored,
        machines=machines,
        cases=known_cases,
        skipped=skipped,
    )


def run_without_cache(
    graph: StepGraph,
    identities: Mapping[str, StepIdentity],
    external_inputs: Collection[str],
    refresh: Collection[str] = (),
    machines: Mapping[str, str] | None = None,
    cases: Mapping[str, str] | None = None,
) -> Reuse:
    """Return what `decide_reuse` decides for an empty cache, without keys and identities.

    So it computes no key, whose time grows with the number of assets that steps read.

    Args:
        graph: Graph of the steps.
        identities: Identities of the steps that may be cached.
        external_inputs: External inputs whose identity is known.
        refresh: Same as in `decide_reuse`.
        machines: Same as in `decide_reuse`.
        cases: Same as in `decide_reuse`.
    """
    identities = _cacheable(graph, identities)
    by_content = identified_by_content(graph, identities.keys())
    skipped = known_skips(graph, cases or {})
    contents = set(external_inputs)
    identified = set(external_inputs)
    with_key: set[str] = set()
    unknown: dict[str, list[str]] = {}
    for step in graph.steps:  # in running order: a key may depend on earlier keys
        name, read = step.name, graph.reads[step.name]
        if name not in identities:
            continue
        known = contents if step.cache == "input_hash" else identified
        if not known.issuperset(read):
            unknown[name] = [asset for asset in read if asset not in known]
        elif with_key.issuperset(graph.after.get(name, ())):
            with_key.add(name)
            if not by_content[name]:
                identified.update(step.assets)
    runs = frozenset(step.name for step in graph.steps if step.name not in skipped)
    deferred, stored = _deferred(
        graph,
        runs.intersection(identities),
        {name: assets for name, assets in unknown.items() if name in runs},
        _with_descendants(graph, refresh),
    )
    return Reuse(
        runs=runs,
        entries={},
        refs={},
        identities={},
        assets={},
        deferred=deferred,
        stored=stored,
        machines=machines or {},
        cases=dict(cases or {}),
        skipped=skipped,
    )


def _deferred(
    graph: StepGraph,
    cacheable: Collection[str],
    unknown: Mapping[str, Sequence[str]],
    forced: Collection[str],
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the steps that their jobs look up, and the assets that must be stored for this.

    Args:
        graph: Graph of the steps.
        cacheable: Steps that run and may be cached.
        unknown: Assets of unknown identity that each of these steps reads, if there are any.
        forced: Steps that are not looked up.
    """
    # Items of a part are looked up one by one, also if the client knew the key of the part.
    parts = {step.name for step in graph.steps if step.item is not None and step.item.part}
    deferred = {
        name for name in cacheable if (name in unknown or name in parts) and name not in forced
    }
    stored = {asset for names in unknown.values() for asset in names}
    # Assets of a step that its job skips are not in the job's memory.
    stored.update(asset for step in graph.steps if step.name in deferred for asset in step.assets)
    return frozenset(deferred), frozenset(stored)


def _cases_of(
    graph: StepGraph, hits: Mapping[str, CacheEntry], case_of: CaseOf | None
) -> dict[str, str]:
    """Return the cases of the decisions that are reused."""
    if case_of is None:
        return {}
    refs = {
        step.name: hits[step.name].assets.get(step.name)
        for step in graph.steps
        if step.cases and step.name in hits
    }
    cases = {name: case_of(ref) for name, ref in refs.items() if ref is not None}
    return {name: case for name, case in cases.items() if case is not None}


def _cacheable(
    graph: StepGraph, identities: Mapping[str, StepIdentity]
) -> Mapping[str, StepIdentity]:
    """Return the identities without those of steps that wait for one identified by content.

    What that step does is unknown before the run.
    """
    if not graph.after:
        return identities
    by_content = identified_by_content(graph, identities.keys())
    return {
        step: identity
        for step, identity in identities.items()
        if not any(by_content[parent] for parent in graph.after.get(step, ()))
    }


class _KnownIdentities:
    """The identities of assets that are known so far, while cache entries are looked up.

    Readers identify an asset by its content or by the cache key of its producer. Those with the
    cache rule `"input_hash"` always use the content.
    """

    def __init__(
        self,
        graph: StepGraph,
        identities: Mapping[str, StepIdentity],
        external_inputs: Mapping[str, str],
    ) -> None:
        self._graph = graph
        self._identities = identities
        self._by_content = identified_by_content(graph, identities.keys())
        self._by_input = {step.name for step in graph.steps if step.cache == "input_hash"}
        self._keys: dict[str, str] = {}
        self._digests: dict[int, str] = {}
        self._contents = dict(external_inputs)
        self._known = dict(external_inputs)

    def new_keys(self, hits: Mapping[str, CacheEntry]) -> dict[str, str]:
        """Return cache keys that were unknown before, by step."""
        for name, entry in hits.items():
            contents = {asset: ref.identity for asset, ref in entry.assets.items()}
            self._contents.update(contents)
            if self._by_content[name]:
                self._known.update(contents)
        new = {}
        for step in self._graph.steps:  # in running order: a key may depend on earlier keys
            name = step.name
            if name in self._keys or name not in self._identities:
                continue
            assets = {**self._read(name), **self._awaited(name)}
            if None in assets.values():
                continue
            key = cache_key(self._digest(name), self._labelled(step, assets))
            self._keys[name] = new[name] = key
            if not self._by_content[name]:
                own_names = step.outputs_by_own_name.items()
                self._known.update({asset: f"{key} {own}" for own, asset in own_names})
        return new

    def _labelled(self, step: Step, assets: Mapping[str, str | None]) -> dict[str, str]:
        """Return known identities of assets by their names in the key of a step."""
        known = {asset: identity for asset, identity in assets.items() if identity is not None}
        if step.item is None and step.scope is None:  # its own names: see `key_label`
            return known
        return {key_label(self._graph, asset, step): identity for asset, identity in known.items()}

    def _digest(self, step: str) -> str:
        """Return the digest of a step's identity, which all items of a mapped step share."""
        identity = self._identities[step]
        if id(identity) not in self._digests:
            self._digests[id(identity)] = identity.digest
        return self._digests[id(identity)]

    def identities_of(self, step: str, runs: Collection[str]) -> dict[str, str | None]:
        """Return the identities of the assets that a step reads.

        The identity is None if it is a content that a step of this run still has to produce.
        """
        read = self._read(step)
        if self._by_content[step]:  # others read no contents of steps
            producers = self._graph.producers
            for asset in read:
                producer = producers.get(asset)
                is_content = step in self._by_input or self._by_content.get(producer or "", False)
                if producer in runs and is_content:
                    read[asset] = None
        return {**read, **{label: key for label, key in self._awaited(step).items() if key}}

    def _read(self, step: str) -> dict[str, str | None]:
        known = self._contents if step in self._by_input else self._known
        read = self._graph.reads[step]
        return dict(zip(read, map(known.get, read), strict=True))

    def _awaited(self, step: str) -> dict[str, str | None]:
        """Return the cache keys of the steps that a step waits for without reading an asset."""
        parents = self._graph.after.get(step, ())
        return {f"{AFTER}{parent}": self._keys.get(parent) for parent in parents}

    def premature_hits(self, hits: Collection[str], runs: Collection[str]) -> set[str]:
        """Return hits that rely on contents which this run produces again and may change."""
        forced = set(runs)
        for step in self._graph.steps:  # in running order: this also covers dependent steps
            if step.name in hits and None in self.identities_of(step.name, forced).values():
                forced.add(step.name)
        return forced.difference(runs)


def _demanded(
    graph: StepGraph,
    cached: Collection[str],
    hits: Mapping[str, CacheEntry],
    skipped: Collection[str],
    never_read: Collection[str],
    also_results: Collection[str],
) -> tuple[set[str], dict[str, ArtifactRef]]:
    """Return the steps that must run, and the earlier assets that they read or that are results.

    A result is an asset that no step reads. The step that reads it may be skipped: in the run that
    made the decision, its job did not store the asset. Decisions of the client are made before
    each run, so that the assets that only skipped steps read are results.
    """
    steps = [step for step in graph.steps if step.name not in skipped]
    if not hits:  # each step leads to a result
        return {step.name for step in steps}, {}
    readers = (step.name for step in graph.steps if step.name not in never_read)
    read = {asset for reader in readers for asset in graph.reads[reader]}
    assets_of = {step.name: step.assets for step in steps}
    uncached = [step for step in steps if step.name not in cached]
    results = [a for step in steps for a in step.assets if a not in read or a in also_results]
    runs: set[str] = set()
    reused: dict[str, ArtifactRef] = {}
    waiting = [*results, *(asset for step in uncached for asset in step.assets)]
    while waiting:
        asset = waiting.pop()
        producer = graph.producers.get(asset)
        if producer is None or producer in runs or producer in skipped:
            continue
        ref = hits[producer].assets.get(asset) if producer in hits else None
        if ref is not None:
            reused[asset] = ref
            continue
        runs.add(producer)
        waiting += graph.reads[producer]
        gates = (graph.gates[name].after for name in graph.gated.get(producer, ()))
        for parent in (*graph.after.get(producer, ()), *chain(*gates)):
            if parent not in hits and parent not in runs and parent not in skipped:
                waiting += assets_of[parent]
    # A step that runs produces all its assets again, including those added to `reused` before.
    return runs, {a: ref for a, ref in reused.items() if graph.producers[a] not in runs}


def _with_descendants(graph: StepGraph, names: Collection[str]) -> set[str]:
    descendants = set(names)
    if not descendants:
        return descendants
    for step in graph.steps:
        if not descendants.isdisjoint(graph.parents[step.name]):
            descendants.add(step.name)
    return descendants
