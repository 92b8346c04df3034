"""Lookup of earlier runs' outputs in the cache of a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import load_value
from flowyml_aws.caching.cache_on import AdditionReader
from flowyml_aws.caching.entries import (
    CacheEntry,
    EntryListing,
    is_stored,
    one_of_each_object,
    read_entry,
)
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.caching.identity import StepIdentity, identify
from flowyml_aws.caching.reuse import Reuse, decide_reuse, run_without_cache
from flowyml_aws.caching.stored_values import StoredValues
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.distributions import Difference, VersionReader
from flowyml_aws.core.errors import AwsRefusedError, FlowymlError, InvalidPipelineError
from flowyml_aws.core.graph import StepGraph

__all__ = ["Identities", "KeyFacts", "find_reuse", "identities_of"]


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """The facts outside a pipeline's code that count in the keys of its steps.

    Attributes:
        environments: Environment variables that the user gives the job of each step.
        additions: Reader of the additions to keys (`cache_on`).
        versions: Reader of package versions for each step; a step without one has no versions.
        inputs: Values of external inputs, whose types name packages, if known.
    """

    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    additions: AdditionReader = field(default_factory=AdditionReader)
    versions: Mapping[str, VersionReader] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identities:
    """The identities of a pipeline's steps.

    Attributes:
        known: Identities of the steps that can be cached.
        incomplete: For each step that always runs, because its identity is incomplete: the values
            whose content is unknown.
        differences: Packages of each step of which this process and the project have two
            versions.
    """

    known: Mapping[str, StepIdentity]
    incomplete: Mapping[str, tuple[str, ...]]
    differences: Mapping[str, tuple[Difference, ...]]


def identities_of(
    pipeline: str,
    graph: StepGraph,
    context: Mapping[str, Any],
    fingerprinter: Fingerprinter,
    facts: KeyFacts,
) -> Identities:
    """Return the identity of each step that can be cached.

    Args:
        pipeline: Name of the pipeline.
        graph: The pipeline's steps.
        context: Parameter values.
        fingerprinter: Fingerprinter of the steps.
        facts: Facts outside the code.

    Raises:
        InvalidPipelineError: A cache function failed, or an addition can't be read; contains an
            error for each of them.
    """
    known: dict[str, StepIdentity] = {}
    incomplete: dict[str, tuple[str, ...]] = {}
    differences: dict[str, tuple[Difference, ...]] = {}
    packages: dict[str, frozenset[str]] = {}
    versioned: dict[tuple[str, frozenset[str]], tuple[StepIdentity, tuple[Difference, ...]]] = {}
    problems: list[FlowymlError] = []
    of_declared: dict[str, StepIdentity | FlowymlError | None] = {}  # the same for all items
    for step in graph.steps:  # in running order
        if step.declared_name not in of_declared:
            environment = facts.environments.get(step.name)
            try:
                of_declared[step.declared_name] = identify(
                    step, graph, context, fingerprinter, environment, facts.additions
                )
            except FlowymlError as error:
                of_declared[step.declared_name] = error
                problems.append(error)
        identity = of_declared[step.declared_name]
        if isinstance(identity, FlowymlError):
            packages[step.name] = frozenset()
            continue
        used = fingerprinter.read(step).packages if identity is None else identity.packages
        # Packages upstream made the values that the step reads, whose methods are theirs.
        upstream = set(map(packages.__getitem__, graph.parents[step.name]))
        read = facts.inputs.keys() & graph.reads[step.name] if facts.inputs else ()
        types = (_type_name(facts.inputs[asset]) for asset in read)
        packages[step.name] = used.union(*upstream, types)
        if identity is None:
            continue
        if identity.opaque:
            incomplete[step.name] = identity.opaque
            continue
        reader = facts.versions.get(step.name)
        if reader is not None:
            key = step.declared_name, packages[step.name]
            if key not in versioned:
                versions = reader.read(packages[step.name])
                versioned[key] = (
                    replace(identity, versions=versions),
                    reader.differences(versions),
                )
            identity, differences[step.name] = versioned[key]
        known[step.name] = identity
    if problems:
        raise InvalidPipelineError(pipeline, problems)
    return Identities(known, incomplete, differences)


def find_reuse(
    store: ArtifactStore | None,
    graph: StepGraph,
    identities: Mapping[str, StepIdentity],
    external_inputs: Mapping[str, str],
    force_run: Collection[str],
    machines: Mapping[str, str] | None = None,
    cases: Mapping[str, str] | None = None,
    results: Collection[str] = (),
) -> Reuse:
    """Decide which outputs of earlier runs are reused, and which steps run.

    If AWS denies a lookup, nothing more is looked up, and the steps run; a note has the reason.

    Args:
        store: Store with the cache entries, or None if there is none.
        graph: The pipeline's steps.
        identities: Identities of the steps that can be cached.
        external_inputs: Identity of each external input, if known.
        force_run: Steps to run without a cache lookup, with all steps that depend on them.
        machines: Kind of machine that each step is planned for, if known.
        cases: Cases of decisions that the client has made; they are not in the graph.
        results: Assets that are results, also if a step reads them.
    """
    if store is None:
        return run_without_cache(graph, identities, external_inputs, force_run, machines, cases)
    refusals: list[AwsRefusedError] = []
    listing, values = EntryListing(store), StoredValues(store)

    def entry_of(key: str) -> CacheEntry | None:
        if refusals:
            return None
        try:
            return read_entry(store, key)
        except AwsRefusedError as error:
            refusals.append(error)
            return None

    def is_missing(ref: ArtifactRef) -> bool:
        if refusals:
            return True
        try:
            return not is_stored(store, ref)
        except AwsRefusedError as error:
            refusals.append(error)
            return True

    def entries(keys: Sequence[str]) -> Mapping[str, CacheEntry]:
        if not refusals:
            with suppress(AwsRefusedError):  # then each key is looked up, which may be allowed
                keys = listing.select(keys)
        if not keys:
            return {}
        results = map_concurrently(entry_of, keys, limit=STORE_REQUESTS)
        found = {key: entry for key, entry in zip(keys, results, strict=True) if entry}
        for entry in found.values():
            values.add(entry)
        return found

    def missing(refs: Sequence[ArtifactRef]) -> Collection[ArtifactRef]:
        if not refs:
            return ()
        objects = one_of_each_object(refs)
        if not refusals:
            with suppress(AwsRefusedError):  # then each object is checked, which may be allowed
                objects = values.unproven(objects)
        answers = map_concurrently(is_missing, objects, limit=STORE_REQUESTS)
        gone = {ref.key for ref, is_gone in zip(objects, answers, strict=True) if is_gone}
        return [ref for ref in refs if ref.key in gone]

    cases_read: dict[ArtifactRef, str | None] = {}

    def case_of(ref: ArtifactRef) -> str | None:
        if ref not in cases_read:
            cases_read[ref] = _case(store, ref)
        return cases_read[ref]

    reuse = decide_reuse(
        graph,
        identities,
        external_inputs,
        entries,
        missing,
        force_run,
        machines,
        cases,
        case_of,
        results,
    )
    return replace(reuse, notes=tuple(map(_note, refusals[:1])))


def _case(store: ArtifactStore, ref: ArtifactRef) -> str | None:
    """Return the case that an earlier run has stored; None if it can't be read."""
    try:
        # Never a file, so that no folder is created.
        value = load_value(store, ref, "case", Path(), allow_pickle=False)
    except (FlowymlError, OSError):
        return None
    return value if isinstance(value, str) else None


def _note(refusal: AwsRefusedError) -> str:
    return (
        "outputs of earlier runs are not reused, because the cache can't be read: "
        f"{refusal.what}: {refusal.why}; {refusal.fix}"
    )


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
